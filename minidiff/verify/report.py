"""What a run of the ledger looks like: a table for the terminal, JSON, EQUATIONS.md, and two numbers in a notebook."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minidiff.verify.course import notebooks_of
from minidiff.verify.registry import PAPERS, Check, Result, find, run
from minidiff.verify.registry import check as _check


def table(results: Iterable[Result]) -> str:
    """The results as aligned plain text, one row for each check, and a line that counts."""
    results = list(results)
    rows = [["equation", "what is checked", "closed form", "numerical", "error", "tolerance", "method", "ok"]]
    for r in results:
        for c in r.checks:
            error = f"{c.error:.1e}" if c.standard_error is None else f"{c.error:.1f} SE"
            tolerance = f"{c.tolerance:.0e}" if c.standard_error is None else f"{c.tolerance:.0f} SE"
            ok = "ok" if c.passed else "FAIL"
            rows.append([r.equation.name, c.what, f"{c.closed:.8g}", f"{c.numerical:.8g}", error, tolerance, c.method, ok])
        if r.failure is not None:
            rows.append([r.equation.name, f"{r.equation.title}: {r.failure}", "", "", "", "", "", "FAIL"])
    width = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * w for w in width))
    return "\n".join([*lines, "", summary(results)])


def summary(results: Iterable[Result]) -> str:
    """How many checks passed, in how many seconds, and the names of the equations that failed."""
    results = list(results)
    count = sum(max(len(r.checks), 1) for r in results)
    passed = sum(c.passed for r in results for c in r.checks)
    failed = [r.equation.name for r in results if not r.passed]
    text = f"{passed} of {count} checks of {len(results)} equations pass, in {sum(r.seconds for r in results):.1f} s"
    return text if not failed else f"{text}; FAILED: {', '.join(failed)}"


def as_json(results: Iterable[Result]) -> str:
    """The results as a JSON document. Numbers that JSON cannot hold (NaN, infinity) are strings."""
    results = list(results)
    document = {
        "passed": all(r.passed for r in results),
        "count": sum(len(r.checks) for r in results),
        "seconds": round(sum(r.seconds for r in results), 3),
        "equations": [_record(r) for r in results],
    }
    return json.dumps(document, indent=1, allow_nan=False)


def _record(r: Result) -> dict[str, object]:
    e = r.equation
    return {
        "paper": e.paper, "number": e.number, "title": e.title, "formula": e.formula, "function": e.function, "source": e.source,
        "passed": r.passed, "seconds": round(r.seconds, 3), "failure": r.failure,
        "checks": [
            {"what": c.what, "closed": _finite(c.closed), "numerical": _finite(c.numerical), "error": _finite(c.error),
             "tolerance": c.tolerance, "method": c.method, "passed": c.passed,
             "standard_error": None if c.standard_error is None else _finite(c.standard_error)}
            for c in r.checks
        ],
    }  # fmt: skip


def _finite(x: float) -> float | str:
    return x if math.isfinite(x) else str(x)


def markdown(results: Sequence[Result] | None = None) -> str:
    """EQUATIONS.md: every equation with its formula, function and notebook, how it is checked, to which tolerance, and the error seen.

    Errors are rounded up to a power of ten, so that they tell the order and not the machine. Runs the ledger if no results are given.
    """
    results = run() if results is None else results
    lines = [
        "# Equations", "",
        "Every equation that minidiff implements, the function it stands for, and how both of its sides are computed.",
        "Generated from `minidiff.verify` by `python -m minidiff.verify`; run the checks with `minidiff verify`, one of them in a",
        'notebook with `minidiff.verify.show("ddpm", "7")`. Errors are those of one run, rounded up to a power of ten; SE counts standard',
        "errors of a Monte Carlo mean. Paper numbering follows the arXiv versions as remembered; where it is doubtful it says",
        "(numbering unconfirmed).",
    ]  # fmt: skip
    for paper in dict.fromkeys(r.equation.paper for r in results):
        lines += ["", f"## {PAPERS.get(paper, paper)}"]
        for r in results:
            if r.equation.paper == paper:
                lines += _section(r)
    return "\n".join(lines) + "\n"


def _section(r: Result) -> list[str]:
    e = r.equation
    taught = ", ".join(notebooks_of(e.name)) or "none: a check of the package"
    about = f"Function: `{e.function}`. Source: {e.source}. Notebook: {taught}."
    lines = ["", f"### {e.name}: {e.title}", "", f"$${e.formula}$$", "", about, ""]
    lines += ["| what is compared | second route | tolerance | error |", "|---|---|---|---|"]
    return lines + [f"| {_cell(c.what)} | {_cell(c.method)} | {_tolerance(c)} | {_order(c)} |" for c in r.checks]


def _cell(text: str) -> str:
    return text.replace("|", "&#124;")


def _tolerance(c: Check) -> str:
    return f"{c.tolerance:.0e}" if c.standard_error is None else f"{c.tolerance:.0f} SE"


def _order(c: Check) -> str:
    """The error rounded up: to whole standard errors, or to a power of ten."""
    if c.standard_error is not None:
        return f"{math.ceil(c.error)} SE"
    return "0" if c.error == 0 else f"{10.0 ** math.ceil(math.log10(max(c.error, 1e-15))):.0e}"


@dataclass(frozen=True)
class Shown:
    """Equations beside their two numbers, for a notebook. Rounded to 5 digits, so that outputs do not depend on the machine."""

    results: tuple[Result, ...]

    def __repr__(self) -> str:
        """The numbers as plain text."""
        lines = []
        for r in self.results:
            lines.append(f"{r.equation.name}: {r.equation.title}")
            lines += [f"  {c.what}: {_digits(c.closed)} {'<=' if c.bound else '='} {_digits(c.numerical)} ({c.method})" for c in r.checks]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        lines = []
        for r in self.results:
            lines += [f"**{r.equation.name}: {r.equation.title}**", "", f"$${r.equation.formula}$$", ""]
            lines += ["| what is compared | formula | second route | method |", "|---|---|---|---|"]
            for c in r.checks:
                second = f"at most {_digits(c.numerical)}" if c.bound else _digits(c.numerical)
                lines.append(f"| {_cell(c.what)} | {_digits(c.closed)} | {second} | {_cell(c.method)} |")
            lines.append("")
        return "\n".join(lines)


def show(paper: str, number: str) -> Shown:
    """The formula of an equation beside the numbers of both routes; computed now.

    Raises AssertionError if a check fails, KeyError that names the nearest equations if there is no such one.
    """
    results = tuple(_check(e) for e in find(paper, number))
    if not all(r.passed for r in results):
        raise AssertionError("\n" + table(results))
    return Shown(results)


def _digits(x: float) -> str:
    # What is 0 but for rounding shows as 0; below five digits two routes, or two machines, need not agree.
    return "0" if abs(x) < 1e-9 else f"{x:.5g}"
