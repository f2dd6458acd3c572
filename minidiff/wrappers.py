"""Denoisers around a denoiser. Guidance and clipping wrap; no sampler has a flag for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from minidiff.arrays import Array, like
from minidiff.prediction import Denoiser, Prediction
from minidiff.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Guided:
    """Classifier-free guidance: eps = eps_null + scale * (eps_cond - eps_null).

    **scale = 1 is plain conditional, 0 is unconditional**; Ho & Salimans 2022, Eq. 6, write w = scale - 1. The condition must
    offer `null()`, the empty condition. Both ends are checked by tests/test_wrappers.py.
    """

    denoiser: Denoiser
    scale: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"scale must be a finite number (1: plain conditional, 0: unconditional); got {self.scale}")

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser inside."""
        return self.denoiser.schedule

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction:
        if cond is None:
            raise ValueError("guidance needs a condition to guide towards; without one call the denoiser itself")
        if not hasattr(cond, "null"):
            raise TypeError(f"guidance needs a condition that offers null(), the empty one; got {type(cond).__name__}")
        with_it, without = self.denoiser(x_t, t, cond), self.denoiser(x_t, t, cond.null())
        # x_0 is an affine function of eps and the weights sum to 1, so both may be combined the same way.
        return Prediction(self._mix(without.x_0, with_it.x_0), self._mix(without.eps, with_it.eps), with_it.var_mix)

    def _mix(self, without: Array, with_it: Array) -> Array:
        """without + scale * (with_it - without), written from the nearer end so that 0 and 1 are exact in floating point."""
        if self.scale < 0.5:
            return without + self.scale * (with_it - without)
        return with_it + (self.scale - 1) * (with_it - without)


@dataclass(frozen=True, eq=False)
class Clipped:
    """Clip the predicted x_0 to [low, high] and re-derive eps = (x_t - signal x_0) / noise, so the two still agree.

    Used when sampling pictures. Inside a bound it is another model, to be claimed by those who sample with it: for data in [low, high] its
    steps can only cost less, its decoder may cost more, for a mean beyond the outermost level is rewarded there (notebook 10).
    """

    denoiser: Denoiser
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be below high; got {self.low} and {self.high}")

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser inside."""
        return self.denoiser.schedule

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction:
        pred = self.denoiser(x_t, t, cond)
        signal, noise = self.schedule.scales(t)
        x_0 = pred.x_0.clip(self.low, self.high)
        return Prediction(x_0, (x_t - like(signal, x_t) * x_0) / like(noise, x_t), pred.var_mix)


@dataclass(frozen=True, eq=False)
class Windowed:
    """A denoiser of size x size pictures on a canvas of any size: the mean of its answers over windows that overlap.

    A pixel's answer is the mean over all windows that hold it; windows begin at every multiple of `stride`, the last at the border.
    Source: Bar-Tal et al. 2023, MultiDiffusion, Eq. 5 (equal weights; numbering unconfirmed). x_0 and eps of a window are affine in each
    other at the same x_t, so their means still agree; a learned variance is not handed on. A condition must offer crop(top, left, size).
    ValueError for a canvas smaller than a window. Checked by tests/test_wrappers.py against a loop over pixels.
    """

    denoiser: Denoiser
    size: int = 32
    stride: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.size:
            raise ValueError(f"stride must lie in 1..size = {self.size}, or some pixels would be in no window; got {self.stride}")

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser inside."""
        return self.denoiser.schedule

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction:
        x_0, eps, times = 0 * x_t, 0 * x_t, 0 * x_t[:1, :1]
        for top in self.starts(x_t.shape[-2]):
            for left in self.starts(x_t.shape[-1]):
                part = (..., slice(top, top + self.size), slice(left, left + self.size))
                pred = self.denoiser(x_t[part], t, None if cond is None else cond.crop(top, left, self.size))
                x_0[part] += pred.x_0
                eps[part] += pred.eps
                times[part] += 1
        return Prediction(x_0 / times, eps / times)

    def starts(self, length: int) -> list[int]:
        """Where windows begin along a side of this many pixels."""
        if length < self.size:
            raise ValueError(f"a canvas must have at least {self.size} pixels a side, the size of a window; got {length}")
        return sorted({*range(0, length - self.size, self.stride), length - self.size})
