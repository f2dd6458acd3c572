"""Exercises of notebook 01: the KL of a batch, two looks, noise twice, the third valley."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.course.exercise import Exercise
from minidiff.gaussian import Gaussian

Rows = np.ndarray


def _kl(m_p: Rows, v_p: Rows, m_q: Rows, v_q: Rows) -> Rows:
    """Elementwise, by the library."""
    return np.asarray(Gaussian(m_p, v_p).kl(Gaussian(m_q, v_q)))


def _batch() -> tuple[Any, ...]:
    m_p, m_q = np.array([[0.3, -1.0, 2.0], [0.0, 0.5, -0.5]]), np.array([[0.0, -0.4, 1.0], [1.0, 0.5, 0.25]])
    return m_p, np.array([0.5, 1.0, 2.0]), m_q, np.array([1.0, 1.5, 0.5])


def _looks(w_1: float, w_2: float) -> float:
    """Bayes' rule twice, with looks that happened to show 0.3 and 0.9: the variance does not depend on what was seen."""
    return float(Gaussian(np.array([0.0]), 1.0).given(1.0, w_1, np.array([0.3])).given(1.0, w_2, np.array([0.9])).var)


def _twice(a: float, w: float, b: float, u: float) -> float:
    return float(Gaussian(np.array([0.0]), 0.0).push(a, w).push(b, u).var)


EXERCISES = (
    Exercise(
        "KL of a batch", "01", "section 4", lambda *args: _kl(*args).sum(-1), {
            "the mean over dimensions, not the sum": lambda *args: _kl(*args).mean(-1),
            "KL(q || p), the other way round": lambda m_p, v_p, m_q, v_q: _kl(m_q, v_q, m_p, v_p).sum(-1),
            "the squared error only; the widths differ too": lambda m_p, v_p, m_q, v_q: ((m_p - m_q) ** 2 / (2 * v_q)).sum(-1),
            "divided by the standard deviation of q, not its variance": lambda m_p, v_p, m_q, v_q: (
                0.5 * (v_p / v_q - 1 - np.log(v_p / v_q)) + (m_p - m_q) ** 2 / (2 * np.sqrt(v_q))
            ).sum(-1),
            "summed over the batch as well": lambda *args: _kl(*args).sum(),
            "the squared distance of means over the variance of p, not of q": lambda m_p, v_p, m_q, v_q: (
                _kl(m_p, v_p, m_q, v_q) + (m_p - m_q) ** 2 * (1 / v_p - 1 / v_q) / 2
            ).sum(-1),
            "with the logarithm of the ratio of variances upside down": lambda m_p, v_p, m_q, v_q: (
                _kl(m_p, v_p, m_q, v_q) + np.log(v_p / v_q)
            ).sum(-1),
        },
        _batch, entry="example",
    ),
    Exercise(
        "two looks", "01", "section 3: precisions add", _looks, {
            "without the prior, which counts as a look too": lambda w_1, w_2: 1 / (1 / w_1 + 1 / w_2),
            "the sum of variances; precisions add": lambda w_1, w_2: 1 + w_1 + w_2,
            "a single look at the average; the looks differ in quality": lambda w_1, w_2: 1 / (1 + 4 / (w_1 + w_2)),
            "the precision, not the variance": lambda w_1, w_2: 1 + 1 / w_1 + 1 / w_2,
        },
        lambda: (0.5, 0.2),
    ),
    Exercise(
        "noise twice", "01", "section 2", _twice, {
            "the sum; the first noise is scaled by b as well": lambda a, w, b, u: w + u,
            "with b once; variances take the square of a scale": lambda a, w, b, u: b * w + u,
            "with a in place of b: the later scale acts on the earlier noise": lambda a, w, b, u: a**2 * w + u,
        },
        lambda: (0.9, 0.19, 0.6, 0.64),
    ),
    Exercise(
        "third valley", "01", "section 5", lambda found: found, {
            "the width of one mode: at mean 0 that is the ridge": lambda found: 0.5,
            "the best std for KL(p || q), the other direction": lambda found: 2.06,
        },
        lambda: (1.74,), rtol=0.01,
    ),
)  # fmt: skip
