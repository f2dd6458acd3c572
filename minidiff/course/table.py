"""All exercises, by name, in the order of the course."""

from __future__ import annotations

import difflib

from minidiff.course import (
    exercises_00,
    exercises_01,
    exercises_02,
    exercises_03,
    exercises_04,
    exercises_05,
    exercises_06,
    exercises_07,
    exercises_08,
    exercises_09,
    exercises_10,
    exercises_11,
    exercises_12,
    exercises_13,
    exercises_14,
    exercises_15,
)
from minidiff.course.exercise import Exercise

PARTS = (
    exercises_00, exercises_01, exercises_02, exercises_03, exercises_04, exercises_05, exercises_06, exercises_07, exercises_08,
    exercises_09, exercises_10, exercises_11, exercises_12, exercises_13, exercises_14, exercises_15,
)  # fmt: skip
EXERCISES: dict[str, Exercise] = {e.name: e for part in PARTS for e in part.EXERCISES}


def find(name: str) -> Exercise:
    """The exercise of this name; ValueError with the nearest names if there is none."""
    if name not in EXERCISES:
        near = difflib.get_close_matches(name, EXERCISES, n=3, cutoff=0.4)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise ValueError(f"there is no exercise {name!r}{hint}")
    return EXERCISES[name]
