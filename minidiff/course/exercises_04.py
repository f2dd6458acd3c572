"""Exercises of notebook 04: the weight of a step, 256 masses, few steps, the first variances of the chain, clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr

from minidiff.bound import discretised_log_prob
from minidiff.course.exercise import Exercise, Function
from minidiff.gaussian import Gaussian
from minidiff.process import posterior_variance, posterior_weights
from minidiff.schedule import Schedule

LEVELS = np.arange(256) / 127.5 - 1


def _step_weights(schedule: Schedule) -> np.ndarray:
    """From the KL divergence: c_t^2 / (2 beta-tilde_t), times what turns an error of eps into one of x_0."""
    t = np.arange(2, schedule.T + 1)
    c, (signal, noise) = posterior_weights(schedule, t - 1, t)[0], schedule.scales(t)
    return np.asarray(c**2 / (2 * posterior_variance(schedule, t - 1, t)) * (noise / signal) ** 2)


def _snr_pair(schedule: Schedule) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(2, schedule.T + 1)
    return schedule.snr(t - 1), schedule.snr(t)


def _masses(mean: float, std: float) -> np.ndarray:
    """By the library's decoder."""
    return np.asarray(np.exp(discretised_log_prob(Gaussian(np.full((256, 1), mean), std**2), LEVELS[:, None])))[:, 0]


def _closed(half: float) -> Function:
    """The end bins closed, and every bin of this half width."""
    return lambda mean, std: ndtr((LEVELS + half - mean) / std) - ndtr((LEVELS - half - mean) / std)


def _closest(s2: float = 0.25) -> str:
    """By the recursion of the samples' variance for Gaussian data, whose right end is s2: V <- G^2 V + sigma^2."""
    schedule = Schedule.cosine(10)
    t = np.arange(1, 11)
    v = schedule.alpha_bar * s2 + 1 - schedule.alpha_bar
    tilde, (c_0, c_t) = posterior_variance(schedule, t - 1, t), posterior_weights(schedule, t - 1, t)
    G = c_t + c_0 * np.sqrt(schedule.alpha_bar[t]) * s2 / v[t]
    mmse = s2 * (1 - schedule.alpha_bar[t]) / v[t]
    ends = {}
    for name, table in {"beta~": tilde, "beta": schedule.beta[1:], "optimal": tilde + c_0**2 * mmse}.items():
        V = 1.0
        for k in range(9, -1, -1):
            V = G[k] ** 2 * V + (table[k] if k else mmse[0])  # the last step is the same for all three: its best variance
        ends[name] = V
    return min(ends, key=lambda name: abs(ends[name] - s2))


def _repaired(schedule: Schedule, mmse: np.ndarray, entropy: float, least: float = 0.05) -> int:
    """By cumulative sums: each step that is repaired takes its own waste out of the total."""
    t, beta, left = np.arange(1, schedule.T + 1), schedule.beta[1:], schedule.alpha_bar[-1]
    tilde = posterior_variance(schedule, t - 1, t)
    best = tilde + posterior_weights(schedule, t - 1, t)[0] ** 2 * mmse[1:]
    small = 0.5 * (best[1:] / tilde[1:] - 1)
    saved = small - 0.5 * (np.log(beta[1:] / tilde[1:]) + best[1:] / beta[1:] - 1)
    at_1 = -0.5 * np.log1p(-left) + 0.5 * (np.log(2 * np.pi * beta[0]) + best[0] / beta[0]) + small.sum()  # k = 1
    gaps = at_1 - np.r_[0.0, np.cumsum(saved)] - entropy
    return int(np.argmax(gaps < least)) + 1


def _example() -> tuple[Any, ...]:
    """Gaussian data of variance 1: error and entropy in closed form."""
    schedule = Schedule.cosine(300)
    return schedule, 1 - schedule.alpha_bar, 0.5 * np.log(2 * np.pi * np.e)


EXERCISES = (
    Exercise(
        "weight of a step", "04", "section 5", _step_weights, {
            "without the half": lambda s: _snr_pair(s)[0] / _snr_pair(s)[1] - 1,
            "the weight of x_0, not of eps": lambda s: 0.5 * (_snr_pair(s)[0] - _snr_pair(s)[1]),
            "divided by the wrong SNR": lambda s: 0.5 * (1 - _snr_pair(s)[1] / _snr_pair(s)[0]),
            "the other way up": lambda s: 0.5 * (_snr_pair(s)[1] / _snr_pair(s)[0] - 1),
        },
        lambda: (Schedule.cosine(12),), entry="t - 2 =",
    ),
    Exercise(
        "256 masses", "04", "section 10", _masses, {
            "with closed end bins (the last one loses its tail)": _closed(1 / 255), "of half width 1/256": _closed(1 / 256),
            "of half width 1/127.5, twice too wide": _closed(1 / 127.5),
            "the density times the width of a bin": lambda mean, std: (
                np.exp(-0.5 * ((LEVELS - mean) / std) ** 2) / std / np.sqrt(2 * np.pi) / 127.5
            ),
        },
        lambda: (0.9, 0.25), rtol=1e-7, entry="level",
    ),
    Exercise(
        "variance for few steps", "04", "section 6: the best variance", _closest, {
            "no: each of its steps forgets the uncertainty c_t^2 mmse_t, and the samples are too narrow": lambda: "beta~",
            "no: it is the best for a Gaussian of variance 1; one of standard deviation 0.5 comes out too wide": lambda: "beta",
        },
    ),
    Exercise(
        "how many variances to repair", "04", "section 7", _repaired, {
            "one too many": lambda *args: _repaired(*args) + 1,
            "one too few: the table has beta_t for t <= k, and k counts from 1": lambda *args: _repaired(*args) - 1,
            "for 0.05 bits, not nats": lambda s, m, e: _repaired(s, m, e, 0.05 * np.log(2)),
            "the estimate 1/(4k) < 0.05, as an inequality for Gaussian data and large T only": lambda *args: 5,
        },
        _example, points=2,
    ),
    Exercise(
        "clipping data that leave the box", "04", "section 1: the data", lambda: "worse", {
            "no: where x_0 is 2, the clipped guess cannot follow": lambda: "better",
            "no: the data reach to 2, and guesses with them": lambda: "the same",
        },
    ),
    Exercise(
        "clipping data inside the box", "04", "section 10", lambda: "the same", {
            "no: clipping moves a guess towards the box, and x_0 is in it": lambda: "worse",
            "that may be so for a network; the ideal denoiser says a mean of points of the box": lambda: "better",
        },
    ),
)  # fmt: skip
