"""One source, three copies of every notebook: for students, with solutions, and for nbgrader; without nbgrader, and the same bytes again.

usage: python tools/release.py [--out build] [--source notebooks/src]

Solutions stand in the sources between the lines ### BEGIN SOLUTION and ### END SOLUTION; the cell after them calls check("name", ...).
student: `# YOUR CODE HERE` and `...` in their place. solution: as written. instructor: as written, with nbgrader's metadata, which the
student copy has too: it is what `nbgrader generate_assignment` makes of the instructor copy, in a folder that is a course of nbgrader's.
"""

from __future__ import annotations

import argparse
import copy
import re
import sys
from pathlib import Path

import nbformat
from build_notebooks import COMMITTED, load, student, write

from minidiff.course import find

ROOT = Path(__file__).resolve().parents[1]
CHECK = re.compile(r'^check\("([^"]+)"', re.M)
GRADER = """# Settings for nbgrader, written by tools/release.py: what stands in the place of a solution, and where things are.
c = get_config()
c.CourseDirectory.course_id = "minidiff"
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\\n..."}
"""


def marked(book: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy with nbgrader's metadata on the cells with a solution and on the cells that check it, each with its points."""
    made = copy.deepcopy(book)
    asked = None
    for cell in made.cells:
        if cell.cell_type != "code":
            continue
        names = CHECK.findall(cell.source)
        if "### BEGIN SOLUTION" in cell.source:
            if asked is not None:
                raise ValueError(f"a solution without a check after it, before the cell that begins {cell.source[:60]!r}")
            asked = cell
        elif names and asked is not None:
            slug = re.sub(r"\W+", "-", names[0]).strip("-")
            about = {"schema_version": 3, "task": False}
            asked.metadata["nbgrader"] = about | {"grade": False, "grade_id": slug, "locked": False, "solution": True}
            points = sum(find(name).points for name in names)
            graded = {"grade": True, "grade_id": f"{slug}-check", "locked": True, "points": points, "solution": False}
            cell.metadata["nbgrader"] = about | graded
            asked = None
    if asked is not None:
        raise ValueError(f"a solution without a check after it, in the cell that begins {asked.source[:60]!r}")
    return made


def copies(book: nbformat.NotebookNode) -> dict[str, nbformat.NotebookNode]:
    """The three copies of one notebook, by their folders."""
    instructor = marked(book)
    return {"student": student(instructor), "solution": copy.deepcopy(book), "instructor": instructor}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=COMMITTED / "src")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    options = parser.parse_args(argv)
    sources = sorted(options.source.glob("*.py"))
    if not sources:
        sys.exit(f"there are no sources in {options.source}")
    for source in sources:
        made = copies(load(source))
        for name, folder in (("student", "student"), ("solution", "solution"), ("instructor", f"instructor/source/{source.stem}")):
            (options.out / folder).mkdir(parents=True, exist_ok=True)
            write(made[name], options.out / folder / f"{source.stem}.ipynb")
    (options.out / "instructor" / "nbgrader_config.py").write_text(GRADER, encoding="utf-8")
    print(f"wrote {len(sources)} notebooks each to {', '.join(str(options.out / f) for f in ('student', 'solution', 'instructor'))}")


if __name__ == "__main__":
    main()
