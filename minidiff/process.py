"""The forward process q, in closed form: three Gaussians, each about a pair of times s < t.

All three follow from x_t = sqrt(a) x_s + sqrt(1 - a) eps with a = alpha_bar_t / alpha_bar_s. Adjacent times s = t - 1
give the paper's formulas; distant times give those of strided samplers, with no further code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.arrays import Array, like, namespace, per_example, same_shape
from minidiff.gaussian import Gaussian
from minidiff.schedule import Schedule


def marginal(schedule: Schedule, x_0: Array, t: Any) -> Gaussian:
    """q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I).

    Source: DDPM (Ho et al. 2020), Eq. 4. Shapes: x_0 (B, ...), t int or (B,). t = 0 gives the point mass at x_0.
    Checked by `minidiff verify` (ddpm 4): t-fold numerical convolution of Eq. 2.

    >>> q = marginal(Schedule.from_betas([0.36]), np.array([[10.0]]), 1)
    >>> float(q.mean[0, 0].round(12)), float(q.var.round(12))
    (8.0, 0.36)
    """
    namespace(x_0)
    signal, noise = schedule.scales(t)
    return Gaussian(like(signal, x_0) * x_0, per_example(noise**2, x_0))


def transition(schedule: Schedule, x_s: Array, s: Any, t: Any) -> Gaussian:
    """q(x_t | x_s) = N(sqrt(abar_t / abar_s) x_s, (1 - abar_t / abar_s) I).

    For s = t - 1 this is N(sqrt(1 - beta_t) x_s, beta_t I): DDPM Eq. 2. Shapes: x_s (B, ...), s and t int or (B,), s < t.
    Checked by `minidiff verify` (ddpm 2).
    """
    namespace(x_s)
    scale = np.sqrt(schedule.alpha_bar_ts(s, t))
    return Gaussian(like(scale, x_s) * x_s, per_example(schedule.beta_ts(s, t), x_s))


def posterior(schedule: Schedule, x_0: Array, x_t: Array, s: Any, t: Any) -> Gaussian:
    """q(x_s | x_t, x_0): what x_s was, once both ends are known.

    mean = sqrt(abar_s) beta_ts / (1 - abar_t) x_0 + sqrt(abar_t / abar_s) (1 - abar_s) / (1 - abar_t) x_t
    var  = (1 - abar_s) / (1 - abar_t) beta_ts,   beta_ts = 1 - abar_t / abar_s.

    Source: DDPM Eq. 6-7 (s = t - 1). At s = 0 it is the point mass at x_0, exactly. Shapes as above.
    Checked by `minidiff verify` (ddpm 6-7): Bayes' rule by quadrature.

    >>> x_0, x_t = np.array([[3.0]]), np.array([[-5.0]])
    >>> float(posterior(Schedule.linear(10), x_0, x_t, 0, 7).mean[0, 0])
    3.0
    """
    same_shape("x_0 and x_t", x_0, x_t)
    c_0, c_t = posterior_weights(schedule, s, t)
    return Gaussian(like(c_0, x_0) * x_0 + like(c_t, x_t) * x_t, per_example(posterior_variance(schedule, s, t), x_t))


def posterior_weights(schedule: Schedule, s: Any, t: Any) -> tuple[Any, Any]:
    """The weights of x_0 and of x_t in the posterior mean (DDPM Eq. 7), float64."""
    s, t = schedule.check_pair(s, t)
    gone = -np.expm1(schedule.log_alpha_bar[t])  # 1 - abar_t, with the same rounding as beta_ts at s = 0
    c_0 = np.sqrt(schedule.alpha_bar[s]) * schedule.beta_ts(s, t) / gone
    c_t = np.sqrt(schedule.alpha_bar_ts(s, t)) * -np.expm1(schedule.log_alpha_bar[s]) / gone
    return c_0, c_t


def posterior_variance(schedule: Schedule, s: Any, t: Any) -> Any:
    """beta-tilde: (1 - abar_s) / (1 - abar_t) beta_ts (DDPM Eq. 7), float64; exactly 0 at s = 0."""
    s, t = schedule.check_pair(s, t)
    return np.abs(np.expm1(schedule.log_alpha_bar[s])) / -np.expm1(schedule.log_alpha_bar[t]) * schedule.beta_ts(s, t)
