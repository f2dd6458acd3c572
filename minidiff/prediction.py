"""What a denoiser says, in one currency: x_0 and eps together. All parameterisations are translated here, both ways.

x_t = signal * x_0 + noise * eps ties the four quantities eps, x_0, v and score to each other: knowing x_t, one gives all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minidiff.arrays import Array, like, same_shape
from minidiff.schedule import Schedule

KINDS = ("eps", "x_0", "v", "score")


@dataclass(frozen=True, eq=False)
class Prediction:
    """A denoiser's answer at (x_t, t): its guess of x_0, the eps that goes with it, and, if variances are learned, var_mix.

    The two obey x_t = signal * x_0 + noise * eps. var_mix: -1 = small variance, +1 = large, not clamped (Improved DDPM Eq. 15).
    """

    x_0: Array
    eps: Array
    var_mix: Array | None = None


class Denoiser(Protocol):
    """Anything with a schedule that maps (x_t, t, cond) to a Prediction; networks, exact mixtures and wrappers alike."""

    @property
    def schedule(self) -> Schedule: ...

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction: ...


def from_output(kind: str, output: Array, x_t: Array, signal: Any, noise: Any, var_mix: Array | None = None) -> Prediction:
    """Read a network's output as a Prediction.

    "eps":   x_0 = (x_t - noise eps) / signal          DDPM (Ho et al. 2020) Eq. 15
    "x_0":   eps = (x_t - signal x_0) / noise
    "v":     x_0 = signal x_t - noise v, eps = noise x_t + signal v      Salimans & Ho 2022
    "score": eps = -noise score                         Song et al. 2021; Tweedie

    signal, noise: float64, () or (B,), from schedule.scales(t), t >= 1. Raises ValueError for an unknown kind or where the
    division is by 0. The inverse is `target`; checked by tests/test_prediction.py and `minidiff verify` (ddpm 15).

    >>> pred = from_output("eps", np.array([1.0]), x_t=np.array([2.0]), signal=0.8, noise=0.6)
    >>> float(pred.x_0[0].round(12)), float(pred.eps[0])
    (1.75, 1.0)
    """
    _known(kind)
    same_shape("the output and x_t", output, x_t)
    if np.any(np.asarray(signal) <= 0) or np.any(np.asarray(noise) <= 0):
        raise ValueError("a prediction needs signal > 0 and noise > 0, that is 1 <= t: at t = 0 there is no noise to predict")
    a, b = like(signal, x_t), like(noise, x_t)
    if kind == "x_0":
        return Prediction(output, (x_t - a * output) / b, var_mix)
    if kind == "v":
        return Prediction(a * x_t - b * output, b * x_t + a * output, var_mix)
    eps = output if kind == "eps" else -b * output
    return Prediction((x_t - b * eps) / a, eps, var_mix)


def target(kind: str, x_0: Array, eps: Array, signal: Any, noise: Any) -> Array:
    """What a network of this kind should have said, when x_t = signal * x_0 + noise * eps.

    "eps" and "x_0" are themselves, v = signal eps - noise x_0, score = -eps / noise (the score of q(x_t | x_0)).

    >>> float(target("v", np.array([1.0]), np.array([2.0]), signal=0.8, noise=0.6)[0])
    1.0
    """
    _known(kind)
    same_shape("x_0 and eps", x_0, eps)
    if kind == "eps":
        return eps
    if kind == "x_0":
        return x_0
    if kind == "v":
        return like(signal, x_0) * eps - like(noise, x_0) * x_0
    if np.any(np.asarray(noise) <= 0):
        raise ValueError("a score needs noise > 0, that is 1 <= t: q(x_0 | x_0) is a point and has no density")
    return -eps / like(noise, eps)


def _known(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}")
