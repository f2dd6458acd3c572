"""How far a set of samples is from a set of real points: a number that never comes alone.

Two finite sets of real points are not at distance 0 either. Every metric therefore returns a `Measured`: the value, the
n it was taken at, the floor (real against real at the same n) and a bootstrap interval. Points are (n, D), NumPy or torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minidiff.arrays import Array, is_torch

Float = NDArray[np.float64]
Resample = Callable[[NDArray[np.int64], NDArray[np.int64]], float]


@dataclass(frozen=True)
class Measured:
    """A distance between n samples and n real points, and what to hold it against.

    floor: the same distance between real points and real points, at the same n. low, high: 95% bootstrap interval of value.
    """

    value: float
    n: int
    floor: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}] at n = {self.n}; real against real {self.floor:.4f}"

    @property
    def over_floor(self) -> float:
        """value / floor: about 1 for samples that this metric, at this n, cannot tell from real points."""
        return self.value / self.floor


def sliced_wasserstein(
    x: Array, y: Array, real: Array, rng: np.random.Generator, projections: int = 64, resamples: int = 200
) -> Measured:
    """Sliced Wasserstein-1 distance of x and y: the mean over directions u of W_1 between the points <u, x> and <u, y>.

    In one dimension W_1 is the mean distance of sorted points. x: samples, y: real points, both (n, D). real: further real
    points, n or a multiple; the floor is the mean distance of its blocks of n from y. Directions: the axis in 1-D, evenly
    spaced angles in 2-D, else drawn with rng. Source: Bonneel et al. 2015. Checked by tests/test_metrics.py (scipy,
    shifted Gaussians: a shift by d moves it by |d| in 1-D and 2|d|/pi in 2-D).
    """
    x, y, blocks = _points(x, y, real)
    directions = _directions(x.shape[1], projections, rng)
    rank_x, rank_y = (np.argsort(directions @ a.T, axis=1) for a in (x, y))
    sorted_x, sorted_y = (np.sort(directions @ a.T, axis=1) for a in (x, y))

    def resampled(count_x: NDArray[np.int64], count_y: NDArray[np.int64]) -> float:
        # Repeating each sorted point as often as it was drawn leaves the rows sorted: no second sort.
        again_x = np.repeat(sorted_x.ravel(), count_x[rank_x].ravel())
        again_y = np.repeat(sorted_y.ravel(), count_y[rank_y].ravel())
        return float(np.abs(again_x - again_y).mean())

    floors = [float(np.abs(np.sort(directions @ block.T, axis=1) - sorted_y).mean()) for block in blocks]
    return _measured(float(np.abs(sorted_x - sorted_y).mean()), floors, resampled, len(x), rng, resamples, lowest=0.0)


def energy_distance(x: Array, y: Array, real: Array, rng: np.random.Generator, resamples: int = 200) -> Measured:
    """Energy distance 2 E|X - Y| - E|X - X'| - E|Y - Y'|, estimated without bias: pairs of a point with itself left out.

    An MMD with the kernel -|x - y|: 0 only for equal laws, in any dimension. Being unbiased it may come out a little below
    0, and its floor scatters around 0. Arguments as in `sliced_wasserstein`; memory grows as n^2. Source: Szekely & Rizzo
    2013, Baringhaus & Franz 2004. Checked by tests/test_metrics.py (closed form for Gaussians).
    """
    return _kernel_distance(lambda a, b: -_distances(a, b), x, y, real, rng, resamples)


def mmd(x: Array, y: Array, real: Array, rng: np.random.Generator, width: float = 0.3, resamples: int = 200) -> Measured:
    """Squared maximum mean discrepancy E k(X, X') + E k(Y, Y') - 2 E k(X, Y), k = exp(-|x - y|^2 / (2 width^2)), without bias.

    width: the distance at which two points stop being neighbours; differences much finer or coarser than it are not seen. Otherwise as
    `energy_distance`. Source: Gretton et al. 2012, Eq. 3. Raises ValueError for width <= 0. Checked by tests/test_metrics.py (closed
    form for Gaussians).
    """
    if not width > 0:
        raise ValueError(f"width must be a number > 0, in the unit of the points; got {width}")
    return _kernel_distance(lambda a, b: np.exp(-0.5 * (_distances(a, b) / width) ** 2), x, y, real, rng, resamples)


def _kernel_distance(
    kernel: Callable[[Float, Float], Float], x: Array, y: Array, real: Array, rng: np.random.Generator, resamples: int
) -> Measured:
    """E k(X, X') + E k(Y, Y') - 2 E k(X, Y); within one sample a point is never paired with itself."""
    x, y, blocks = _points(x, y, real)
    n, pairs = len(x), len(x) * (len(x) - 1)

    def within(a: Float) -> Float:
        k = kernel(a, a)
        np.fill_diagonal(k, 0.0)
        return k

    xx, yy, xy = within(x), within(y), kernel(x, y)

    def resampled(count_x: NDArray[np.int64], count_y: NDArray[np.int64]) -> float:
        a, b = count_x.astype(np.float64), count_y.astype(np.float64)
        return float(a @ xx @ a / pairs + b @ yy @ b / pairs - 2 * a @ xy @ b / n**2)

    one = np.ones(n, dtype=np.int64)
    floors = [float((within(block).sum() + yy.sum()) / pairs - 2 * kernel(block, y).mean()) for block in blocks]
    return _measured(resampled(one, one), floors, resampled, n, rng, resamples, lowest=-np.inf)


def _measured(
    value: float, floors: list[float], resampled: Resample, n: int, rng: np.random.Generator, resamples: int, lowest: float
) -> Measured:
    """The record. Resampling with replacement adds a distance of its own: the bootstrap gives the spread, not the centre."""
    even = np.full(n, 1 / n)
    spread = np.array([resampled(rng.multinomial(n, even), rng.multinomial(n, even)) for _ in range(resamples)])
    low, high = np.quantile(spread - spread.mean(), [0.025, 0.975]) + value
    return Measured(value, n, float(np.mean(floors)), max(lowest, float(low)), float(high))


def _points(x: Array, y: Array, real: Array) -> tuple[Float, Float, list[Float]]:
    """x, y (n, D) and the blocks of n real points, checked, as float64 NumPy."""
    x, y, real = (np.asarray(a.detach().cpu() if is_torch(a) else a, dtype=np.float64) for a in (x, y, real))
    if x.ndim != 2 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"x and y must be equally many points, (n, D) with n >= 2; got shapes {x.shape} and {y.shape}")
    n = len(x)
    if real.ndim != 2 or real.shape[1] != x.shape[1] or len(real) < n or len(real) % n:
        raise ValueError(f"real must hold {n} points or a multiple, of {x.shape[1]} dimensions; got shape {real.shape}")
    if not all(np.isfinite(a).all() for a in (x, y, real)):
        raise ValueError("points must be finite; some are NaN or infinite")
    return x, y, np.split(real, len(real) // n)


def _directions(dims: int, count: int, rng: np.random.Generator) -> Float:
    """Unit vectors, (count, dims); one only in 1-D, evenly spaced over the half circle in 2-D."""
    if dims == 1:
        return np.ones((1, 1))
    if dims == 2:
        angle = np.pi * (np.arange(count) + 0.5) / count
        return np.stack([np.cos(angle), np.sin(angle)], 1)
    u = rng.standard_normal((count, dims))
    return np.asarray(u / np.linalg.norm(u, axis=1, keepdims=True))


def _distances(x: Float, y: Float) -> Float:
    """|x_i - y_j|, (n, m). Formed from differences: the faster x^2 - 2xy + y^2 loses the small distances."""
    return np.asarray(np.sqrt(sum((x[:, None, d] - y[None, :, d]) ** 2 for d in range(x.shape[1]))))
