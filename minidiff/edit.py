"""Editing with a sampler: keep a part of the picture (inpainting), or start from a picture instead of from noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from minidiff.arrays import Array, Draw, check_draw, namespace, no_grad, same_shape
from minidiff.prediction import Denoiser
from minidiff.process import marginal, transition
from minidiff.sample import Step, ddpm
from minidiff.schedule import Schedule

Sampler = Callable[..., Iterator[Step]]


def inpaint(
    denoiser: Denoiser,
    x: Array,
    times: Sequence[int],
    draw: Draw,
    known: Array,
    mask: Array,
    cond: Any = None,
    resample: int = 1,
    sampler: Sampler = ddpm,
) -> Iterator[Step]:
    """Sampling with a part of x_0 given: after each step to s, that part is replaced by a draw of q(x_s | known).

    known: x_0 wherever mask is True (bool, same shape); elsewhere its value is ignored. resample: how often each step but the last is made;
    between two tries x is noised from s back to t (Lugmayr et al. 2022, RePaint, Algorithm 1). sampler(denoiser, x, [t, s], draw, cond)
    makes one step: `ddpm`, or another that takes draw, options bound with functools.partial; for many tries variance="large".

    **resample = 1 is not a draw of p(unknown | known)**: the unknown part was denoised beside a known part that did not know of it. The
    error does not fall with more steps; more resampling does help. Closed forms: equations B6, `minidiff verify` (inpainting).
    """
    check_draw(draw)
    same_shape("x and known", x, known)
    same_shape("x and mask", x, mask)
    if "bool" not in str(mask.dtype):
        raise TypeError(f"mask must be bool, True where x_0 is known; got {mask.dtype}")
    if isinstance(resample, bool) or not isinstance(resample, int) or resample < 1:
        raise ValueError(f"resample must be an int >= 1 (1: plain replacement); got {resample!r}")
    schedule, xp = denoiser.schedule, namespace(x)
    grid = schedule.check_times(times)
    with no_grad(x):
        known = xp.where(mask, known, 0 * x)  # what is unknown may be NaN in the caller's array
        x = xp.where(mask, marginal(schedule, known, grid[0]).sample(draw(x)), x)
    yield Step(grid[0], x, None)
    for t, s in pairwise(grid):
        for again in range(resample if s > 0 else 1):  # the step to 0 adds no noise: repeated, it would narrow the law
            with no_grad(x):
                if again:
                    x = transition(schedule, x, s, t).sample(draw(x))
                *_, step = sampler(denoiser, x, [t, s], draw=draw, cond=cond)
                x = xp.where(mask, marginal(schedule, known, s).sample(draw(x)), step.x_t)
        yield Step(s, x, step.x_0)


def start_from(schedule: Schedule, x_0: Array, times: Sequence[int], strength: float, draw: Draw) -> tuple[Array, list[int]]:
    """(x_t, the rest of the times from t on): the start of a sampler that changes x_0 instead of inventing it.

    strength: the share of the steps that are made, in 0..1: near 0 x_0 comes back, 1 forgets it. Source: SDEdit (Meng et al. 2022),
    section 3. Use: x, times = start_from(schedule, picture, schedule.times(50), 0.6, draw); last(ddpm(denoiser, x, times, draw)).
    Raises ValueError unless strength leaves at least one step. Checked by `minidiff verify` (inpainting sdedit).
    """
    check_draw(draw)
    grid = schedule.check_times(times)
    if not 0 < strength <= 1 or (steps := round(strength * (len(grid) - 1))) < 1:
        raise ValueError(f"strength must lie in 0..1 and leave at least one of the {len(grid) - 1} steps; got {strength}")
    rest = grid[len(grid) - 1 - steps :]
    return marginal(schedule, x_0, rest[0]).sample(draw(x_0)), rest
