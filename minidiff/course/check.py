"""Judging an answer: points, and a few lines that say what is wrong without saying what is right."""

from __future__ import annotations

import copy
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minidiff.course.compare import difference, plain, same
from minidiff.course.exercise import Exercise
from minidiff.course.record import count, keep, passed
from minidiff.course.table import find


@dataclass(frozen=True)
class Verdict:
    """points of `of` for an exercise, and why; `str` is what is printed."""

    exercise: str
    points: int
    of: int
    why: str

    def __str__(self) -> str:
        return f"{self.exercise}: {self.why}"


def check(name: str, answer: Any, *args: Any) -> None:
    """Print the verdict on an answer to the exercise of this name: the reader's function, called with args, or a value.

    $MINIDIFF_PROGRESS: a JSON file in which the best points so far are kept, for readers and graders. Under nbgrader's autograde an answer
    that is not right raises AssertionError, which is how it takes no points. ValueError for an unknown name.
    """
    said, so_far = verdict(name, answer, *args), ""
    if path := os.environ.get("MINIDIFF_PROGRESS"):
        keep(Path(path), name, asdict(said))
        so_far = f" ({count(passed(Path(path)), find(name).notebook)} in this notebook)" if said.points == said.of else ""
    print(f"{said}{so_far}")
    if os.environ.get("NBGRADER_EXECUTION") == "autograde" and said.points < said.of:
        raise AssertionError(str(said))


def verdict(name: str, answer: Any, *args: Any) -> Verdict:
    """The verdict alone. Nothing that an answer does can stop it: an error of the reader's function is part of the verdict."""
    exercise = find(name)
    try:
        value = answer(*copy.deepcopy(args)) if callable(answer) else answer
    except NotImplementedError:
        value = None
    except Exception as e:
        return Verdict(name, 0, exercise.points, f"your function stops: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")
    if value is None or value is ...:
        return Verdict(name, 0, exercise.points, "no answer yet")
    why = _why_not(exercise, value, args)
    return Verdict(name, exercise.points, exercise.points, "right") if why is None else Verdict(name, 0, exercise.points, why)


def _why_not(exercise: Exercise, value: Any, args: tuple[Any, ...]) -> str | None:
    """What is wrong with a value; None if nothing is."""
    right, mistakes = exercise.reference(*copy.deepcopy(args)), exercise.mistakes
    page = f"\n  read notebook {exercise.notebook}, {exercise.page}"
    if isinstance(right, str):
        if value == right:
            return None
        known = next((what for what, wrong in mistakes.items() if wrong(*copy.deepcopy(args)) == value), None)
        return (known or f"not {value!r}; look at the numbers again") + page
    try:
        numbers, expected = plain(value), plain(right)
    except ValueError as e:
        return str(e)
    if same(numbers, expected, exercise.rtol):
        return None
    known_wrong = {what: plain(wrong(*copy.deepcopy(args))) for what, wrong in mistakes.items()}
    said = difference(numbers, expected, known_wrong, exercise.rtol, exercise.entry)
    return said if said.startswith("the shape is") else said + page  # what to read is about the numbers
