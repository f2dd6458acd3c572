"""The variational bound, term by term: L = L_T + sum_t L_{t-1} + L_0 >= -log p_theta(x_0), in nats per example.

Nothing is clipped here and nothing is dropped: the bound of the denoiser that is given. Where samples are drawn from `Clipped(denoiser)`,
that is the one to give. Units change once, at the edge, in `bits_per_dim`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

from minidiff.arrays import (
    Array,
    Draw,
    check_draw,
    float_dtype,
    like,
    log_ndtr,
    log_sub_exp,
    namespace,
    no_grad,
    same_shape,
    sum_features,
)
from minidiff.gaussian import Gaussian
from minidiff.prediction import Denoiser, Prediction
from minidiff.process import marginal, posterior
from minidiff.reverse import reverse_transition
from minidiff.schedule import Schedule

HALF_BIN = 1 / 255  # half the distance between neighbouring levels k / 127.5 - 1


@dataclass(frozen=True, eq=False)
class Bound:
    """The three parts of the bound in nats: prior (B,), steps (number of steps, B), decoder (B,).

    times: the t of each row of steps, from late to early; the decoder is the step after the last of them.
    """

    prior: Array
    steps: Array
    decoder: Array
    times: tuple[int, ...] = ()

    @property
    def total(self) -> Array:
        """L = prior + sum of steps + decoder, shape (B,)."""
        return self.prior + self.steps.sum(0) + self.decoder


def prior_term(schedule: Schedule, x_0: Array) -> Array:
    """L_T = KL(q(x_T | x_0) || N(0, I)) = 1/2 sum_i [abar_T x_0i^2 - abar_T - log(1 - abar_T)], shape (B,), nats.

    Source: DDPM (Ho et al. 2020), Eq. 5, first term. Checked by `minidiff verify` (ddpm L_T) against quadrature.

    >>> import numpy as np
    >>> bool(prior_term(Schedule.linear(1000), np.ones((1, 784)))[0] < 0.02)  # of a white picture next to nothing is left
    True
    """
    q = marginal(schedule, x_0, schedule.T)
    return sum_features(q.kl(Gaussian(0 * x_0, 1.0)))


def step_term(schedule: Schedule, pred: Prediction, x_0: Array, x_t: Array, s: Any, t: Any, variance: Any = "small") -> Array:
    """L_s = KL(q(x_s | x_t, x_0) || p_theta(x_s | x_t)) for 1 <= s < t, shape (B,), nats; L_{t-1} for s = t - 1.

    Source: DDPM Eq. 5 and 8 (its constant C included). Raises ValueError at s = 0, where the term is the decoder's.
    Checked by `minidiff verify` (ddpm 5, 8, 12) against quadrature.
    """
    if (schedule.check(s) == 0).any():
        raise ValueError("the step to s = 0 is the decoder's: use decoder_term (pixels) or density_term (continuous data)")
    q = posterior(schedule, x_0, x_t, s, t)
    return sum_features(q.kl(reverse_transition(schedule, pred, x_t, s, t, variance)))


def decoder_term(schedule: Schedule, pred: Prediction, x_0: Array, x_1: Array, variance: Any = "small", t: int = 1) -> Array:
    """L_0 = -log p_theta(x_0 | x_1) for x_0 on the 256 levels k / 127.5 - 1, shape (B,), nats.

    p_theta gives each level the Gaussian's mass in its bin of half width 1/255, the bins of -1 and 1 reaching to infinity.
    Source: DDPM Eq. 13, with the exact normal distribution function, in logarithms (no underflow however far the mean).
    variance as in `reverse_transition`: "small" and "large" use the beta-tilde of t = 2 here, an explicit array its own
    value. t: the first time of the grid, 1 unless steps are skipped. Raises ValueError if x_0 is off the levels.
    Checked by `minidiff verify` (ddpm 13): 256 masses sum to 1, each against quadrature.
    """
    same_shape("x_0 and x_1", x_0, x_1)
    level = (x_0 + 1) * 127.5
    if not bool((abs(level - level.round()) < 0.01).all()) or not bool((abs(x_0) <= 1 + 1e-6).all()):
        raise ValueError("x_0 must lie on the 256 levels k / 127.5 - 1; for continuous data use density_term as the decoder")
    p = reverse_transition(schedule, pred, x_1, 0, t, variance)
    return sum_features(-discretised_log_prob(p, x_0))


def discretised_log_prob(p: Gaussian, x: Array) -> Array:
    """log of the mass that p gives to the bin of x, elementwise. DDPM Eq. 13.

    The bin of x is (x - 1/255, x + 1/255); that of 1 has no upper and that of -1 no lower edge. The difference of two
    distribution functions is formed in the lower tail, where it does not cancel.
    """
    xp = namespace(p.mean, x)
    if not (p.var > 0).all():
        raise ValueError("the decoder needs a variance > 0 at its t; with 0 every picture but one has probability 0")
    std = like(p.var, p.mean) ** 0.5
    below, above = x < 1 - HALF_BIN, x > -1 + HALF_BIN  # off the end levels; floats are never compared with == 1
    low, high = (x - HALF_BIN - p.mean) / std, (x + HALF_BIN - p.mean) / std
    flip = low + high > 0  # by symmetry Phi(high) - Phi(low) = Phi(-low) - Phi(-high): use the side with small tails
    a, b = xp.where(flip, -high, low), xp.where(flip, -low, high)
    middle = log_sub_exp(log_ndtr(b), log_ndtr(a))
    return xp.where(below & above, middle, xp.where(above, log_ndtr(-low), log_ndtr(high)))


def density_term(schedule: Schedule, pred: Prediction, x_0: Array, x_1: Array, variance: Any = "small", t: int = 1) -> Array:
    """L_0 = -log N(x_0; mean, sigma_1^2) of p_theta(x_0 | x_1), for continuous data: shape (B,), nats, may be negative.

    The decoder of equations B1: with it the bound is one on a density. Checked by `minidiff verify` (ddpm 3).
    """
    same_shape("x_0 and x_1", x_0, x_1)
    return sum_features(-reverse_transition(schedule, pred, x_1, 0, t, variance).log_prob(x_0))


def variational_bound(
    denoiser: Denoiser,
    x_0: Array,
    draw: Draw,
    variance: Any = "small",
    times: Sequence[int] | None = None,
    decoder: Callable[..., Array] = decoder_term,
    cond: Any = None,
) -> Bound:
    """The bound of each example of x_0 (B, ...): every term once, with x_t drawn afresh from q(x_t | x_0) at each t.

    Source: DDPM Eq. 5. draw: fresh noise shaped like x (`arrays.normal(rng)`). times: strictly decreasing from T to 0, all
    of them by default; fewer give the bound of the strided model. decoder: `decoder_term` (pixels) or `density_term`.
    Its mean over draws is the bound; equal to -log p_theta plus a KL (`minidiff verify`, ddpm 3 and 5).
    """
    check_draw(draw)
    namespace(x_0)
    schedule = denoiser.schedule
    pairs = list(pairwise(check_grid(schedule, times)))
    steps = []
    for t, s in pairs:
        x_t = marginal(schedule, x_0, t).sample(draw(x_0))
        with no_grad(x_0):
            pred = denoiser(x_t, t, cond)
        if s > 0:
            steps.append(step_term(schedule, pred, x_0, x_t, s, t, variance))
        else:
            last = decoder(schedule, pred, x_0, x_t, variance, t=t)
    return Bound(prior_term(schedule, x_0), _stack(steps, x_0), last, tuple(t for t, _ in pairs[:-1]))


def check_grid(schedule: Schedule, times: Sequence[int] | None) -> list[int]:
    """The times of a grid from T down to 0, checked; the full grid for None."""
    grid = list(range(schedule.T, -1, -1)) if times is None else schedule.check_times(times)
    if grid[0] != schedule.T or grid[-1] != 0:
        raise ValueError(f"the times of a bound go from T = {schedule.T} to 0; got {grid[0]} to {grid[-1]}")
    return grid


def bits_per_dim(nats: Array, dims: int) -> Array:
    """nats per example -> bits per dimension: nats / (dims log 2).

    For continuous data scaled to [-1, 1], a density becomes comparable with discrete 8-bit codes by adding log2(127.5).

    >>> bits_per_dim(784 * math.log(256), 784)  # a uniform guess among 256 levels
    8.0
    """
    if isinstance(dims, bool) or not isinstance(dims, Integral) or dims < 1:
        raise ValueError(f"dims must be an int >= 1, the number of features; got {dims!r}")
    return nats / (dims * math.log(2))


def _stack(rows: list[Array], x: Array) -> Array:
    xp = namespace(x)
    return xp.stack(rows) if rows else xp.zeros((0, len(x)), dtype=float_dtype(x))
