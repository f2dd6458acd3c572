"""A reader's own folder: the notebooks to write in, a table of contents, and what has been passed so far."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Set
from pathlib import Path
from typing import Any

from minidiff.course.record import count, passed
from minidiff.course.table import EXERCISES

CONTENTS = "contents.ipynb"
PROGRESS = "progress.json"
HOW = [
    "* **Run a notebook from the top, cell by cell (Shift-Enter).** The first cells import and seed: nothing there is to be learned.",
    "* Where it says *before you run*, say what you expect, then run. A cell marked `[*]` is at work; training takes up to half a minute.",
    "* **Exercises** stand at the end: two cells each. Write yours in the first and run it; the second checks it. They use what cells",
    "  above them made: after a restart, *Run > Run All Above Selected Cell*.",
    "* *In the ledger*, the last line of a notebook, names its equations; `.venv/bin/minidiff verify` checks each of them numerically.",
    "* To begin a notebook anew, delete it here, stop JupyterLab (Ctrl-C) and say `make lab` again; what you have passed stays counted.",
]


def workspace(notebooks: Path, folder: Path) -> list[Path]:
    """Copy into the folder every notebook that is not in it yet, and write its contents anew; the notebooks that were copied.

    Copies come without outputs: who is asked what to expect should not see the answer. What the reader has written is never touched.
    OSError if the folder cannot be written. Checked by tests/test_workspace.py.
    """
    folder.mkdir(parents=True, exist_ok=True)
    books, new = sorted(notebooks.glob("[0-9][0-9]_*.ipynb")), []
    for book in books:
        mine = folder / book.name
        if not mine.exists():
            part = mine.with_name(mine.name + ".part")
            part.write_text(json.dumps(unrun(book), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            part.replace(mine)
            new.append(mine)
    (folder / CONTENTS).write_text(json.dumps(contents(books, passed(folder / PROGRESS)), indent=1) + "\n", encoding="utf-8")
    return new


def unrun(book: Path) -> dict[str, Any]:
    """A notebook as it is before anybody has run it."""
    found: dict[str, Any] = json.loads(book.read_text(encoding="utf-8"))
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return found


def contents(books: list[Path], done: Set[str]) -> dict[str, Any]:
    """A notebook with a link to each of these, the question it asks, and a cell that says what has been passed."""
    lines = ["# The course", "", "| | the question | exercises |", "|---|---|---|"]
    for book in books:
        number = book.name[:2]
        lines.append(f"| {number} | [{title(book)}]({book.name}) | {sum(e.notebook == number for e in EXERCISES.values()) or ''} |")
    lines += ["", *HOW, "", "Run the cell below to see how far you are."]
    code = ["from minidiff.course import progress", "", "progress()"]
    said = {"output_type": "stream", "name": "stdout", "text": so_far(done)}
    cells = [
        {"cell_type": "markdown", "id": "contents", "metadata": {}, "source": "\n".join(lines)},
        {"cell_type": "code", "id": "progress", "metadata": {}, "source": "\n".join(code), "outputs": [said], "execution_count": None},
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def title(book: Path) -> str:
    """The question in the first line of a notebook, without its number."""
    first = "".join(json.loads(book.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()[0]
    return re.sub(r"^#\s*\d*\s*·?\s*", "", first)


def so_far(done: Set[str]) -> str:
    """Notebook by notebook, how many exercises are passed, and which."""
    lines = []
    for number in dict.fromkeys(e.notebook for e in EXERCISES.values()):
        mine = [e.name for e in EXERCISES.values() if e.notebook == number and e.name in done]
        lines.append(f"{number}  {count(done, number)}  {', '.join(mine)}")
    return "\n".join([*lines, f"all {len(done)} of {len(EXERCISES)}"]) + "\n"


def progress() -> None:
    """Print what is passed, by the file that $MINIDIFF_PROGRESS names, otherwise progress.json here."""
    print(so_far(passed(Path(os.environ.get("MINIDIFF_PROGRESS") or PROGRESS))), end="")
