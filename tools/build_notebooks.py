"""Execute the percent scripts of notebooks/src and write notebooks/NAME.ipynb, outputs included, byte for byte the same again.

Solutions, between the lines ### BEGIN SOLUTION and ### END SOLUTION of a source, are left out: see tools/release.py.

usage: python tools/build_notebooks.py [--check] [--force] [--only NAME] [--profile full] [--source DIR] [--out DIR]

A notebook whose text agrees with its source and that was executed to the end is left alone, unless --force is given. Where only the
prose differs, or the sentences about figures (`# %% alt="..."`), it is written anew around the outputs that are there: nothing is executed.
--check executes nothing: it exits 1 and names the notebooks that do not agree with their sources.
--profile full trains longer, on the full data sets if they are there, and writes to out/full: what is committed is the quick profile.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
# What the committed outputs are made with, on every machine.
SETTINGS = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
COMMITTED = ROOT / "notebooks"
FOLDERS = {"quick": COMMITTED, "full": ROOT / "out" / "full"}  # of the profiles
LIMITS = {"quick": 300, "full": 7200}  # seconds for one cell
REGION = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*(?:\n|\Z)", re.S | re.M)
STUB = ("# YOUR CODE HERE", "...")  # in the place of a solution
TEXT_CHUNKS = (b"tEXt", b"iTXt", b"zTXt")


def without_solutions(source: str) -> str:
    """The source of a cell as a student gets it; ValueError for markers that do not pair up."""
    found = REGION.findall(source)
    if len(found) != source.count("### BEGIN SOLUTION") or len(found) != source.count("### END SOLUTION"):
        raise ValueError(f"markers of a solution do not pair up in a cell that begins {source[:60]!r}")
    return REGION.sub(lambda m: "".join(f"{m[1]}{line}\n" for line in STUB), source).rstrip("\n")


def student(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without solutions: what is executed and committed, and what a student is given."""
    made = copy.deepcopy(book)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.source = without_solutions(cell.source)
    return made


def load(source: Path) -> nbformat.NotebookNode:
    """The notebook of a percent script, without outputs; the id of a cell is a hash of what it says."""
    book = jupytext.read(source, fmt="py:percent")
    book.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    book.nbformat, book.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in book.cells:
        n = seen[cell.source] = seen.get(cell.source, -1) + 1
        cell["id"] = hashlib.sha256(f"{cell.cell_type}\0{n}\0{cell.source}".encode()).hexdigest()[:8]
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return book


def code(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The cells that are executed."""
    return [cell for cell in book.cells if cell.cell_type == "code"]


def earlier(book: nbformat.NotebookNode, path: Path) -> nbformat.NotebookNode | None:
    """The notebook at `path`, if it was executed to its last cell and its code is that of `book`: what it put out holds for `book`, too."""
    if not path.exists():
        return None
    old = nbformat.read(path, 4)

    def text(nb: nbformat.NotebookNode) -> list:
        return [(cell.source, {k: v for k, v in cell.metadata.items() if k != "alt"}, cell.id) for cell in code(nb)]

    return old if all(cell.execution_count for cell in code(old)) and text(old) == text(book) else None


def take_outputs(book: nbformat.NotebookNode, old: nbformat.NotebookNode) -> None:
    """Give `book` what the cells of `old` put out; `old` keeps its own."""
    for cell, before in zip(code(book), code(old), strict=True):
        cell.outputs, cell.execution_count = copy.deepcopy(before.outputs), before.execution_count


def describe(book: nbformat.NotebookNode) -> None:
    """Write the author's sentence about each figure, `# %% alt="..."` in the source, into the metadata of the figure itself.

    A cell with several figures has a list of sentences. A figure without one keeps the automatic text of minidiff.notebook:
    one has to see a figure before one can say what is seen in it. tests/test_figures.py asks for the sentence.
    """
    for cell in book.cells:
        said = cell.metadata.get("alt", [])
        figures = [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
        for figure, sentence in zip(figures, [said] if isinstance(said, str) else said, strict=False):
            figure.metadata.setdefault("image/png", nbformat.NotebookNode())["alt"] = sentence


def execute(book: nbformat.NotebookNode, folder: Path, timeout: int) -> nbformat.NotebookNode:
    """Run every cell with `folder` as working directory, then drop all that changes from run to run."""
    NotebookClient(
        book, timeout=timeout, kernel_name="python3", record_timing=False, coalesce_streams=True, store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute(stderr=subprocess.DEVNULL)  # the kernel's own log
    book.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    for cell in book.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET, None)  # a random model id, of no use without its kernel
            if "image/png" in data:
                data["image/png"] = plain_png(data["image/png"])
    return book


def plain_png(encoded: str) -> str:
    """A PNG without its text chunks: one of them names the version of matplotlib."""
    raw = base64.b64decode(encoded)
    out, i = raw[:8], 8
    while i < len(raw):
        length, kind = struct.unpack(">I4s", raw[i : i + 8])
        if kind not in TEXT_CHUNKS:
            out += raw[i : i + 12 + length]
        i += 12 + length
    return base64.b64encode(out).decode("ascii")


def write(book: nbformat.NotebookNode, path: Path) -> None:
    """Write to a temporary name, then rename: a kill leaves the old notebook or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_text(nbformat.writes(book) + "\n", encoding="utf-8")
    part.replace(path)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 if a notebook does not agree with its source")
    parser.add_argument("--force", action="store_true", help="execute also what has not changed")
    parser.add_argument("--only", action="append", metavar="NAME", help="one notebook, by its name or 02; may be repeated")
    parser.add_argument("--profile", choices=FOLDERS, default="quick", help="full: longer, on all data at hand, into out/full")
    parser.add_argument("--source", type=Path, default=COMMITTED / "src")
    parser.add_argument("--out", type=Path, help="default: notebooks, or out/full for the full profile")
    parser.add_argument("--timeout", type=int, metavar="SECONDS", help=f"limit for one cell; default: {LIMITS}")
    options = parser.parse_args(argv)
    out, timeout = options.out or FOLDERS[options.profile], options.timeout or LIMITS[options.profile]
    if options.profile == "full" and out.resolve() == COMMITTED:
        sys.exit(f"{COMMITTED} keeps the quick profile, which the tests compare; choose another --out")
    out.mkdir(parents=True, exist_ok=True)

    sources = sorted(options.source.glob("*.py"))
    for name in options.only or []:
        if not any(source.stem.startswith(name) for source in sources):
            sys.exit(f"no source starts with {name!r}; there are: {', '.join(source.stem for source in sources)}")
    if options.only:
        sources = [source for source in sources if source.stem.startswith(tuple(options.only))]
    os.environ.update(SETTINGS | {"MINIDIFF_PROFILE": options.profile})
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # also without an install

    finish = describe if options.profile == "quick" else lambda book: None  # other figures: nobody has said what is seen in them
    stale = []
    for source in sources:
        path, book = out / f"{source.stem}.ipynb", student(load(source))
        old = None if options.force and not options.check else earlier(book, path)
        if old:
            take_outputs(book, old)
            finish(book)
            if book.cells == old.cells:
                continue
        if options.check:
            stale.append(path.name)
            continue
        start = time.perf_counter()
        if not old:
            try:
                execute(book, out, timeout)
            except CellExecutionError as error:
                sys.exit(f"{source.name} stops; {path.name} is left as it was.\n{error}")
            finish(book)
        write(book, path)
        how = "without a run, its code is as it was" if old else f"in {time.perf_counter() - start:.1f} s"
        print(f"wrote {path.name} {how}", flush=True)
    if stale:
        sys.exit(f"out of date, run `make notebooks`: {', '.join(stale)}")


if __name__ == "__main__":
    main()
