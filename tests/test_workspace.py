"""A reader's own folder: complete, never overwritten, and it says what has been passed."""

import json
from pathlib import Path

import nbformat
import pytest

from minidiff.course import EXERCISES, check, progress
from minidiff.course.record import passed
from minidiff.course.workspace import CONTENTS, title, workspace
from minidiff.run import cli, lab

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def test_every_notebook_is_copied_once_and_what_was_written_stays(tmp_path):
    folder = tmp_path / "mine"
    new = workspace(NOTEBOOKS, folder)
    assert [p.name for p in new] == sorted(p.name for p in NOTEBOOKS.glob("*.ipynb")) and len(new) == 16
    (folder / new[0].name).write_text("my own words")
    (folder / new[1].name).unlink()
    assert workspace(NOTEBOOKS, folder) == [folder / new[1].name]
    assert (folder / new[0].name).read_text() == "my own words"
    mine, ours = (nbformat.read(where / new[1].name, 4) for where in (folder, NOTEBOOKS))
    assert [cell.source for cell in mine.cells] == [cell.source for cell in ours.cells]
    code = [cell for cell in mine.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs or cell.execution_count for cell in code) and "output_type" in str(ours)


def test_the_contents_lead_to_every_notebook(tmp_path):
    workspace(NOTEBOOKS, tmp_path)
    book = nbformat.read(tmp_path / CONTENTS, 4)
    nbformat.validate(book)
    text = book.cells[0].source
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert f"| {path.name[:2]} | [{title(path)}]({path.name}) |" in text and title(path).endswith("?")
    assert f"| {sum(e.notebook == '01' for e in EXERCISES.values())} |" in text.split("01_gaussians")[1].splitlines()[0]


def test_progress_counts_what_is_passed_and_survives_a_broken_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("MINIDIFF_PROGRESS", str(path))
    check("two looks", lambda a, b: 1 / (1 + 1 / a + 1 / b), 0.5, 0.2)
    check("noise twice", lambda a, w, b, u: w + u, 0.9, 0.19, 0.6, 0.64)
    assert passed(path) == {"two looks"}
    right, wrong, *_ = capsys.readouterr().out.splitlines()
    assert right == "two looks: right (1 of 4 in this notebook)" and wrong.startswith("noise twice: yours is the sum;")
    progress()
    lines = capsys.readouterr().out.splitlines()
    workspace(NOTEBOOKS, tmp_path)
    assert nbformat.read(tmp_path / CONTENTS, 4).cells[1].outputs[0].text.splitlines() == lines
    assert "01  1 of 4  two looks" in lines and lines[0].startswith("00  0 of 4") and lines[-1] == f"all 1 of {len(EXERCISES)}"
    for broken in ("{", "[1]", '{"two looks": 3}', json.dumps({"no such": {"points": 9}})):
        path.write_text(broken)
        assert passed(path) == set()


def test_the_command_opens_the_readers_folder(tmp_path, monkeypatch):
    called, mine = {}, tmp_path / "mine"
    monkeypatch.setattr("subprocess.call", lambda command, env: called.update(command=command, env=env) or 0)
    monkeypatch.setattr(lab, "running", lambda mine: None)
    assert cli.main(["lab", "--folder", str(mine), "--", "--port", "9000", "--allow-root"]) == 0
    assert called["command"][-3:] == ["--port", "9000", "--allow-root"] and (mine / CONTENTS).exists()
    assert f"--ServerApp.root_dir={mine}" in called["command"] and f"--LabApp.default_url=/lab/tree/{CONTENTS}" in called["command"]
    assert called["env"]["MINIDIFF_PROGRESS"] == str(mine / "progress.json")


def test_a_second_lab_on_a_folder_shows_the_first(tmp_path, monkeypatch, capsys):
    opened = []
    server = {"root_dir": str(tmp_path), "url": "http://localhost:8888/", "token": "abc"}
    monkeypatch.setattr("jupyter_server.serverapp.list_running_servers", lambda: iter([server | {"root_dir": "/"}, server]))
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("subprocess.call", lambda *args, **kwargs: pytest.fail("a second server"))
    assert cli.main(["lab", "--folder", str(tmp_path), "--", "--allow-root"]) == 0
    assert opened == ["http://localhost:8888/lab/tree/contents.ipynb?token=abc"] and opened[0] in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_root_is_told_what_to_say(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert cli.main(["lab", "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "OPTIONS=" in said and "--allow-root" in said


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["lab", "--folder", str(tmp_path / "file"), "--", "--allow-root"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_folder_of_readers_is_not_in_git():
    assert "/my-course/" in (NOTEBOOKS.parent / ".gitignore").read_text().splitlines()
