"""One source, three copies: the same bytes each time, no solution in a student's hands, every solution right, and nbgrader agrees."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from minidiff.course import EXERCISES

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks" / "src").glob("*.py"))
WITH = [s for s in SOURCES if "### BEGIN SOLUTION" in s.read_text("utf-8")]
REGION = re.compile(r"^[ \t]*### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION[ \t]*\n?", re.S | re.M)
QUICK = ["01_gaussians_and_kl", "03_posterior"]


def release(out):
    subprocess.run([sys.executable, str(ROOT / "tools" / "release.py"), "--out", str(out)], check=True, capture_output=True, text=True)
    return {p.relative_to(out): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("release")
    return out, release(out)


def test_the_copies_are_the_same_bytes_again(made, tmp_path):
    _out, files = made
    assert files == release(tmp_path / "again") and len(files) == 3 * len(SOURCES) + 1
    assert {p.parts[0] for p in files} == {"student", "solution", "instructor"}


@pytest.mark.parametrize("source", WITH, ids=lambda p: p.stem)
def test_no_solution_reaches_a_student(made, source):
    """Neither in the student copy nor in the notebook that is committed with its outputs: a line that is nowhere but in a solution."""
    text = source.read_text("utf-8")
    elsewhere = REGION.sub("", text)
    lines = {line.strip() for region in REGION.findall(text) for line in region.splitlines() if line.strip()}
    secret = [line for line in lines if line not in elsewhere]
    assert len(secret) >= len(REGION.findall(text))
    for path in (made[0] / "student" / f"{source.stem}.ipynb", ROOT / "notebooks" / f"{source.stem}.ipynb"):
        book = path.read_text("utf-8")
        assert "SOLUTION" not in book and book.count("# YOUR CODE HERE") == len(REGION.findall(text))
        assert not [line for line in secret if json.dumps(line, ensure_ascii=False)[1:-1] in book or json.dumps(line)[1:-1] in book]


@pytest.mark.parametrize("source", WITH, ids=lambda p: p.stem)
def test_every_exercise_can_be_graded(made, source):
    book = nbformat.read(made[0] / "instructor" / "source" / source.stem / f"{source.stem}.ipynb", 4)
    graded = [c.metadata.nbgrader for c in book.cells if "nbgrader" in c.metadata]
    assert sum(g.solution for g in graded) == sum(g.grade for g in graded) == len(graded) / 2 > 0
    assert len({g.grade_id for g in graded}) == len(graded) and all(g.locked == g.grade and g.schema_version == 3 for g in graded)
    assert sum(g.get("points", 0) for g in graded) == sum(e.points for e in EXERCISES.values() if e.notebook == source.stem[:2])


@pytest.mark.slow
@pytest.mark.parametrize(("copy", "verdict"), [("student", "no answer yet"), ("solution", "right")])
def test_a_copy_runs_to_its_end(made, copy, verdict):
    book = nbformat.read(made[0] / copy / f"{QUICK[0]}.ipynb", 4)
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}}).execute()
    said = [line for c in book.cells for o in c.get("outputs", []) if o.get("name") == "stdout" for line in o.text.splitlines()]
    for e in EXERCISES.values():
        assert e.notebook != QUICK[0][:2] or f"{e.name}: {verdict}" in said


@pytest.mark.slow
def test_nbgrader_makes_the_same_copy_and_grades_it(made, tmp_path):
    """Needs the extra `grading`. Two notebooks: one handed in with its solutions, one as it was given out."""
    pytest.importorskip("nbgrader", reason="needs the extra grading")
    from nbgrader.api import Gradebook

    course = tmp_path / "course"
    (course / "source").mkdir(parents=True)
    shutil.copy(made[0] / "instructor" / "nbgrader_config.py", course)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])  # nbgrader calls alembic by its name

    def nbgrader(*arguments):
        command = [sys.executable, "-m", "nbgrader", *arguments]
        run = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True, timeout=600)
        assert run.returncode == 0, run.stderr[-3000:]

    def cells(path):
        return [c.source for c in nbformat.read(path, 4).cells]

    for name in QUICK:
        shutil.copytree(made[0] / "instructor" / "source" / name, course / "source" / name)
        nbgrader("generate_assignment", name, "--create")
        given = course / "release" / name / f"{name}.ipynb"
        assert cells(given) == cells(made[0] / "student" / f"{name}.ipynb")
        handed_in = course / "submitted" / "ada" / name / f"{name}.ipynb"
        handed_in.parent.mkdir(parents=True)
        right = nbformat.read(made[0] / "instructor" / "source" / name / f"{name}.ipynb", 4)
        nbformat.write(right if name == QUICK[0] else nbformat.read(given, 4), handed_in)
        nbgrader("autograde", name)
    with Gradebook(f"sqlite:///{course}/gradebook.db") as book:
        scores = [(s.score, s.max_score) for s in (book.find_submission(name, "ada") for name in QUICK)]
    most = [sum(e.points for e in EXERCISES.values() if e.notebook == name[:2]) for name in QUICK]
    assert scores == [(most[0], most[0]), (0, most[1])]
