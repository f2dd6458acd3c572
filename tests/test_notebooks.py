"""What nbval does not see: a notebook that was never run passes it, and so does one that says nothing."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
BOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FREE = {"nbval-ignore-output", "nbval-skip"}
FIRST = re.compile(r"from minidiff\.notebook import [^\n]*\bsetup\b[^\n]*?(;|\n)\s*rng = setup\(seed=\d+\)")
ASSERTION = re.compile(r"^\s*(assert\b|np\.testing\.assert_|torch\.testing\.assert_)", re.M)


def test_the_course_is_there():
    numbers = [path.stem[:2] for path in BOOKS]
    assert {f"{k:02d}" for k in range(16)} <= set(numbers) and len(set(numbers)) == len(numbers)


@pytest.fixture(params=BOOKS, ids=lambda path: path.stem)
def book(request):
    nb = nbformat.read(request.param, 4)
    nb.path = request.param
    return nb


def cells(nb, kind):
    return [(f"{nb.path.name}, {kind} cell {i}", c) for i, c in enumerate(c for c in nb.cells if c.cell_type == kind)]


def warned(cell):
    """The first line of a cell's outputs that is a warning (path:line: SomeWarning: ...), and None if there is none."""
    text = "\n".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")
    return next((line for line in text.splitlines() if re.search(r":\d+: \w*Warning: ", line)), None)


def test_a_warning_in_an_output_is_seen():
    code = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("stream", name="stderr", text="x.py:3: DeprecationWarning: old\n")])
    assert warned(code) == "x.py:3: DeprecationWarning: old"
    assert warned(nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("stream", name="stdout", text="a Warning: of ours\n")])) is None


def test_every_cell_was_run_and_can_be_compared(book):
    nbformat.validate({k: v for k, v in book.items() if k != "path"}, version=4)
    assert book.metadata.kernelspec.name == "python3"
    assert book.path.stat().st_size < 1_500_000, "too large to commit: fewer or smaller figures"
    for where, cell in cells(book, "code"):
        assert cell.source.strip(), f"{where}: empty"
        assert cell.execution_count is not None, f"{where}: not executed, so nbval compares nothing"
        assert all(o.output_type != "error" for o in cell.outputs), f"{where}: stopped with an error"
        assert "nbval-skip" not in cell.metadata.get("tags", []), f"{where}: skipped cells are not checked at all"
        assert not warned(cell), f"{where}: shows a warning: {warned(cell)}"
        if FREE & set(cell.metadata.get("tags", [])):
            continue
        assert not cell.source.rstrip().endswith(";"), f"{where}: nbval shows what a trailing ';' hides"
        assert not re.search(r"clear_output|\binteract|\bOutput\(", cell.source), f"{where}: nbval cannot follow Output widgets"
        assert not re.search(r"time\(\)|perf_counter", cell.source), f"{where}: seconds differ from run to run"
        for output in cell.outputs:
            data = output.get("data", {})
            text = output.get("text", "") + str(data.get("text/plain", "")) + str(data.get("text/html", ""))
            assert output.get("name") != "stderr", f"{where}: writes to stderr"
            assert not re.search(r"0x[0-9a-f]{6,}", text), f"{where}: prints an address"
            local = rf"(/tmp/|/home/|/root/|/Users/|{re.escape(str(ROOT))}|[A-Z]:\\)"
            assert not re.search(local, text), f"{where}: prints a path of one machine"
            assert "image/svg+xml" not in data, f"{where}: SVG carries a date"


def test_it_is_a_lesson(book):
    """One question, predictions, at least three assertions, exercises with solutions, references; cells of a readable size."""
    text = "\n".join(c.source for c in book.cells if c.cell_type == "markdown")
    title = book.cells[0]
    assert title.cell_type == "markdown" and re.match(r"# [^\n]*\?", title.source), "the title asks one question"
    for heading in ("Exercises", "What to try next", "References"):
        assert re.search(rf"^## .*{heading}", text, re.M), f"no section '{heading}'"
    assert text.count("Before you run") >= 2, "a prediction before each experiment"
    assert re.search(r"^### Exercise", text, re.M), "no exercises"
    assert any("# YOUR CODE HERE" in c.source for _, c in cells(book, "code")), "exercises without solutions"
    assert text.count("<details>") == text.count("</details>"), "a <details> block is not closed"
    code = cells(book, "code")
    assert FIRST.match(code[0][1].source), "the first code cell imports minidiff.notebook and calls rng = setup(seed=...)"
    lesson = [c for _, c in code if "# YOUR CODE HERE" not in c.source and 'check("' not in c.source]
    assert len(lesson) <= 25, f"{len(lesson)} code cells, not counting exercises; a lesson has at most 25"
    for where, cell in code:
        lines = len(cell.source.splitlines())
        assert lines <= 18, f"{where}: {lines} lines; move the common part into the package"
    assert sum(len(ASSERTION.findall(c.source)) for _, c in code) >= 3, "fewer than three assertions"


def test_formulas_are_closed(book):
    for where, cell in cells(book, "markdown"):
        source = re.sub(r"`[^`]*`", "", cell.source)
        assert source.count("$$") % 2 == 0, f"{where}: an odd number of $$"
        assert source.replace("$$", "").replace("\\$", "").count("$") % 2 == 0, f"{where}: an odd number of $"
        assert source.count("{") == source.count("}"), f"{where}: braces do not match"


def build(*arguments):
    command = [sys.executable, ROOT / "tools" / "build_notebooks.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_notebooks_agree_with_their_sources():
    run = build("--check")
    assert run.returncode == 0, run.stderr
    sources = {path.stem for path in (ROOT / "notebooks" / "src").glob("*.py")}
    assert sources == {path.stem for path in BOOKS}, "notebooks and sources do not pair up"


def test_the_full_profile_is_run_beside_the_committed_notebooks(tmp_path):
    source = tmp_path / "src" / "00_probe.py"
    source.parent.mkdir()
    source.write_text("# %%\nfrom minidiff.notebook import budget\n\nprint(budget(quick='a few', full='very many'))\n", "utf-8")
    for profile, printed in (("quick", "a few"), ("full", "very many")):
        run = build("--profile", profile, "--source", source.parent, "--out", tmp_path / profile)
        assert run.returncode == 0 and "wrote 00_probe.ipynb" in run.stdout, run.stderr
        assert printed in (tmp_path / profile / "00_probe.ipynb").read_text("utf-8")
    run = build("--profile", "full", "--out", ROOT / "notebooks")
    assert run.returncode == 1 and "keeps the quick profile" in run.stderr and len(run.stderr.splitlines()) == 1
