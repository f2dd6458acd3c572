"""The clinic of notebook 07: diffusion models with one bug each. Do not read on before you have diagnosed them.

Each patient is a denoiser, the times its training drew, and a sampler, all around the exact denoiser of the same data: what
is wrong with its samples is the bug, and nothing else. `examine` measures; the exercises "patient A" to "patient E" of the course judge a
diagnosis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minidiff.arrays import Array, like, normal
from minidiff.bound import bits_per_dim, prior_term
from minidiff.gaussian import Gaussian
from minidiff.metrics import sliced_wasserstein
from minidiff.prediction import Denoiser, Prediction
from minidiff.process import marginal
from minidiff.reverse import reverse_transition
from minidiff.sample import ddpm, last
from minidiff.schedule import Schedule
from minidiff.toy import ExactDenoiser, GaussianMixture, ring

T = 50
DATA: GaussianMixture = ring()
Sampler = Callable[[Denoiser, Array, np.random.Generator], Array]


@dataclass(frozen=True, eq=False)
class Told:
    """The exact denoiser, but the network inside is told another time than it should be."""

    inner: ExactDenoiser
    other: Callable[[Any], Any]

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser inside."""
        return self.inner.schedule

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction:
        eps = self.inner(x_t, self.other(t)).eps
        signal, noise = (like(scale, x_t) for scale in self.schedule.scales(t))
        return Prediction((x_t - noise * eps) / signal, eps)


def _usual(denoiser: Denoiser, x: Array, rng: np.random.Generator) -> Array:
    return last(ddpm(denoiser, x, denoiser.schedule.times(denoiser.schedule.T), normal(rng), variance="large"))


def _walk(denoiser: Denoiser, x: Array, rng: np.random.Generator, power: float, noise_at_the_end: bool) -> Array:
    for t, s in pairwise(range(T, -1, -1)):
        step = reverse_transition(denoiser.schedule, denoiser(x, t), x, s, t, "large")
        scale = step.var**power if s > 0 else denoiser.schedule.beta[1] ** 0.5 * noise_at_the_end
        x = Gaussian(step.mean, scale**2).sample(rng.standard_normal(x.shape))
    return x


@dataclass(frozen=True, eq=False)
class Patient:
    """denoiser, and how it was trained (the range of times drawn) and sampled."""

    denoiser: Denoiser
    trained: tuple[int, int]
    sampler: Sampler


_EXACT = ExactDenoiser(DATA, Schedule.cosine(T))
_SICK = {
    "noise scale": Patient(_EXACT, (1, T), lambda d, x, rng: _walk(d, x, rng, 1.0, False)),
    "schedule": Patient(ExactDenoiser(DATA, Schedule.linear(T)), (1, T), _usual),
    "time": Patient(Told(_EXACT, lambda t: np.maximum(t - 2, 1)), (1, T), _usual),
    "last step": Patient(_EXACT, (1, T), lambda d, x, rng: _walk(d, x, rng, 0.5, True)),
    "coverage": Patient(Told(_EXACT, lambda t: np.minimum(t, T // 2)), (1, T // 2), _usual),
}
PATIENTS: dict[str, Patient] = {"healthy": Patient(_EXACT, (1, T), _usual), **dict(zip("ABCDE", _SICK.values(), strict=True))}
DIAGNOSES = {
    "noise scale": "the sampler multiplies the noise by beta instead of its root",
    "schedule": "the schedule ends before the data are noise",
    "time": "the network is told another time than the one its input has",
    "last step": "the sampler still adds noise on the step to t = 0",
    "coverage": "some times were never trained",
}


def examine(patient: Patient, n: int = 2000, seed: int = 0) -> dict[str, Any]:
    """What can be measured from outside: L_T, training times, eps error over its floor at five t, moments, distance."""
    rng, denoiser = np.random.default_rng(seed), patient.denoiser
    exact, x_0 = ExactDenoiser(DATA, denoiser.schedule), DATA.sample(n, rng)
    over = {}
    for t in (1, 5, T // 4, T // 2, T - 5):
        eps = rng.standard_normal(x_0.shape)
        x_t = marginal(denoiser.schedule, x_0, t).sample(eps)
        over[t] = float(((denoiser(x_t, t).eps - eps) ** 2).sum() / ((exact(x_t, t).eps - eps) ** 2).sum())
    x = patient.sampler(denoiser, rng.standard_normal((n, 2)), rng)
    found = sliced_wasserstein(x, x_0, DATA.sample(4 * n, rng), rng, resamples=50)
    return {
        "L_T": float(bits_per_dim(prior_term(denoiser.schedule, x_0).mean(), 2)), "trained": patient.trained, "eps": over,
        "spread": float(x.std() / x_0.std()), "clump": clump_width(x) / clump_width(x_0), "distance": found, "samples": x,
    }  # fmt: skip


def clump_width(x: Array) -> float:
    """Typical distance of a point from the nearest centre of the ring: the median, which stray points hardly move."""
    return float(np.median(np.linalg.norm(x[:, None] - DATA.means[None], axis=-1).min(1)))
