"""Judging an answer: points, and one line that says what is wrong without saying what is right."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from minidiff.course.compare import difference, plain, same
from minidiff.course.exercise import Exercise
from minidiff.course.table import find


@dataclass(frozen=True)
class Verdict:
    """points of `of` for an exercise, and why; `str` is the line that is printed."""

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
    said = verdict(name, answer, *args)
    print(said)
    if path := os.environ.get("MINIDIFF_PROGRESS"):
        keep(Path(path), said)
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
    page = f"; see notebook {exercise.notebook}, {exercise.page}"
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
    return difference(numbers, expected, known_wrong, exercise.rtol, exercise.entry) + page


def keep(path: Path, said: Verdict) -> None:
    """Put a verdict into a file of progress: the best so far of each exercise. A file that cannot be read is begun anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if said.points >= found.get(said.exercise, {}).get("points", 0):
        found[said.exercise] = asdict(said)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
