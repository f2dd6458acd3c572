"""Exercises of notebook 15: how many windows, how deep the seams, what attention costs on a canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidiff.course.exercise import Exercise

Array = np.ndarray


def _windows(H: int, L: int, n: int, s: int) -> int:
    """By listing where they begin: what would reach past the border begins at the last place instead."""
    return len({(min(top, H - n), min(left, L - n)) for top in range(0, H, s) for left in range(0, L, s)})


def _seams(x: Array, starts: Sequence[int]) -> float:
    """Column by column."""
    into: dict[bool, list[float]] = {True: [], False: []}
    for column in range(1, len(x)):
        into[column in starts].append((x[column] - x[column - 1]) ** 2)
    return sum(into[True]) / len(into[True]) / (sum(into[False]) / len(into[False]))


def _out_of(x: Array, starts: Sequence[int]) -> Any:
    d = np.diff(x) ** 2
    return d[starts].mean() / np.delete(d, starts).mean()


def _against_all(x: Array, starts: Sequence[int]) -> Any:
    d = np.diff(x) ** 2
    return d[np.array(starts) - 1].mean() / d.mean()


def _not_squared(x: Array, starts: Sequence[int]) -> Any:
    d, at = np.abs(np.diff(x)), np.array(starts) - 1
    return d[at].mean() / np.delete(d, at).mean()


def _row() -> tuple[Any, ...]:
    return np.cumsum(np.random.default_rng(0).standard_normal(24)) + np.repeat([0, 3, 0], 8), [8, 16]


def _factors(k: int) -> tuple[float, float]:
    """On a canvas of k n x n whose borders are joined, so that every place is far from them: pairs of places, counted."""
    n = 8
    windows = len(range(0, k * n, n // 2)) * len(range(0, n, n // 2))
    return (k * n * n) ** 2 / n**4, windows * (n * n) ** 2 / n**4


EXERCISES = (
    Exercise(
        "windows of a canvas", "15", "section 7", _windows, {
            "the last window, at the border, is missing": lambda H, L, n, s: ((H - n) // s + 1) * ((L - n) // s + 1),
            "windows without overlap": lambda H, L, n, s: (H // n) * (L // n),
            "one too many a side": lambda H, L, n, s: (-(-(H - n) // s) + 2) * (-(-(L - n) // s) + 2),
            "a window at every multiple of the stride, past the border too": lambda H, L, n, s: -(-H // s) * -(-L // s),
        },
        lambda: (16, 32, 8, 3),
    ),
    Exercise(
        "depth of the seams", "15", "section 6: seams", _seams, {
            "the step out of the column instead of into it": _out_of,
            "divided by the mean of all steps": _against_all,
            "not squared": _not_squared,
        },
        _row,
    ),
    Exercise(
        "attention on a canvas", "15", "section 3: attention", _factors, {
            "one pass: squares, not the area": lambda k: (k, 4 * k),
            "windows: four times as many, not k": lambda k: (k**2, 4),
            "windows: without overlap": lambda k: (k**2, k),
        },
        lambda: (16,),
    ),
)  # fmt: skip
