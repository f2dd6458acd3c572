"""Exercises of notebook 05: weights of the v loss, a flow network, lost labels, a schedule with a flat price, rows that agree, a loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from minidiff.course.exercise import Exercise, Function
from minidiff.mixture import ExactDenoiser, GaussianMixture
from minidiff.prediction import from_output, target
from minidiff.process import posterior_variance, posterior_weights
from minidiff.schedule import Schedule

Rows = np.ndarray
FIRST, LAST = 1e4, 4e-5  # the ends of exercise 4: SNR(1) and SNR(T)


def _snr(schedule: Schedule) -> Rows:
    return np.asarray(schedule.snr(np.arange(1, schedule.T + 1)))


def _charged(schedule: Schedule, kind: str) -> Rows:
    """How much the loss of a kind charges for an error of x_0-hat of 1, measured: by two predictions that differ by it."""
    signal, noise = schedule.scales(np.arange(1, schedule.T + 1))
    x_t = np.zeros_like(signal)
    said = [target(kind, p.x_0, p.eps, signal, noise) for p in (from_output("x_0", x_t + k, x_t, signal, noise) for k in (0.0, 1.0))]
    return np.asarray((said[1] - said[0]) ** 2)


def _min_snr(schedule: Schedule, kind: str = "v") -> Rows:
    return np.minimum(_snr(schedule), 5) / _charged(schedule, kind)


# -- 2: a flow network ---------------------------------------------------------------------------------------------------


def _eps_of_flow(flow: Function, x_t: Rows, a: float, b: float) -> Rows:
    """By way of x_0: what is said at y = x_t / (a + b) fixes x_0, and x_0 with x_t fixes eps."""
    tau, y = b / (a + b), x_t / (a + b)
    return np.asarray((x_t - a * (y - tau * flow(y, tau))) / b)


def _flow_example() -> tuple[Any, ...]:
    data = GaussianMixture(np.array([0.7, 0.3]), np.array([[-0.5], [1.2]]), np.array([0.1, 0.2]))

    def flow(y: Rows, tau: float) -> Rows:
        return np.asarray((y - data.posterior(y, 1 - tau, tau**2)[0]) / tau)

    schedule = Schedule.linear(20, 0.01, 0.3)
    signal, noise = (float(scale) for scale in schedule.scales(7))
    x_t = np.linspace(-2, 2, 5)[:, None]
    assert np.allclose(_eps_of_flow(flow, x_t, signal, noise), ExactDenoiser(data, schedule)(x_t, 7).eps)
    return flow, x_t, signal, noise


# -- 4 and 6: a schedule with a flat price, a price for a loss -----------------------------------------------------------


def _table(snr: Rows) -> Rows:
    return np.r_[1.0, snr / (1 + snr)]


def _bound_over_simple(schedule: Schedule, own: str = "eps") -> Rows:
    """The bound's price over that of a loss, from the KL divergence, at t = 1 that of t = 2; of mean 1."""
    t = np.arange(2, schedule.T + 1)
    price = posterior_weights(schedule, t - 1, t)[0] ** 2 / (2 * posterior_variance(schedule, t - 1, t)) / _charged(schedule, own)[1:]
    price = np.r_[price[0], price]
    return np.asarray(price / price.mean())


def _network(letter: str, right: str) -> Exercise:
    signs = {
        "eps": "an eps network repeats its input at t = 1000", "x_0": "an x_0 network repeats its input at t = 1",
        "v": "a v network says almost nothing at t = 1000",
        "score": "a score network is large at t = 1, and minus its input at t = 1000",
    }  # fmt: skip
    wrong: dict[str, Function] = {f"not {kind}: {why}": (lambda kind=kind: kind) for kind, why in signs.items() if kind != right}
    return Exercise(f"network {letter}", "05", "section 8: where each kind is safe", lambda: right, wrong)


EXERCISES = (
    Exercise(
        "v loss over eps loss", "05", "section 6", lambda s: _charged(s, "v") / _charged(s, "eps"), {
            "v over x_0, not over eps": lambda s: 1 + _snr(s), "upside down (eps over v)": lambda s: 1 / (1 + 1 / _snr(s)),
            "x_0 over eps": lambda s: 1 / _snr(s), "the root: of errors, not of their squares": lambda s: np.sqrt(1 + 1 / _snr(s)),
        },
        lambda: (Schedule.linear(12, 0.02, 0.5),), entry="t - 1 =",
    ),
    Exercise(
        "min-SNR for a v network", "05", "section 7", _min_snr, {
            "the factor for an x_0 network": lambda s: _min_snr(s, "x_0"), "the factor for an eps network": lambda s: _min_snr(s, "eps"),
            "divided by 1 + 1/SNR, the answer to (a)": lambda s: np.minimum(_snr(s), 5) / (1 + 1 / _snr(s)),
        },
        lambda: (Schedule.linear(12, 0.02, 0.5),), entry="t - 1 =",
    ),
    Exercise(
        "flow network as a denoiser", "05", "section 1", _eps_of_flow, {
            "x_t put in without dividing by a + b": lambda f, x, a, b: x + (1 - b / (a + b)) * f(x, b / (a + b)),
            "tau = b, but the scales must sum to 1": lambda f, x, a, b: x / (a + b) + (1 - b) * f(x / (a + b), b),
            "the clock reversed, tau = a / (a + b)": lambda f, x, a, b: x / (a + b) + b / (a + b) * f(x / (a + b), a / (a + b)),
            "x_0, not eps": lambda f, x, a, b: x / (a + b) - b / (a + b) * f(x / (a + b), b / (a + b)),
            "y left in its own units: x_t + (1 - tau) u": lambda f, x, a, b: x + a / (a + b) * f(x / (a + b), b / (a + b)),
        },
        _flow_example, points=2,
    ),
    _network("A", "score"), _network("B", "x_0"), _network("C", "v"),
    Exercise(
        "flat price", "05", "section 6", lambda: np.r_[1.0, expit(np.linspace(np.log(FIRST), np.log(LAST), 1000))], {
            "the usual linear schedule": lambda: Schedule.linear(1000).alpha_bar,
            "even steps in SNR, not in its logarithm": lambda: _table(np.linspace(FIRST, LAST, 1000)),
            "even steps in alpha_bar": lambda: np.r_[1.0, np.linspace(FIRST / (1 + FIRST), LAST / (1 + LAST), 1000)],
            "without entry 0, which is data: alpha_bar_0 = 1": lambda: _table(np.geomspace(FIRST, LAST, 1000))[1:],
            "the SNR, not alpha_bar = SNR / (1 + SNR)": lambda: np.r_[1.0, np.geomspace(FIRST, LAST, 1000)],
        },
        entry="t =",
    ),
    Exercise(
        "rows that agree", "05", "section 2: one best answer", lambda: 7, {
            "only those with their own loss, or only those charged for eps: a price at t does not move the minimum at t": lambda: 4,
            "only those marked 'eps loss'; what does another price change at a given t?": lambda: 3,
            "none: each kind has a best answer, and section 2 turned them into each other": lambda: 0,
        },
    ),
    Exercise(
        "weights of the bound for simple_loss", "05", "section 6", _bound_over_simple, {
            "the price of an error of x_0, but simple_loss charges for eps": lambda s: _bound_over_simple(s, "x_0"),
            "the price over that of the v loss, but simple_loss charges for eps, whatever the network says": (
                lambda s: _bound_over_simple(s, "v")
            ),
            "of mean 1/2: divided by the mean without the half": lambda s: _bound_over_simple(s) / 2,
            "upside down: where the bound asks for much, yours asks for little": (
                lambda s: (1 / _bound_over_simple(s)) / (1 / _bound_over_simple(s)).mean()
            ),
        },
        lambda: (Schedule.linear(12, 0.02, 0.5),), entry="t - 1 =",
    ),
)  # fmt: skip
