"""Probes: denoisers and runs that make a sampler show what it does, for the checks of samplers.

minidiff has no function for q_sigma(x_s | x_t, x_0) of DDIM. One step of `ddim` draws from it when the denoiser has been told x_0 (`Told`),
so it is the sampler itself that is checked, not a second copy of its formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Any

import numpy as np

from minidiff import Denoiser, Prediction, Schedule, Step, ddim, from_output, last
from minidiff.verify.registry import Check, close
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


def fine(n: int) -> Schedule:
    """n equal steps of log SNR from -28 to 14, then one to the data: errors are series in 1 / n, up to the 1e-6 of both ends."""
    return Schedule(np.concatenate([[1.0], 1 / (1 + np.exp(np.linspace(-14, 28, n + 1)))]))


def limit(values: Iterable[Any], order: int = 1) -> Any:
    """The limit of values at n, 2n, 4n, ... whose error is a series in 1 / n from 1 / n^order on: Richardson's extrapolation."""
    values = [np.asarray(v) for v in values]
    while len(values) > 1:
        values = [b + (b - a) / (2**order - 1) for a, b in pairwise(values)]
        order += 1
    return values[0]


def linear_response(sampler: Callable[[Any, Any], Any], dims: int = 1) -> tuple[Float, Float]:
    """Mean (D,) and covariance (D, D) of what sampler(x, draw) makes of x ~ N(0, I) and normal noise, if it is a linear map of them.

    Exact, with no draws: each example of the batch feels one coordinate of the start or of one noise; their squares add up.
    """
    calls = count()
    rest = sampler(np.zeros((1, dims)), lambda x: 0 * x * next(calls))[0]
    units = np.eye(dims * (1 + next(calls)))
    blocks = iter(np.split(units, len(units) // dims, axis=1))
    ends = sampler(next(blocks), lambda _: next(blocks)) - rest
    return rest, ends.T @ ends


def moments(what: str, closed: Any, numerical: Any, tolerance: float, method: str) -> Iterator[Check]:
    """Two checks: of the mean and of the variance."""
    for i, name in enumerate(("mean", "variance")):
        yield close(f"{what}: {name}", closed[i], numerical[i], tolerance, method)
