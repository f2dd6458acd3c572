"""A reader's own folder: complete, never overwritten, and it says what has been passed."""

import json
from pathlib import Path

import nbformat

from minidiff.course import EXERCISES, check, progress
from minidiff.course.workspace import CONTENTS, passed, title, workspace
from minidiff.run import cli

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def test_every_notebook_is_copied_once_and_what_was_written_stays(tmp_path):
    folder = tmp_path / "mine"
    new = workspace(NOTEBOOKS, folder)
    assert [p.name for p in new] == sorted(p.name for p in NOTEBOOKS.glob("*.ipynb")) and len(new) == 16
    (folder / new[0].name).write_text("my own words")
    (folder / new[1].name).unlink()
    assert workspace(NOTEBOOKS, folder) == [folder / new[1].name]
    assert (folder / new[0].name).read_text() == "my own words"
    assert (folder / new[1].name).read_bytes() == (NOTEBOOKS / new[1].name).read_bytes()


def test_the_contents_lead_to_every_notebook(tmp_path):
    workspace(NOTEBOOKS, tmp_path)
    book = nbformat.read(tmp_path / CONTENTS, 4)
    nbformat.validate(book)
    text = book.cells[0].source
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert f"| [{path.name[:2]}]({path.name}) | {title(path)} |" in text and title(path).endswith("?")
    assert f"| {sum(e.notebook == '01' for e in EXERCISES.values())} |" in text.split("01_gaussians")[1].splitlines()[0]


def test_progress_counts_what_is_passed_and_survives_a_broken_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("MINIDIFF_PROGRESS", str(path))
    check("two looks", lambda a, b: 1 / (1 + 1 / a + 1 / b), 0.5, 0.2)
    check("noise twice", lambda a, w, b, u: w + u, 0.9, 0.19, 0.6, 0.64)
    assert passed(path) == {"two looks"}
    capsys.readouterr()
    progress()
    lines = capsys.readouterr().out.splitlines()
    assert "01  1 of 4  two looks" in lines and lines[0].startswith("00  0 of 4") and lines[-1] == f"all 1 of {len(EXERCISES)}"
    for broken in ("{", "[1]", '{"two looks": 3}', json.dumps({"no such": {"points": 9}})):
        path.write_text(broken)
        assert passed(path) == set()


def test_the_command_opens_the_readers_folder(tmp_path, monkeypatch):
    called = {}
    monkeypatch.setattr("subprocess.call", lambda command, env: called.update(command=command, env=env) or 0)
    assert cli.main(["lab", "--folder", str(tmp_path / "mine")]) == 0
    assert called["command"][-1] == str(tmp_path / "mine" / CONTENTS) and (tmp_path / "mine" / CONTENTS).exists()
    assert called["env"]["MINIDIFF_PROGRESS"] == str(tmp_path / "mine" / "progress.json")


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["lab", "--folder", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_folder_of_readers_is_not_in_git():
    assert "/my-course/" in (NOTEBOOKS.parent / ".gitignore").read_text().splitlines()
