"""The probability-flow ODE as a map from data to noise, and the exact log-likelihood that it gives.

In the angle phi of signal = cos phi, noise = sin phi the ODE reads dx = v(x, t) d phi, v = signal eps - noise x_0: that is DDIM Eq. 14
with nothing in it that grows without limit. It has the same marginals as the noising process, it can be run both ways, and along
it log p changes by the divergence of v.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minidiff.arrays import Array, like, namespace, no_grad, slope_along, sum_features
from minidiff.gaussian import Gaussian
from minidiff.prediction import Denoiser, target
from minidiff.sample import Step
from minidiff.schedule import Schedule

Field = Callable[[Array], Array]
Divergence = Callable[[Field, Array], Array]


def exact_divergence(f: Field, x: Array) -> Array:
    """div f = sum_i df_i / dx_i, (B,): one slope for each feature, so its cost grows with their number."""
    flat = np.eye(math.prod(x.shape[1:])).reshape(-1, *x.shape[1:])
    return sum(slope_along(f, x, like(np.broadcast_to(e, x.shape).copy(), x)) for e in flat)


def hutchinson(z: Array) -> Divergence:
    """div f estimated as z^T (df/dx) z: one slope whatever the dimension. z: noise with E[z z^T] = I, shaped like x.

    Signs of probability 1/2 (Rademacher) have the smaller variance, 0 in one dimension; normal draws work too. The same z serves the
    whole trajectory. Source: Hutchinson 1990; Song et al. 2021, Eq. 40. Checked by `minidiff verify` (sde 40).
    """
    return lambda f, x: slope_along(f, x, z)


def standard_normal(x_T: Array) -> Array:
    """log N(x_T; 0, I), (B,): the prior from which samplers start."""
    return sum_features(Gaussian(0 * x_T, 1.0).log_prob(x_T))


def invert(denoiser: Denoiser, x_0: Array, times: Sequence[int] | None = None, cond: Any = None) -> Iterator[Step]:
    """From data to noise along the ODE, by Heun's rule: the code x_T from which `heun` and `ddim` lead back to x_0.

    times: strictly decreasing, as for the samplers (all of T..0 by default); they are walked upwards. At t = 0 v = eps is
    taken as 0: there the score is finite, and the noise is 0. Checked by `minidiff verify` (ddim 14): the code of a mixture is
    its monotone transport F_T(x_T) = F_0(x_0).
    """
    for step, _ in _up(denoiser, x_0, times, cond, None):
        yield step


def flow_log_prob(
    denoiser: Denoiser,
    x_0: Array,
    divergence: Divergence = exact_divergence,
    prior: Callable[[Array], Array] = standard_normal,
    times: Sequence[int] | None = None,
    cond: Any = None,
) -> Array:
    """log p(x_0) = log prior(x_T) + integral of div v over the angle, nats, (B,): the likelihood of what the ODE samples from the prior.

    Source: Song et al. 2021, Eq. 39, with dx = v d phi for the ODE (Salimans & Ho 2022). divergence: `exact_divergence`, or
    `hutchinson(z)`. prior: log density of x_T; the exact one of a mixture is `mixture.push(signal_T, noise_T**2).log_prob`. times as in
    `invert`; the error is of second order in their distance. Checked by `minidiff verify` (sde 39) against exact densities in 1-D and 2-D.
    """
    path = list(_up(denoiser, x_0, times, cond, divergence))
    (end, _), total = path[-1], sum(change for _, change in path)
    return prior(end.x_t) + total


def richardson(estimate: Callable[[Sequence[int]], Array], times: Sequence[int]) -> Array:
    """(4 estimate(times) - estimate(every second of times)) / 3: the second-order error of Heun's rule cancels, third order is left.

    estimate: times -> (B,), such as lambda times: flow_log_prob(denoiser, x_0, times=times). Raises ValueError for an odd number of steps.
    Checked by `minidiff verify` (sde 39): with T = 1000 the densities of mixtures to 1e-6.
    """
    if len(times) % 2 == 0 or len(times) < 3:
        raise ValueError(f"every second time must keep both ends, so the number of steps must be even; got {len(times) - 1} steps")
    return (4 * estimate(times) - estimate(times[::2])) / 3


def _up(
    denoiser: Denoiser, x: Array, times: Sequence[int] | None, cond: Any, divergence: Divergence | None
) -> Iterator[tuple[Step, Any]]:
    """The states from data to noise, each with the integral of the divergence over the step that led to it (0.0 without one)."""
    namespace(x)
    schedule = denoiser.schedule
    grid = schedule.check_times(range(schedule.T, -1, -1) if times is None else times)[::-1]
    yield Step(grid[0], x, None), 0.0
    with no_grad(x):  # not held across a yield: that would leak into the caller
        here = _velocity(denoiser, x, grid[0], cond, divergence)
    for s, t in pairwise(grid):
        h = _angle(schedule, t) - _angle(schedule, s)
        with no_grad(x):
            there = _velocity(denoiser, x + h * here[0], t, cond, None)
            x = x + h / 2 * (here[0] + there[0])
            before, here = here, _velocity(denoiser, x, t, cond, divergence)
        yield Step(t, x, None), h * (before[1] + here[1]) / 2


def _velocity(denoiser: Denoiser, x: Array, t: int, cond: Any, divergence: Divergence | None) -> tuple[Array, Any]:
    """v = signal eps - noise x_0 at (x, t) and its divergence; both 0 at t = 0."""
    if t == 0:
        return 0 * x, 0.0
    scales = denoiser.schedule.scales(t)

    def v(at: Array) -> Array:
        pred = denoiser(at, t, cond)
        return target("v", pred.x_0, pred.eps, *scales)

    return v(x), 0.0 if divergence is None else divergence(v, x)


def _angle(schedule: Schedule, t: int) -> float:
    """phi with signal = cos phi, noise = sin phi."""
    signal, noise = schedule.scales(t)
    return math.atan2(noise, signal)
