"""Data sets in the plane: a number of points and a generator in, (n, 2) float64 within about [-1, 1] out.

The mixtures among them (`ring`, `swirl`) have an exact density, score and denoiser; the others are known by their samples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.special
from numpy.typing import NDArray

from minidiff.mixture import ExactDenoiser, GaussianMixture

Float = NDArray[np.float64]


def ring(K: int = 8, radius: float = 0.8, std: float = 0.06) -> GaussianMixture:
    """K equal Gaussians on a circle: the classic test of whether a model finds all modes."""
    angle = 2 * np.pi * np.arange(K) / K
    return GaussianMixture(np.full(K, 1 / K), radius * np.stack([np.cos(angle), np.sin(angle)], 1), np.full(K, std**2))


def swirl(K: int = 60, turns: float = 1.5, std: float = 0.035) -> GaussianMixture:
    """A spiral arm made of K narrow Gaussians: curved like the usual swiss roll, but with an exact density."""
    u = np.sqrt(np.linspace(0.03, 1, K))  # even spacing along the arm
    angle = 2 * np.pi * turns * u
    arm = 0.85 * u[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    return GaussianMixture(np.full(K, 1 / K), arm, np.full(K, std**2))


def moons(n: int, rng: np.random.Generator, std: float = 0.05) -> Float:
    """Two interleaved half circles with Gaussian blur, (n, 2)."""
    angle, upper = np.pi * rng.random(n), rng.random(n) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle)) - 0.5
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle)) - 0.25
    return 0.6 * np.stack([x, y], 1) + std * rng.standard_normal((n, 2))


def checkerboard(n: int, rng: np.random.Generator, cells: int = 4) -> Float:
    """Uniform on the dark fields of a board over [-1, 1]^2, (n, 2). `cells`, fields along a side, must be even."""
    if cells < 2 or cells % 2:
        raise ValueError(f"cells must be even and >= 2; got {cells}")
    row = rng.integers(0, cells, n)
    column = 2 * rng.integers(0, cells // 2, n) + row % 2
    return (np.stack([column, row], 1) + rng.random((n, 2))) * 2 / cells - 1


def quantise(x: Float) -> Float:
    """The nearest of the 256 levels k / 127.5 - 1, clipped to [-1, 1]: 8-bit data, for which bits/dim is meaningful.

    >>> ((quantise(np.array([-2.0, 0.0, 0.3])) + 1) * 127.5).round(9).tolist()
    [0.0, 128.0, 166.0]
    """
    return np.clip(np.round((x + 1) * 127.5), 0, 255) / 127.5 - 1


def quantised_entropy(mixture: GaussianMixture) -> float:
    """Entropy in nats of quantise(X) for a mixture of round Gaussians in 1-D or 2-D, summed over all 256^D cells.

    Exact: each cell's mass is a product of differences of the normal distribution function. The best total bound there is.
    """
    variances = mixture.covs[:, 0, 0]
    round_ = np.allclose(mixture.covs, variances[:, None, None] * np.eye(mixture.dims))
    if not round_ or mixture.dims > 2 or variances.min() <= 0:
        raise ValueError("quantised_entropy needs round components (covs of shape (K,), > 0) in one or two dimensions")
    edges = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 127.5 - 1, [np.inf]])
    cdf = scipy.special.ndtr((edges - mixture.means[:, :, None]) / np.sqrt(variances)[:, None, None])  # (K, D, 257)
    mass = np.diff(cdf, axis=-1)
    cells = mixture.weights @ mass[:, 0]
    if mixture.dims == 2:
        cells = np.einsum("k,ka,kb->ab", mixture.weights, mass[:, 0], mass[:, 1])
    p = cells[cells > 0]
    return float(-(p * np.log(p)).sum())


TOYS: dict[str, Callable[[int, np.random.Generator], Float]] = {
    "ring": lambda n, rng: ring().sample(n, rng),
    "swirl": lambda n, rng: swirl().sample(n, rng),
    "moons": moons,
    "checkerboard": checkerboard,
}

__all__ = [
    "TOYS", "ExactDenoiser", "GaussianMixture", "checkerboard", "moons", "quantise", "quantised_entropy", "ring", "swirl",
]
