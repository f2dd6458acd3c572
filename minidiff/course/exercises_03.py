"""Exercises of notebook 03: the posterior of a longer step, two suspects, the ratio of both variances near the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.course.exercise import Exercise
from minidiff.process import posterior
from minidiff.schedule import Schedule

SCALE, VARIANCE = "sqrt(alpha_bar_t) for sqrt(1 - beta_t)", "beta_t for beta-tilde_t"


def _schedule(alpha_bar: np.ndarray) -> Schedule:
    return Schedule(alpha_bar)


def _skip(alpha_bar: np.ndarray, s: np.ndarray, t: np.ndarray) -> np.ndarray:
    schedule = _schedule(alpha_bar)
    pairs = zip(s, t, strict=True)
    return np.array([posterior(schedule, np.ones(1), np.ones(1), int(a), int(b)).var for a, b in pairs])


def _example() -> tuple[Any, ...]:
    t = np.arange(3, 9)
    return Schedule.linear(8, 0.1, 0.4).alpha_bar, t - 2, t


def _near_the_data() -> np.ndarray:
    tiny = Schedule.from_betas(np.full(4, 1e-9))
    return np.array([posterior(tiny, np.ones(1), np.ones(1), k - 1, k).var / 1e-9 for k in (2, 3, 4)])


EXERCISES = (
    Exercise(
        "variance of a longer step", "03", "section 1", _skip, {
            "beta-tilde_t, the variance for one step back": lambda a, s, t: (1 - a[t - 1]) / (1 - a[t]) * (1 - a[t] / a[t - 1]),
            "with beta_t for the noise added between s and t, which is more": lambda a, s, t: (
                (1 - a[s]) / (1 - a[t]) * (1 - a[t] / a[t - 1])
            ),
            "the noise added between s and t; seeing x_0 reduces it": lambda a, s, t: 1 - a[t] / a[s],
            "with the ratio upside down": lambda a, s, t: (1 - a[t]) / (1 - a[s]) * (1 - a[t] / a[s]),
        },
        _example, points=2, entry="t - 3 =",
    ),
    Exercise(
        "suspect a", "03", "section 1", lambda: SCALE, {"its variance is right at every t; look at the mean": lambda: VARIANCE},
    ),
    Exercise(
        "suspect b", "03", "section 1", lambda: VARIANCE, {
            "no: at t = 8 its variance is 0.4000 exactly; print short.beta and short.alpha_bar": lambda: "index of alpha_bar off by one",
            "its mean is right at every t; look at the variance": lambda: SCALE,
        },
    ),
    Exercise(
        "ratio near the data", "03", "section 1: beta-tilde_t", _near_the_data, {
            "t / (t - 1): the ratio upside down": lambda: np.array([2, 3 / 2, 4 / 3]),
            "one step late: (t - 2) / (t - 1)": lambda: np.array([0, 1 / 2, 2 / 3]),
        },
        entry="t - 2 =",
    ),
)  # fmt: skip
