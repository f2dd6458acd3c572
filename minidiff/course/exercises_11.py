"""Exercises of notebook 11: a Gaussian given a part of it, the known part at the right level, the bill of resampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.arrays import normal
from minidiff.course.exercise import Exercise
from minidiff.edit import inpaint
from minidiff.mixture import ExactDenoiser, GaussianMixture
from minidiff.prediction import Prediction
from minidiff.process import marginal
from minidiff.sample import last
from minidiff.schedule import Schedule

Array = np.ndarray


def _conditional(m_a: float, m_b: float, s_a: float, s_b: float, rho: float, a: float) -> tuple[float, float]:
    """By the library, which solves with the matrix of covariances."""
    c = rho * s_a * s_b
    pair = GaussianMixture(np.ones(1), np.array([[m_a, m_b]]), np.array([[[s_a**2, c], [c, s_b**2]]]))
    given = pair.conditional(0, a)
    return float(given.mean()[0]), float(given.covs[0, 0, 0])


def _slope(slope: float, m_b: float, s_b: float, rho: float, a: float) -> tuple[float, float]:
    """Mean and variance with this slope, a being counted from its mean."""
    return m_b + slope * a, s_b**2 * (1 - rho**2)


def _known(schedule: Schedule, known: Array, z: Array, s: int, t: int) -> Array:
    return np.asarray(marginal(schedule, known, s).sample(z))


class _Counted:
    """An exact denoiser that counts how often it is asked."""

    def __init__(self, steps: int) -> None:
        self.schedule, self.calls = Schedule.cosine(steps, max_beta=0.5), 0
        self.inner = ExactDenoiser(GaussianMixture(np.ones(1), np.zeros((1, 2)), np.array([[[1.0, 0.6], [0.6, 1.0]]])), self.schedule)

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction:
        self.calls += 1
        return self.inner(x_t, t)


def _calls(n: Array, U: Array) -> list[int]:
    """Run and counted."""
    counts = []
    for steps, tries in zip(n, U, strict=True):
        denoiser, x, draw = _Counted(int(steps)), np.zeros((1, 2)), normal(np.random.default_rng(0))
        last(inpaint(denoiser, x, denoiser.schedule.times(int(steps)), draw, x, np.array([[True, False]]), resample=int(tries)))
        counts.append(denoiser.calls)
    return counts


EXERCISES = (
    Exercise(
        "pair, one part given", "11", "section 1", _conditional, {
            "with the correlation where the slope rho s_b / s_a belongs": lambda m_a, m_b, s_a, s_b, rho, a: (
                _slope(rho, m_b, s_b, rho, a - m_a)
            ),
            "with the slope upside down, rho s_a / s_b": lambda m_a, m_b, s_a, s_b, rho, a: _slope(rho * s_a / s_b, m_b, s_b, rho, a - m_a),
            "without subtracting m_a": lambda m_a, m_b, s_a, s_b, rho, a: _slope(rho * s_b / s_a, m_b, s_b, rho, a),
            "with the standard deviation instead of the variance": lambda m_a, m_b, s_a, s_b, rho, a: (
                m_b + rho * s_b / s_a * (a - m_a), s_b * np.sqrt(1 - rho**2)
            ),
            "with the variance of the standardised pair, 1 - rho^2": lambda m_a, m_b, s_a, s_b, rho, a: (
                m_b + rho * s_b / s_a * (a - m_a), 1 - rho**2
            ),
        },
        lambda: (1.0, -2.0, 2.0, 0.5, 0.6, 3.0),
    ),
    Exercise(
        "known part after a step", "11", "section 2: the known part is noised to s", _known, {
            "noised to t, where the step came from: one level too noisy": lambda schedule, known, z, s, t: _known(schedule, known, z, t, s),
            "clean: the model has never seen a clean pixel beside noisy ones": lambda schedule, known, z, s, t: known,
            "only scaled, with no noise": lambda schedule, known, z, s, t: schedule.scales(s)[0] * known,
            "with the variance in place of the standard deviation of the noise": lambda schedule, known, z, s, t: (
                schedule.scales(s)[0] * known + schedule.scales(s)[1] ** 2 * z
            ),
            "noised, but not scaled down": lambda schedule, known, z, s, t: known + schedule.scales(s)[1] * z,
        },
        lambda: (Schedule.cosine(50, max_beta=0.5), np.array([0.5, -1.0]), np.array([0.3, 0.7]), 20, 25),
    ),
    Exercise(
        "calls of inpainting", "11", "section 3", _calls, {
            "all steps U times; the last one is made once": lambda n, U: n * U,
            "one call for each noising back, too": lambda n, U: n + 2 * (U - 1) * (n - 1),
            "U extra tries instead of U in all": lambda n, U: (n - 1) * (U + 1) + 1,
        },
        lambda: (np.array([7, 5]), np.array([4, 1])),
    ),
)  # fmt: skip
