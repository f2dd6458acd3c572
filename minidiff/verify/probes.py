"""Probes: denoisers and runs that make a sampler show what it does, for the checks of samplers.

minidiff has no function for q_sigma(x_s | x_t, x_0) of DDIM. One step of `ddim` draws from it when the denoiser has been told x_0 (`Told`),
so it is the sampler itself that is checked, not a second copy of its formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidiff import Denoiser, Prediction, Schedule, Step, ddim, from_output, last
from minidiff.verify.routes import Float

Sampler = Callable[[Any, Any], Iterator[Step]]  # (start, draw) -> steps


@dataclass(frozen=True)
class Told:
    """The denoiser that has been told x_0, one number or one for each example."""

    schedule: Schedule
    x_0: Any

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        return from_output("x_0", np.broadcast_to(self.x_0, x_t.shape), x_t, *self.schedule.scales(t))


@dataclass(frozen=True)
class Says:
    """A denoiser whose output, of the given kind, is a formula in x_t and t, so that its ODE can be integrated by hand."""

    schedule: Schedule
    kind: str
    formula: Callable[[Any, int], Any]

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        return from_output(self.kind, self.formula(x_t, int(t)), x_t, *self.schedule.scales(t))


@dataclass(frozen=True)
class Watched:
    """A denoiser that notes in `asked` the times it is asked about."""

    denoiser: Denoiser
    asked: list[int]

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser inside."""
        return self.denoiser.schedule

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        self.asked.append(int(t))
        return self.denoiser(x_t, t, cond)


def one_step(denoiser: Denoiser, x_t: Float, s: int, t: int, eta: float) -> tuple[Float, Float]:
    """Mean and standard deviation of x_s in one step of `ddim`: what it makes of a draw of zeros, and of one of ones."""
    mean, other = (last(ddim(denoiser, x_t, [t, s], draw, eta=eta)) for draw in (np.zeros_like, np.ones_like))
    return mean, other - mean


def noisy(sampler: Any, denoiser: Denoiser, times: Sequence[int], **options: Any) -> Sampler:
    """`ddpm` or `ddim` as a function of its start and its draw."""
    return lambda x, draw: sampler(denoiser, x, times, draw, **options)


def quiet(sampler: Any, denoiser: Denoiser, times: Sequence[int]) -> Sampler:
    """A sampler that draws nothing, as a function of the same two."""
    return lambda x, _: sampler(denoiser, x, times)


def response(sampler: Sampler, draws: int) -> tuple[Float, Float]:
    """A sampler that is linear in its start and its draws, at every step: the state when all of them are 0, (steps,), and the change
    that a 1 in each of them makes, the start first, (steps, 1 + draws). A sampler that asks for more draws raises RuntimeError.
    """
    n = 1 + draws
    inputs = iter(np.vstack([np.zeros(n), np.eye(n)]).T[:, :, None])  # example 0 rests, example k feels input k alone
    states = np.array([step.x_t[:, 0] for step in sampler(next(inputs), lambda _: next(inputs))])
    return states[:, 0], states[:, 1:] - states[:, :1]
