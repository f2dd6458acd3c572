"""The reverse process p_theta(x_s | x_t): the posterior at the predicted x_0, with a choice of variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.arrays import Array, is_torch, like, per_example, same_shape
from minidiff.gaussian import Gaussian
from minidiff.prediction import Prediction
from minidiff.process import posterior, posterior_variance, posterior_weights
from minidiff.schedule import Schedule


def reverse_transition(schedule: Schedule, pred: Prediction, x_t: Array, s: Any, t: Any, variance: Any = "small") -> Gaussian:
    """p_theta(x_s | x_t) = N(mu_tilde(x_t, x_0-hat), sigma^2 I).

    Source: DDPM (Ho et al. 2020), Eq. 1 and 11. variance, for sigma^2:
    "small"   beta-tilde, the posterior's own (optimal for data that are a single point);
    "large"   beta_ts (optimal for data N(0, I));
    "learned" exp(v log beta_ts + (1 - v) log beta-tilde), v = (pred.var_mix + 1) / 2 (Improved DDPM Eq. 15), not clamped;
    an array  of shape (T + 1,): sigma_t^2 = variance[t], whatever s is.
    The step to s = 0: see `fixed_variance`. Shapes: x_t (B, ...), s and t int or (B,). Raises ValueError for an unknown variance.
    Checked by `minidiff verify` (ddpm 9-10, 11, section 3.2).

    >>> schedule, x = Schedule.linear(10), np.array([[0.5]])
    >>> p = reverse_transition(schedule, Prediction(x, 0 * x), x, 4, 5, "large")
    >>> bool(p.var == schedule.beta_ts(4, 5))
    True
    """
    same_shape("pred.x_0 and x_t", pred.x_0, x_t)
    mean = posterior(schedule, pred.x_0, x_t, s, t).mean  # DDPM Eq. 11: the posterior mean, with x_0 guessed
    if not isinstance(variance, str):
        return Gaussian(mean, per_example(_explicit(schedule, variance)[schedule.check(t)], x_t))
    if variance == "learned":
        return Gaussian(mean, _learned(schedule, pred, x_t, s, t))
    return Gaussian(mean, per_example(fixed_variance(schedule, s, t, variance), x_t))


def fixed_variance(schedule: Schedule, s: Any, t: Any, kind: str) -> Any:
    """sigma^2 of a step from t to s, float64: beta-tilde for "small", beta_ts for "large" (DDPM section 3.2).

    At s = 0 beta-tilde is 0 and p_theta(x_0 | x_t) would have no density. Both kinds then use the beta-tilde of the *next*
    pair, (t, 2t): on the full grid that is the beta-tilde of t = 2, which is what Ho et al.'s program puts at t = 1. Equations
    B1 of the course show what this choice costs; an explicit array with sigma_1^2 = beta_1 avoids it. ("learned" at s = 0
    lies between this and beta_ts, as in Nichol & Dhariwal's program.)

    >>> schedule = Schedule.linear(10)
    >>> bool(fixed_variance(schedule, 0, 1, "large") == fixed_variance(schedule, 1, 2, "small"))
    True
    """
    if kind not in ("small", "large"):
        raise ValueError(f'variance must be "small", "large", "learned" or an array of shape (T + 1,); got {kind!r}')
    s, t = schedule.check_pair(s, t)
    if np.any((s == 0) & (t == schedule.T)):
        why = f"the step from T = {schedule.T} to 0 has no pair after it to lend a variance"
        raise ValueError(f"{why}: give variance as an array of shape (T + 1,)")
    start, end = np.where(s == 0, t, s), np.where(s == 0, np.minimum(2 * t, schedule.T), t)
    small = posterior_variance(schedule, start, end)
    return small if kind == "small" else np.where(s == 0, small, schedule.beta_ts(s, t))


def optimal_variance(schedule: Schedule, mmse: Any) -> Any:
    """sigma_t^2 = beta-tilde_t + c_t^2 mmse_t, t = 1..T: the variance with the smallest bound, as an explicit table (T + 1,).

    mmse: E Var[x_0 | x_t] per dimension at each t, (T + 1,), entry 0 unused; c_t the weight of x_0 in the posterior mean. At t = 1 this
    is mmse_1, the best for the density decoder. Source: Bao et al. 2022 (Analytic-DPM), Eq. 7 (numbering unconfirmed); equations B1, B2.
    Raises ValueError for another shape, or a number below 0. Checked by `minidiff verify` (improved_ddpm 15 optimum).
    """
    mmse = np.asarray(mmse, dtype=np.float64)
    if mmse.shape != (schedule.T + 1,):
        raise ValueError(f"mmse must have shape ({schedule.T + 1},), entry t for time t; got shape {mmse.shape}")
    if not np.all(mmse[1:] >= 0):
        low = 1 + int(np.argmin(mmse[1:] >= 0))
        raise ValueError(f"mmse must be numbers >= 0; entry {low} is {float(mmse[low])}")
    t = np.arange(1, schedule.T + 1)
    c, _ = posterior_weights(schedule, t - 1, t)
    return np.concatenate([[0.0], posterior_variance(schedule, t - 1, t) + c**2 * mmse[1:]])


def _explicit(schedule: Schedule, variance: Any) -> Any:
    if is_torch(variance):
        variance = variance.detach().cpu().numpy()
    if not isinstance(variance, (np.ndarray, list, tuple)):
        kinds = '"small", "large", "learned" or an array of shape (T + 1,)'
        raise TypeError(f"variance must be {kinds}; got {type(variance).__name__}")
    table = np.asarray(variance, dtype=np.float64)
    if table.shape != (schedule.T + 1,):
        raise ValueError(f"explicit variances must have shape ({schedule.T + 1},), entry t for a step from t; got {table.shape}")
    if not np.all(table[1:] >= 0):
        t = 1 + int(np.argmin(table[1:] >= 0))
        raise ValueError(f"explicit variances must be numbers >= 0; entry {t} is {float(table[t])}")
    return table


def _learned(schedule: Schedule, pred: Prediction, x_t: Array, s: Any, t: Any) -> Array:
    if pred.var_mix is None:
        raise ValueError('variance="learned" needs a denoiser that predicts var_mix; this one does not: use "small" or "large"')
    log_small = np.log(fixed_variance(schedule, s, t, "small"))
    log_large = np.log(schedule.beta_ts(s, t))
    same_shape("pred.var_mix and x_t", pred.var_mix, x_t)
    v = (pred.var_mix + 1) / 2
    log_var = v * like(log_large, x_t) + (1 - v) * like(log_small, x_t)
    return log_var.exp() if is_torch(log_var) else np.exp(log_var)
