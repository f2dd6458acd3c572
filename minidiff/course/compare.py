"""An answer beside the right one: are they the same, and if not, how do they differ? Known mistakes first, then those of every course."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def plain(answer: Any) -> Float:
    """Numbers of any kind, NumPy's, torch's or a list, as float64; ValueError for what is no array of real numbers."""
    answer = answer.detach().cpu().numpy() if hasattr(answer, "detach") else answer
    try:
        array = np.asarray(answer)
        if np.iscomplexobj(array):
            raise TypeError
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"an answer is a number or an array of numbers; got {type(answer).__name__}") from None


def same(a: Float, b: Float, rtol: float) -> bool:
    """Equal shapes, and equal entries within rtol; a right answer of 0 allows for rounding only."""
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=rtol, atol=1e-12 * float(np.abs(b).max(initial=0.0))))


def difference(answer: Float, right: Float, mistakes: Mapping[str, Float], rtol: float, entry: str) -> str:
    """What is wrong with the answer: a line or two that never say the right formula. Checked by tests/test_course.py."""
    known = next((what for what, value in mistakes.items() if same(answer, value, rtol)), None)
    if answer.shape != right.shape:
        shapes = f"the shape is {answer.shape}, expected {right.shape}"
        return f"yours is {known}; {shapes}" if known else shapes
    if not np.isfinite(answer).all():
        return f"{int((~np.isfinite(answer)).sum())} of {answer.size} numbers are not finite"
    with np.errstate(all="ignore"):  # the square of 1e-300 is 0, and that is what a reader would get
        known = known or relation(answer, right, rtol)
    off = np.abs(answer - right) / (np.abs(right) + 1e-300)
    where = np.unravel_index(int(np.argmax(off)), off.shape)
    yours, expected = float(answer[where]), float(right[where])
    ratio = f", ratio {yours / expected:.3g}" if expected != 0 else ""
    if answer.size > 1 and same(answer, right + (yours - expected), rtol):
        ratio = f", off by {yours - expected:.3g} everywhere"  # of logarithms, a forgotten constant
    place = f" at {entry} {', '.join(map(str, where))}" if where else ""
    return f"{f'yours is {known}' if known else 'not yet'}\n  yours {yours:.4g}, expected {expected:.4g}{place}{ratio}"


def relation(answer: Float, right: Float, rtol: float) -> str | None:
    """A simple relation that holds for every entry: a constant factor, a root, a square, a shift by one, the reverse; None for none."""
    rows = answer.ndim >= 1 and len(answer) > 2
    candidates: dict[str, Float] = {
        "the negative of it": -right, "in bits, not nats (or the ratio is 1/ln 2 by chance)": right / np.log(2),
        "in nats, not bits (or the ratio is ln 2 by chance)": right * np.log(2), "its square": right**2, "its reciprocal": _inverse(right),
        "its square root": np.sqrt(np.abs(right)), "1 minus it": 1 - right, "its logarithm": np.log(np.abs(right) + 1e-300),
        "twice as large": 2 * right, "half as large": right / 2,
    }  # fmt: skip
    if rows:
        candidates |= {"the right one in reverse order": right[::-1]}
        for what, a, b in (("too early", answer[:-1], right[1:]), ("too late", answer[1:], right[:-1])):
            if same(a, b, rtol):
                return f"shifted by one, {what}"
    return next((what for what, value in candidates.items() if same(answer, value, rtol)), None)


def _inverse(x: Float) -> Float:
    return np.divide(1.0, x, out=np.full_like(x, np.nan), where=x != 0)
