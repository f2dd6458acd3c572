"""Checks of exercises that say what is wrong, not only that it is wrong; and the suspects of notebook 03."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minidiff.gaussian import Gaussian
from minidiff.process import posterior, transition
from minidiff.schedule import Schedule


def check(
    name: str, answer: Any, right: Any, mistakes: Mapping[str, Any] | None = None, rtol: float = 1e-6, entry: str = "entry"
) -> None:
    """Print whether `answer` equals `right`, and if not, which of the known `mistakes` it is and by what ratio it is off.

    answer None means "not answered yet". mistakes: what the reader probably did -> the number(s) that gives. entry: what an
    index of the arrays is called, e.g. "t =". Strings are compared as they are. Checked by tests/test_exercises.py.
    """
    mistakes = mistakes or {}
    if answer is None:
        verdict = "no answer yet"
    elif isinstance(right, str):
        verdict = "right" if answer == right else mistakes.get(answer, f"not {answer!r}; look at the numbers again")
    else:
        verdict = _compare(np.asarray(answer, dtype=float), np.asarray(right, dtype=float), mistakes, rtol, entry)
    print(f"{name}: {verdict}")


def _compare(answer: Any, right: Any, mistakes: Mapping[str, Any], rtol: float, entry: str) -> str:
    if answer.shape != right.shape:
        return f"the shape is {answer.shape}, expected {right.shape}"
    if np.allclose(answer, right, rtol=rtol, atol=0):
        return "right"
    known = next((what for what, value in mistakes.items() if np.allclose(answer, value, rtol=rtol, atol=0)), None)
    off = np.where(np.isfinite(answer), np.abs(answer - right) / (np.abs(right) + 1e-300), np.inf)
    where = np.unravel_index(int(np.argmax(off)), off.shape)
    yours, expected = float(answer[where]), float(right[where])
    place = f" at {entry} {', '.join(map(str, where))}" if where else ""
    ratio = f", ratio {yours / expected:.3g}" if expected != 0 and np.isfinite(yours) else ""
    return f"{f'yours is {known}' if known else 'not yet'}: {yours:.4g}, expected {expected:.4g}{ratio}{place}"


def suspect_a(schedule: Schedule, x_0: Any, x_t: Any, s: int, t: int) -> Gaussian:
    """Says it is q(x_s | x_t, x_0). Is it? Do not read on: ask for numbers (notebook 03)."""
    q = posterior(schedule, x_0, x_t, s, t)
    survived, left = np.sqrt(schedule.alpha_bar[t]), 1 - schedule.alpha_bar[s]
    wanted = np.sqrt(schedule.alpha_bar_ts(s, t))
    return Gaussian(q.mean + (survived - wanted) * left / (1 - schedule.alpha_bar[t]) * x_t, q.var)


def suspect_b(schedule: Schedule, x_0: Any, x_t: Any, s: int, t: int) -> Gaussian:
    """Says it is q(x_s | x_t, x_0). Is it? Do not read on: ask for numbers (notebook 03)."""
    return Gaussian(posterior(schedule, x_0, x_t, s, t).mean, transition(schedule, x_t, s, t).var)
