"""Samplers: generator functions over pairs of times, yielding every state on the way from x_T to x_0.

They know denoisers, not networks: the same functions sample an exact mixture in NumPy and digits in torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minidiff.arrays import Array, Draw, like, no_grad
from minidiff.prediction import Denoiser, Prediction
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
    """
    schedule = denoiser.schedule
    yield Step(_check(schedule, times)[0], x, None)
    for t, s in pairwise(_check(schedule, times)):
        pred = _predict(denoiser, x, t, cond)
        if s > 0:
            x = reverse_transition(schedule, pred, x, s, t, variance).sample(draw(x))
        else:
            # Without noise the variance does not matter here, and at s = 0 the mean is the predicted x_0 itself.
            x = pred.x_0
        yield Step(s, x, pred.x_0)


def ddim(
    denoiser: Denoiser, x: Array, times: Sequence[int], draw: Draw | None = None, cond: Any = None, eta: float = 0.0
) -> Iterator[Step]:
    """x_s = sqrt(abar_s) x_0-hat + sqrt(1 - abar_s - sigma^2) eps-hat + sigma z, sigma^2 = eta^2 beta-tilde(s, t).

    Source: DDIM (Song, Meng, Ermon 2021), Eq. 12 and 16. eta = 0 is deterministic and needs no draw; eta = 1 is `ddpm`
    with the small variance. Raises ValueError for eta outside 0..1, or eta > 0 without draw.
    Checked by tests/test_sample.py (both ends of eta, exact linear recursion on Gaussian data).
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in 0..1 (0: deterministic, 1: DDPM); got {eta}")
    if eta > 0 and draw is None:
        raise ValueError(f"eta = {eta} adds noise, so it needs draw, e.g. arrays.normal(numpy.random.default_rng(0))")
    schedule = denoiser.schedule
    yield Step(_check(schedule, times)[0], x, None)
    for t, s in pairwise(_check(schedule, times)):
        pred = _predict(denoiser, x, t, cond)
        signal, noise = schedule.scales(s)
        var = eta**2 * posterior_variance(schedule, s, t)
        direction = np.sqrt(np.maximum(noise**2 - var, 0))  # rounding may leave -1e-17 where both are equal
        x = like(signal, x) * pred.x_0 + like(direction, x) * pred.eps
        if draw is not None and var > 0:
            x = x + like(np.sqrt(var), x) * draw(x)
        yield Step(s, x, pred.x_0)


def last(steps: Iterable[Step]) -> Array:
    """Run a sampler to its end and return the final sample."""
    step = None
    for step in steps:
        pass
    if step is None:
        raise ValueError("the sampler yielded nothing")
    return step.x_t


def _predict(denoiser: Denoiser, x: Array, t: int, cond: Any) -> Prediction:
    with no_grad(x):  # around the call only: a context held across a yield would leak into the caller
        return denoiser(x, t, cond)


def _check(schedule: Schedule, times: Sequence[int]) -> list[int]:
    row = [int(t) for t in schedule.check(times)]
    if len(row) < 2 or any(t <= s for t, s in pairwise(row)):
        raise ValueError(f"times must be two or more, strictly decreasing within {schedule.T}..0; got {row[:5]}")
    return row
