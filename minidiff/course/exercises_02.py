"""Exercises of notebook 02: the table of alpha_bar, data of another scale, the smallest safe beta, the same end in fewer steps."""

from __future__ import annotations

import numpy as np

from minidiff.bound import bits_per_dim, prior_term
from minidiff.course.exercise import Exercise
from minidiff.mixture import GaussianMixture
from minidiff.schedule import Schedule


def _variance(s2: float, alpha_bar: np.ndarray) -> np.ndarray:
    """By the law of the mixture with one component, pushed."""
    one = GaussianMixture(np.ones(1), np.zeros((1, 1)), np.array([s2]))
    return np.array([one.push(np.sqrt(a), 1 - a).covs[0, 0, 0] for a in alpha_bar])


def _smallest(least: float = 1e-3) -> float:
    """Bisection: L_T, here in bits a pixel, falls with beta_T."""
    low, high = 0.02, 0.9
    for _ in range(40):
        middle = (low + high) / 2
        bits = bits_per_dim(prior_term(Schedule.linear(50, beta_T=middle), np.ones((1, 1)))[0], 1)
        low, high = (low, middle) if bits < least else (middle, high)
    return high


EXERCISES = (
    Exercise(
        "table of alpha_bar", "02", "section 2", lambda betas: Schedule.from_betas(betas).alpha_bar, {
            "the product of the betas; it is the product of 1 - beta that survives": lambda b: np.concatenate([[1.0], np.cumprod(b)]),
            "1 minus the sum of the betas: right only while it is small": lambda b: np.concatenate([[1.0], 1 - np.cumsum(b)]),
            "the square root of the right one: that is the signal scale": lambda b: np.sqrt(np.concatenate([[1.0], np.cumprod(1 - b)])),
            "shifted by one: entry t must contain beta_t": lambda b: np.concatenate([[1.0, 1.0], np.cumprod(1 - b[:-1])]),
            "without entry 0, which is data: alpha_bar_0 = 1": lambda b: np.cumprod(1 - b),
        },
        lambda: (np.array([0.1, 0.2, 0.3, 0.4]),), entry="t =",
    ),
    Exercise(
        "data of another scale", "02", "section 2", _variance, {
            "with the scale once; a variance takes its square": lambda s2, a: np.sqrt(a) * s2 + 1 - a,
            "the variance given x_0; the data vary too": lambda s2, a: 1 - a,
            "the standard deviation, not the variance": lambda s2, a: np.sqrt(a * s2 + 1 - a),
        },
        lambda: (4.0, np.array([0.99, 0.6, 0.1])),
    ),
    Exercise(
        "smallest safe beta", "02", "section 5: L_T", _smallest, {
            "20 times the usual value: it keeps the sum of the betas, and is more than enough": lambda: 0.4,
            "a hundredth of the bits that were asked for": lambda: _smallest(1e-5),
        },
        rtol=5e-3,
    ),
    Exercise(
        "one beta for all steps", "02", "section 2", lambda alpha_bar_T, T: 1 - alpha_bar_T ** (1 / T), {
            "exact only for small beta: log(1 - beta) is not -beta": lambda alpha_bar_T, T: -np.log(alpha_bar_T) / T,
            "the factor that survives, 1 - beta": lambda alpha_bar_T, T: alpha_bar_T ** (1 / T),
        },
        lambda: (4.04e-5, 100),
    ),
)  # fmt: skip
