"""A reader's own folder: the notebooks to write in, a table of contents, and what has been passed so far."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from minidiff.course.table import EXERCISES

CONTENTS = "contents.ipynb"
PROGRESS = "progress.json"


def workspace(notebooks: Path, folder: Path) -> list[Path]:
    """Copy into the folder every notebook that is not in it yet, and write its contents anew; the notebooks that were copied.

    What the reader has written is never touched. OSError if the folder cannot be written. Checked by tests/test_workspace.py.
    """
    folder.mkdir(parents=True, exist_ok=True)
    books, new = sorted(notebooks.glob("[0-9][0-9]_*.ipynb")), []
    for book in books:
        mine = folder / book.name
        if not mine.exists():
            part = mine.with_name(mine.name + ".part")
            shutil.copyfile(book, part)
            part.replace(mine)
            new.append(mine)
    (folder / CONTENTS).write_text(json.dumps(contents(books), indent=1) + "\n", encoding="utf-8")
    return new


def contents(books: list[Path]) -> dict[str, Any]:
    """A notebook with a link to each of these, the question it asks, and a cell that says what has been passed."""
    lines = ["# The course", "", "| | the question | exercises |", "|---|---|---|"]
    for book in books:
        number = book.name[:2]
        lines.append(f"| [{number}]({book.name}) | {title(book)} | {sum(e.notebook == number for e in EXERCISES.values()) or ''} |")
    lines += ["", "Run the cell below to see how far you are. To begin a notebook anew, delete it here and start `minidiff lab` again."]
    code = ["from minidiff.course import progress", "", "progress()"]
    cells = [
        {"cell_type": "markdown", "id": "contents", "metadata": {}, "source": "\n".join(lines)},
        {"cell_type": "code", "id": "progress", "metadata": {}, "source": "\n".join(code), "outputs": [], "execution_count": None},
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def title(book: Path) -> str:
    """The question in the first line of a notebook, without its number."""
    first = "".join(json.loads(book.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()[0]
    return re.sub(r"^#\s*\d*\s*·?\s*", "", first)


def passed(path: Path) -> set[str]:
    """The exercises that a file of progress says are passed; none if there is no such file, or it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name for name, said in found.items() if name in EXERCISES and said["points"] >= EXERCISES[name].points}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return set()


def progress() -> None:
    """Print, notebook by notebook, which exercises are passed, from the file $MINIDIFF_PROGRESS names, otherwise progress.json here."""
    done = passed(Path(os.environ.get("MINIDIFF_PROGRESS") or PROGRESS))
    for number in dict.fromkeys(e.notebook for e in EXERCISES.values()):
        mine = [e.name for e in EXERCISES.values() if e.notebook == number]
        print(f"{number}  {sum(name in done for name in mine)} of {len(mine)}  " + ", ".join(n for n in mine if n in done))
    print(f"all {len(done)} of {len(EXERCISES)}")
