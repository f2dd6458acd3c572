"""Exercises of notebook 08: DDIM's noise, a grid of ten steps, a bug that an order does not see, a later start, guidance in an interval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import ndtr

from minidiff.course.exercise import Exercise, Function
from minidiff.mixture import ExactDenoiser, GaussianMixture
from minidiff.process import posterior
from minidiff.sample import dpm_solver, last
from minidiff.schedule import Schedule

SCHEDULE = Schedule.linear(1000)


def _line() -> GaussianMixture:
    return GaussianMixture(np.array([0.6, 0.4]), np.array([[-0.8], [1.0]]), np.array([0.3**2, 0.2**2]))


def _ranks(n: int = 60) -> np.ndarray:
    return (np.arange(n) + 0.5) / n


def _cdf(of: GaussianMixture, x: np.ndarray) -> np.ndarray:
    return np.asarray(ndtr((x.reshape(-1, 1) - of.means.T) / np.sqrt(of.covs[:, 0, 0])) @ of.weights)


def _quantile(of: GaussianMixture, p: np.ndarray) -> np.ndarray:
    x = np.linspace(-9, 9, 18_001)
    return np.interp(p, _cdf(of, x), x)[:, None]


# -- 1: how much noise ---------------------------------------------------------------------------------------------------


def _sigma(schedule: Schedule, s: np.ndarray, t: np.ndarray, eta: float) -> np.ndarray:
    """By the law of x_s given x_t and x_0, which is what eta scales."""
    one = np.ones((len(t), 1))
    return np.asarray(eta * np.sqrt(posterior(schedule, one, one, s, t).var))[:, 0]


def _one_step_beta(schedule: Schedule, s: np.ndarray, t: np.ndarray, eta: float) -> np.ndarray:
    a = schedule.alpha_bar
    return np.asarray(eta * np.sqrt((1 - a[s]) / (1 - a[t]) * schedule.beta[t]))


# -- 2: ten steps --------------------------------------------------------------------------------------------------------


def _score() -> tuple[Callable[[list[int]], float], float]:
    """W_1 of the two-clump line under 2M, through quantiles, and the better of the two grids of the library."""
    line, ranks = _line(), _ranks()
    x_T, x_end = _quantile(line.push(*_scales(1000)), ranks), _quantile(line, ranks)
    exact = ExactDenoiser(line, SCHEDULE)

    def score(times: list[int]) -> float:
        return float(np.abs(np.sort(last(dpm_solver(exact, x_T, times)), axis=0) - x_end).mean())

    return score, min(score(SCHEDULE.times(10, spacing)) for spacing in ("trailing", "quadratic"))


def _scales(t: int) -> tuple[float, float]:
    signal, noise = SCHEDULE.scales(t)
    return float(signal), float(noise**2)


# -- 4: a later start ----------------------------------------------------------------------------------------------------


def _start(measure: Function = np.mean) -> Function:
    """The smallest t at which a start from N(0, 1) costs at most 0.01, with no solver at all: the flow carries F_t to F_0."""

    def first(schedule: Schedule, data: GaussianMixture, start: np.ndarray, end: np.ndarray) -> int:
        def cost(t: int) -> float:
            signal, noise = schedule.scales(t)
            return float(measure(np.abs(_quantile(data, _cdf(data.push(float(signal), float(noise**2)), start)) - end)))

        low, high = 1, schedule.T  # the cost falls with t
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if cost(middle) <= 0.01 else (middle, high)
        return high

    return first


def _start_example() -> tuple[Any, ...]:
    standard = GaussianMixture(np.ones(1), np.zeros((1, 1)), np.ones(1))
    return SCHEDULE, _line(), _quantile(standard, _ranks()), _quantile(_line(), _ranks())


# -- 5: guidance in an interval ------------------------------------------------------------------------------------------


def _ends(r: float, w: float, wanted: float) -> list[float]:
    """By quadrature of what guidance adds to the exponent, and a root finder."""

    def variance(low: float, high: float) -> float:
        return float(r * np.exp(-w * quad(lambda n: 1 / (r + n) - 1 / (1 + n), low**2, high**2)[0]))

    return [
        float(brentq(lambda high: variance(0.0, high) - wanted, 1e-6, 50.0)),
        float(brentq(lambda low: variance(low, np.inf) - wanted, 1e-6, 50.0)),
    ]


EXERCISES = (
    Exercise(
        "sigma of DDIM", "08", "section 2", _sigma, {
            "the variance, not its root": lambda *args: _sigma(*args) ** 2,
            "with eta not squared in the variance (sigma^2 = eta beta-tilde)": lambda a, s, t, eta: _sigma(a, s, t, 1.0) * np.sqrt(eta),
            "with the beta of one step instead of the whole stride": _one_step_beta,
            "with beta in the place of beta-tilde": lambda a, s, t, eta: eta * np.sqrt(1 - a.alpha_bar[t] / a.alpha_bar[s]),
        },
        lambda: (SCHEDULE, np.array([700, 300, 0]), np.array([1000, 600, 200]), 0.5), entry="step",
    ),
    Exercise(
        "ten steps of your own", "08", "section 8", lambda score, best: [11, 1000, 0, True, True], {
            "a grid of ten times: ten steps are eleven": lambda score, best: [10, 1000, 0, True, True],
            "a grid that stops short of the data, at t = 1": lambda score, best: [11, 1000, 1, True, True],
            "a grid that does not fall at every step": lambda score, best: [11, 1000, 0, False, False],
            "a grid, but not better than the best of the four; put the steps where the guess of x_0 moves": (
                lambda score, best: [11, 1000, 0, True, False]
            ),
        },
        _score, points=2,
    ),
    Exercise(
        "order with the ratio upside down", "08", "section 6", lambda: "none", {
            "no: even steps in t are uneven steps in lambda, and yet the slope stays near 2": lambda: "even times",
            "no: what one step adds the next takes away; measure it": lambda: "uneven times",
            "no: on even times the slope is 1.96; measure the other": lambda: "both",
        },
    ),
    Exercise(
        "latest start", "08", "section 3: quantiles to quantiles", _start(), {
            "for the largest distance of any path, not the mean": _start(np.max),
            "for the root of the mean square, which is W_2": _start(lambda d: np.sqrt((d**2).mean())),
            "the number of times that are left out, not the time of the start": lambda s, *args: s.T - _start()(s, *args),
        },
        _start_example, points=2, rtol=0.02,
    ),
    Exercise(
        "guidance in an interval", "08", "section 10", _ends, {
            "sigma^2, not sigma": lambda r, w, wanted: np.square(_ends(r, w, wanted)),
            "the two ends in the other order": lambda r, w, wanted: _ends(r, w, wanted)[::-1],
            "with the exponent w + 1: the 1 is in the factor r already": lambda r, w, wanted: _ends(r, w + 1, wanted),
            "with half the exponent, that of a standard deviation": lambda r, w, wanted: _ends(r, w / 2, wanted),
        },
        lambda: (0.3, 1.4, 0.16),
    ),
)  # fmt: skip
