"""Exercises of notebook 09: the best v, the weight of a drawn t, the pull on the mean, what can be traded, how much the bound may say."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.course.exercise import Exercise
from minidiff.process import posterior_variance, posterior_weights
from minidiff.reverse import optimal_variance
from minidiff.schedule import Schedule

Rows = np.ndarray
LAMBDA = 1e-3


def _table(mmse: Rows, schedule: Schedule) -> tuple[Rows, Rows, Rows]:
    """beta-tilde_t, beta_t and the best variance at t = 2..T, from the library."""
    t = np.arange(2, schedule.T + 1)
    return posterior_variance(schedule, t - 1, t), schedule.beta[2:], optimal_variance(schedule, mmse)[2:]


def _v(mmse: Rows, schedule: Schedule) -> Rows:
    """By way of the fraction u_t = mmse_t / (1 - alpha_bar_t), the same for any stride: v = log(1 + u (rho - 1)) / log rho."""
    tilde, beta, _ = _table(mmse, schedule)
    rho, u = beta / tilde, mmse[2:] / (1 - schedule.alpha_bar[2:])
    return np.asarray(np.log1p(u * (rho - 1)) / np.log(rho))


def _fraction(mmse: Rows, schedule: Schedule) -> Rows:
    tilde, beta, best = _table(mmse, schedule)
    return np.asarray((best - tilde) / (beta - tilde))


def _mmse_alone(mmse: Rows, schedule: Schedule) -> Rows:
    tilde, beta, _ = _table(mmse, schedule)
    return np.asarray(np.log(mmse[2:] / tilde) / np.log(beta / tilde))


def _not_divided(mmse: Rows, schedule: Schedule) -> Rows:
    tilde, _, best = _table(mmse, schedule)
    return np.log(best / tilde)


def _data() -> tuple[Any, ...]:
    """Gaussian data of variance 0.3: the error of the ideal denoiser in closed form."""
    schedule = Schedule.cosine(12)
    left = schedule.alpha_bar
    return 0.3 * (1 - left) / (0.3 * left + 1 - left), schedule


def _weights(p: Rows) -> Rows:
    """By linear algebra: the w for which sum_t p_t w_t loss_t is the mean of any losses, so of each row of the identity."""
    return np.asarray(np.linalg.solve(np.diag(p), np.full(len(p), 1 / len(p))))


def _pull(schedule: Schedule) -> Rows:
    """From the KL divergence: the bound charges T c_t^2 / (2 beta-tilde_t SNR_t) for a squared error of eps, L_simple 1."""
    t = np.arange(2, schedule.T + 1)
    charged = posterior_weights(schedule, t - 1, t)[0] ** 2 / (2 * posterior_variance(schedule, t - 1, t) * schedule.snr(t))
    return np.asarray(LAMBDA * schedule.T * charged)


EXERCISES = (
    Exercise(
        "best v", "09", "section 2", _v, {
            "the fraction u, a mix of variances and not of logarithms": _fraction,
            "the weight of beta-tilde, 1 - v": lambda m, s: 1 - _v(m, s),
            "the network's output 2 v - 1, not v": lambda m, s: 2 * _v(m, s) - 1,
            "not divided by the width of the range": _not_divided, "for sigma^2 = mmse alone": _mmse_alone,
        },
        _data, points=2, entry="t - 2 =",
    ),
    Exercise(
        "weights of drawn times", "09", "section 5", _weights, {
            "the sum over t, not the mean: T times too large": lambda p: 1 / p, "the probability, not its inverse": lambda p: p,
            "T p, the wrong way up": lambda p: len(p) * p,
            "made to average 1 over t, which is not the average over draws": lambda p: 1 / p / (1 / p).mean(),
            "1, as if the draws were uniform: the mean is then that of the losses times p": np.ones_like,
        },
        lambda: (np.array([0.5, 0.25, 0.15, 0.1]),), entry="t - 1 =",
    ),
    Exercise(
        "pull on the mean", "09", "section 4", _pull, {
            "without T: one L_{t-1} in place of T of them": lambda s: _pull(s) / s.T, "without the half": lambda s: 2 * _pull(s),
            "without lambda": lambda s: _pull(s) / LAMBDA,
            "the weight of the error of x_0, not of eps": lambda s: _pull(s) * s.snr(np.arange(2, s.T + 1)),
        },
        lambda: (Schedule.cosine(12),), entry="t - 2 =",
    ),
    Exercise(
        "what there is to trade", "09", "section 4", lambda: "eps error", {
            "no: the bound improves at every size; which number says that it can be moved from one t to another?": lambda: "L - H",
            "that is the verdict, not its cause": lambda: "W_1",
            "no: it falls when the model is better and says nothing of what could still be moved": lambda: "CE - H",
        },
    ),
    Exercise(
        "what suffers at lambda = 1", "09", "section 4: the layers below are shared", lambda: "the mean", {
            "no: the bound is what teaches the variance, and the more the larger lambda is": lambda: "the variance",
            "the stop-gradient holds at the output only; look below it": lambda: "nothing",
        },
    ),
)  # fmt: skip
