"""Sphinx extension: minidiff's docstrings are plain text with formulas; here they become reStructuredText with rendered mathematics.

A docstring keeps its words: only its layout is read (blank lines, line breaks that are meant, examples), and what would be
markup by accident (`x_0`, `2|d|`, `**2`) is protected. Below it stand the equations of the ledger that are about the function.
"""

import importlib
import re
from functools import cache
from itertools import groupby, pairwise

from formulas import spans

import minidiff
from minidiff.verify import REGISTRY

WRAPPED = 100  # a line shorter than this, though the next word would have fitted, was broken on purpose
LEADS = r"(?:^|(?<=[.:;)\]] ))(?=(?:Source|Sources|Checked by|Raises)\b)"


@cache
def resolve(dotted):
    """"minidiff.posterior" -> the name under which the API pages have it, "minidiff.process.posterior"; None if it has none."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:n]))
        except ImportError:
            continue
        for part in parts[n:]:
            found = getattr(found, part, None)
        name = getattr(found, "__qualname__", None)
        return f"{found.__module__}.{name}" if name and found.__module__.startswith("minidiff") else None
    return None


@cache
def ledger():
    """API name -> the equations that are about it."""
    found = {}
    for equation in REGISTRY:
        found.setdefault(resolve(equation.function), []).append(equation)
    return found


def label(name):
    """The anchor of an equation on the page of equations: "ddpm 6-7" -> "ledger-ddpm-6-7"."""
    return "ledger-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def prose(text):
    """A stretch of text: `code` and *emphasis* are kept, public names become links, formulas mathematics, the rest is protected."""
    out = []
    for i, piece in enumerate(re.split(r"`+([^`]+)`+", text)):
        if i % 2:
            full = resolve(f"minidiff.{piece}") if piece in minidiff.__all__ else None
            out.append(f":py:obj:`{piece} <{full}>`" if full else f"``{piece.strip()}``")
            continue
        for is_formula, part in spans(piece):
            if is_formula:
                out.append(rf"\ :math:`{part}`\ ")
            else:
                kept = re.split(r"(?<![\w*])\*([A-Za-z][\w ]*)\*(?![\w*])", part)
                out.append("".join(f"*{k}*" if j % 2 else re.sub(r"([\\*_|`])", r"\\\1", k) for j, k in enumerate(kept)))
    return "".join(out)


def deliberate(lines):
    """Whether a line break was meant: the next word would have fitted on the line."""
    return any(len(a) + 1 + len(b.split()[0]) < WRAPPED for a, b in pairwise(lines))


def block(lines):
    """One paragraph of a docstring as reStructuredText lines."""
    if lines[0].startswith(">>>"):
        return [*lines, ""]
    if any(line[:1] == " " for line in lines) or sum("   " in line for line in lines) > 1:  # columns: a table in plain text
        return ["::", "", *(f"   {line}" for line in lines), ""]
    if deliberate(lines):
        return [*(f"| {prose(line)}" for line in lines), ""]
    parts = [p for p in re.split(LEADS, " ".join(lines)) if p]
    return [line for part in parts for line in (re.sub(r"^(Sources?:|Checked by|Raises)", r"**\1**", prose(part.strip())), "")]


def paragraphs(lines):
    """The docstring cut at its blank lines."""
    for blank, group in groupby(lines, lambda line: not line.strip()):
        if not blank:
            yield list(group)


def formulas(name):
    """The ledger's equations about a function or class, as rendered mathematics with links to the page of equations."""
    out = []
    for e in ledger().get(name, []):
        out += [f":ref:`{e.name} <{label(e.name)}>`: {prose(e.title)}", "", ".. math::", "", f"   {e.formula}", ""]
    return [".. rubric:: In the ledger", "", *out] if out else []


def process(app, what, name, obj, options, lines):
    """autodoc-process-docstring: rewrites the lines in place."""
    if what == "method" and name.endswith(".forward"):
        return
    lines[:] = [line for part in paragraphs(list(lines)) for line in block(part)] + formulas(name)


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True}
