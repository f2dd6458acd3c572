"""The data on which the families of generative models are compared: flat vectors, with the exact entropy where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from minidiff.mixture import GaussianMixture
from minidiff.run.digits import mnist
from minidiff.run.recipes import checked
from minidiff.run.store import Bytes
from minidiff.toy import moons, quantise, quantised_entropy, ring, swirl

TRAIN, TEST = 20_000, 10_000  # points drawn of each law; digits are what they are


@dataclass(frozen=True, eq=False)
class World:
    """One data set: train and test (N, dims), float32 in about [-1, 1].

    eight_bit: the numbers are levels k / 127.5 - 1, and likelihoods those of probabilities, not of densities. entropy: nats an example, the
    least mean -log p that any model can reach; None where nobody knows. centres, radius: of modes that a sample can be said to have met.
    parameters: what each model may spend.
    """

    name: str
    train: Tensor
    test: Tensor
    parameters: int
    eight_bit: bool = False
    entropy: float | None = None
    centres: NDArray[np.float64] | None = None
    radius: float = 0.0

    @property
    def dims(self) -> int:
        """How many numbers an example has."""
        return self.train.shape[1]

    def batch(self, n: int, rng: torch.Generator) -> Tensor:
        """n training examples with replacement, (n, dims)."""
        return self.train[torch.randint(0, len(self.train), (n,), generator=rng)]


def entropy(mixture: GaussianMixture, low: float = -2.5, high: float = 2.5, n: int = 1001) -> float:
    """-integral of p log p, nats, for a mixture of round Gaussians in 1-D or 2-D, by trapezoids: to rounding where they are fine enough.

    Raises ValueError for components that are not round. Checked by tests/test_run_families.py (a single Gaussian; Monte Carlo).
    """
    variances = mixture.covs[:, 0, 0]
    if not np.allclose(mixture.covs, variances[:, None, None] * np.eye(mixture.dims)) or mixture.dims > 2:
        raise ValueError(f"entropy needs round components in one or two dimensions; got covs of shape {mixture.covs.shape}")
    x = np.linspace(low, high, n)
    along = np.exp(-0.5 * (x - mixture.means[:, :, None]) ** 2 / variances[:, None, None]) / np.sqrt(2 * np.pi * variances)[:, None, None]
    p = mixture.weights @ along[:, 0] if mixture.dims == 1 else (mixture.weights[:, None] * along[:, 0]).T @ along[:, 1]
    p = p[p > 0]
    return float(-(p * np.log(p)).sum() * (x[1] - x[0]) ** mixture.dims)


def line() -> GaussianMixture:
    """Three Gaussians on the line, of unequal weight and width."""
    std = np.array([0.05, 0.12, 0.07])
    return GaussianMixture(np.array([0.3, 0.5, 0.2]), np.array([[-0.7], [0.05], [0.75]]), std**2)


def moon_mixture(K: int = 300, std: float = 0.05) -> GaussianMixture:
    """The law of `toy.moons` as 2 K Gaussians along the two arcs: the midpoint rule for the integral over the angle."""
    angle = np.pi * (np.arange(K) + 0.5) / K
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1)
    lower = np.stack([0.5 - np.cos(angle), 0.25 - np.sin(angle)], 1)
    return GaussianMixture(np.full(2 * K, 0.5 / K), 0.6 * np.concatenate([upper, lower]), np.full(2 * K, std**2))


def _drawn(draw: Callable[[int, np.random.Generator], NDArray[np.float64]]) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    train, test = (torch.from_numpy(draw(n, rng)).float() for n in (TRAIN, TEST))
    return train, test


def _line() -> World:
    law = line()
    return World("line", *_drawn(law.sample), 6_000, entropy=entropy(law), centres=law.means, radius=0.3)


def _ring() -> World:
    law = ring()
    return World("ring", *_drawn(law.sample), 30_000, entropy=entropy(law), centres=law.means, radius=3 * 0.06)


def _moons() -> World:
    return World("moons", *_drawn(moons), 30_000, entropy=entropy(moon_mixture()))


def _swirl() -> World:
    law = swirl()
    data = _drawn(lambda n, rng: quantise(law.sample(n, rng)))
    return World("swirl", *data, 30_000, eight_bit=True, entropy=quantised_entropy(law))


def small_digits(images: Bytes) -> Tensor:
    """Digits of 28 x 28 bytes at half their size: means of 2 x 2, rounded to bytes again; (N, 196) in [-1, 1]."""
    means = images.reshape(-1, 14, 2, 14, 2).astype(np.float64).mean((2, 4)).round()
    return torch.from_numpy(means.reshape(len(images), 196) / 127.5 - 1).float()


def _mnist14() -> World:
    train, test = (small_digits(mnist(split, quiet=True).images) for split in ("train", "test"))
    return World("mnist14", train, test, 400_000, eight_bit=True)


WORLDS: dict[str, Callable[[], World]] = {"line": _line, "ring": _ring, "moons": _moons, "swirl": _swirl, "mnist14": _mnist14}


@cache
def world(name: str) -> World:
    """The data set of this name, made once; ValueError names all that there are.

    "line": three Gaussians in 1-D; "ring": eight in 2-D; "moons": two arcs; "swirl": a spiral in 8-bit numbers; "mnist14": digits of
    14 x 14 bytes, the full set where it is at hand.
    """
    return WORLDS[checked("data", name, WORLDS)]()


def dequantised(x: Tensor, rng: torch.Generator) -> Tensor:
    """Levels with uniform noise of a bin's width: a density of such numbers bounds the level's probability (Theis et al. 2016, Eq. 5)."""
    return x + (torch.rand(x.shape, generator=rng, dtype=x.dtype) - 0.5) / 127.5


def per_level(dims: int) -> float:
    """-log of a bin's volume, nats: added to -log density of dequantised numbers it bounds -log probability of the levels."""
    return dims * math.log(127.5)
