"""Samplers: generator functions over pairs of times, yielding every state on the way from x_T to x_0.

They know denoisers, not networks: the same functions sample an exact mixture in NumPy and digits in torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minidiff.arrays import Array, Draw, check_draw, like, no_grad
from minidiff.prediction import Denoiser
from minidiff.process import posterior_variance
from minidiff.reverse import reverse_transition
from minidiff.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Step:
    """One state of a sampler: the time t, x_t, and the guess of x_0 that led here (None at the start)."""

    t: int
    x_t: Array
    x_0: Array | None


def ddpm(
    denoiser: Denoiser, x: Array, times: Sequence[int], draw: Draw, cond: Any = None, variance: Any = "small"
) -> Iterator[Step]:
    """Ancestral sampling: x_s ~ p_theta(x_s | x_t) for each pair of neighbouring times; the mean on the step to t = 0.

    Source: DDPM (Ho et al. 2020), Algorithm 2; strided: Improved DDPM Eq. 19. x: the start, x_T ~ N(0, I), (B, ...).
    times: strictly decreasing (`schedule.times(n)`). draw: fresh noise shaped like x. variance: see `reverse_transition`.
    Checked by `minidiff verify` (ddpm Alg. 2): mean and variance on Gaussian data follow an exact recursion.
    Like every generator it starts, and checks its arguments, when its first step is asked for.
    """
    schedule = denoiser.schedule
    grid = schedule.check_times(times)
    check_draw(draw)
    yield Step(grid[0], x, None)
    for t, s in pairwise(grid):
        with no_grad(x):  # not held across the yield: that would leak into the caller
            pred = denoiser(x, t, cond)
            # On the step to 0 no noise is added, so the variance does not matter, and the mean is the predicted x_0 itself.
            x = reverse_transition(schedule, pred, x, s, t, variance).sample(draw(x)) if s > 0 else pred.x_0
        yield Step(s, x, pred.x_0)


def ddim(
    denoiser: Denoiser, x: Array, times: Sequence[int], draw: Draw | None = None, cond: Any = None, eta: float = 0.0
) -> Iterator[Step]:
    """x_s = sqrt(abar_s) x_0-hat + sqrt(1 - abar_s - sigma^2) eps-hat + sigma z, sigma^2 = eta^2 beta-tilde(s, t).

    Source: DDIM (Song, Meng, Ermon 2021), Eq. 12 and 16. eta = 0 is deterministic and needs no draw; eta = 1 is `ddpm`
    with the small variance. Raises ValueError for eta outside 0..1, or eta > 0 without draw.
    Checked by `minidiff verify` (ddim 6-7, 12, 16; solvers B7): its steps are q_sigma, on Gaussian data an exact recursion.

    >>> from minidiff.toy import ExactDenoiser, GaussianMixture
    >>> from minidiff.schedule import Schedule
    >>> denoiser = ExactDenoiser(GaussianMixture([1.0], [[2.0]], [0.0]), Schedule.linear(10))  # all data are the number 2
    >>> [(step.t, float(step.x_t[0, 0].round(3))) for step in ddim(denoiser, np.array([[0.3]]), [10, 5, 0])]
    [(10, 0.3), (5, 1.204), (0, 2.0)]
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in 0..1 (0: deterministic, 1: DDPM); got {eta}")
    if eta > 0 and draw is None:
        raise ValueError(f"eta = {eta} adds noise, so it needs draw, e.g. arrays.normal(numpy.random.default_rng(0))")
    schedule = denoiser.schedule
    grid = schedule.check_times(times)
    if draw is not None:
        check_draw(draw)
    yield Step(grid[0], x, None)
    for t, s in pairwise(grid):
        signal, noise = schedule.scales(s)
        var = eta**2 * posterior_variance(schedule, s, t)
        direction = np.sqrt(np.maximum(noise**2 - var, 0))  # rounding may leave -1e-17 where both are equal
        with no_grad(x):
            pred = denoiser(x, t, cond)
            x = like(signal, x) * pred.x_0 + like(direction, x) * pred.eps
            if draw is not None and var > 0:
                x = x + like(np.sqrt(var), x) * draw(x)
        yield Step(s, x, pred.x_0)


def dpm_solver(denoiser: Denoiser, x: Array, times: Sequence[int], cond: Any = None, order: int = 2) -> Iterator[Step]:
    """x_s = (noise_s / noise_t) x_t - signal_s (e^{-h} - 1) D, h = lambda_s - lambda_t, lambda = half the log SNR.

    order 2: D = x_0-hat + (x_0-hat - x_0-hat of the step before) h / (2 h_before), a straight line through the last two guesses.
    order 1: D = x_0-hat, which is DDIM. Deterministic, one call a step. Source: DPM-Solver++ (Lu et al. 2022), Algorithm 2 (2M).
    The first step has no step before it and the one to t = 0 has h = infinity: both are of order 1. Raises ValueError for
    another order. Checked by `minidiff verify` (solvers 2M, order): order 1 is `ddim`; order 2 has a quarter of the error at half the step.
    """
    if order not in (1, 2):
        raise ValueError(f"order must be 1 (DDIM) or 2 (multistep); got {order!r}")
    schedule = denoiser.schedule
    grid = schedule.check_times(times)
    yield Step(grid[0], x, None)
    before = None  # the guess of x_0 and the h of the step before
    for t, s in pairwise(grid):
        signal, noise = schedule.scales(s)
        h = schedule.half_log_snr(s) - schedule.half_log_snr(t)
        with no_grad(x):
            x_0 = denoiser(x, t, cond).x_0
            D = x_0
            if order == 2 and before is not None and s > 0:
                D = x_0 + like(h / (2 * before[1]), x) * (x_0 - before[0])
            x = like(noise / schedule.scales(t)[1], x) * x + like(-signal * np.expm1(-h), x) * D
        before = x_0, h
        yield Step(s, x, x_0)


def heun(denoiser: Denoiser, x: Array, times: Sequence[int], cond: Any = None) -> Iterator[Step]:
    """The probability-flow ODE by Heun's rule: a DDIM step, then again with the mean of eps at both of its ends.

    Source: DDIM Eq. 14 (the ODE d(x/signal) = eps d(noise/signal)); Karras et al. 2022, Algorithm 1. Deterministic, of second
    order, two calls a step; one on the step to t = 0, where x_s is the predicted x_0. Where sigma = noise / signal ends in the thousands
    (cosine, sigmoid) its first steps are far too long: there take many steps, or `dpm_solver`.
    Checked by `minidiff verify` (solvers Heun, order): errors fall fourfold when steps are halved.
    """
    schedule = denoiser.schedule
    grid = schedule.check_times(times)
    yield Step(grid[0], x, None)
    for t, s in pairwise(grid):
        with no_grad(x):
            pred = denoiser(x, t, cond)
            if s > 0:
                there = ode_step(schedule, x, pred.eps, t, s)
                x = ode_step(schedule, x, (pred.eps + denoiser(there, s, cond).eps) / 2, t, s)
            else:
                x = pred.x_0  # what ode_step would give too, but for the rounding that 1 / signal_t magnifies
        yield Step(s, x, pred.x_0)


def ode_step(schedule: Schedule, x: Array, eps: Array, t: int, s: int) -> Array:
    """Follow the probability-flow ODE from t to s along a constant eps: x_s = signal_s (x_t / signal_t + (sigma_s - sigma_t) eps).

    sigma = noise / signal. Source: DDIM Eq. 13. t and s in 0..T in any order: s > t goes towards the noise.
    Checked by `minidiff verify` (ddim 13).
    """
    (signal_t, noise_t), (signal_s, noise_s) = schedule.scales(t), schedule.scales(s)
    scale = signal_s / signal_t
    return like(scale, x) * x + like(noise_s - scale * noise_t, x) * eps


def last(steps: Iterable[Step]) -> Array:
    """Run a sampler to its end and return the final sample.

    >>> last([Step(1, 5.0, None), Step(0, 7.0, 7.0)])
    7.0
    """
    final = None
    for final in steps:  # noqa: B007
        pass
    if final is None:
        raise ValueError("the sampler yielded nothing")
    return final.x_t
