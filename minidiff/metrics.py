"""How far a set of samples is from a set of real points: a number that never comes alone.

Two finite sets of real points are not at distance 0 either. Every metric therefore returns a `Measured`: the value, the
n it was taken at, the floor (real against real at the same n) and a bootstrap interval. Points are (n, D), NumPy or torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidiff.arrays import Array, is_torch

Float = NDArray[np.float64]
Kernel = Callable[[Float, Float], Float]
Resample = Callable[[NDArray[Any], NDArray[Any]], float]  # how often each x and each y was drawn -> the distance


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
    x, y, blocks = as_points(x, y, real)
    directions = _directions(x.shape[1], projections, rng)
    rank_x, rank_y = (np.argsort(directions @ a.T, axis=1) for a in (x, y))
    sorted_x, sorted_y = (np.sort(directions @ a.T, axis=1) for a in (x, y))

    def resampled(count_x: NDArray[np.int64], count_y: NDArray[np.int64]) -> float:
        # Repeating each sorted point as often as it was drawn leaves the rows sorted: no second sort.
        again_x = np.repeat(sorted_x.ravel(), count_x[rank_x].ravel())
        again_y = np.repeat(sorted_y.ravel(), count_y[rank_y].ravel())
        return float(np.abs(again_x - again_y).mean())

    floors = [float(np.abs(np.sort(directions @ block.T, axis=1) - sorted_y).mean()) for block in blocks]
    spread = _bootstrap(resampled, len(x), rng, resamples)
    return _measured(float(np.abs(sorted_x - sorted_y).mean()), floors, spread, len(x), lowest=0.0)


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


def frechet_distance(x: Array, y: Array, real: Array, rng: np.random.Generator, resamples: int = 200) -> Measured:
    """Squared Frechet distance of Gaussians fitted to x and y: |m_x - m_y|^2 + Tr(S_x + S_y - 2 (S_x S_y)^{1/2}).

    It sees means and covariances (those of n - 1) only. It is the "FID" of Heusel et al. 2017 if, and only if, the points are features of
    one Inception network; of other features it is another number. Biased upwards, the more the smaller n is beside D: read it against its
    floor. Unit: that of the points, squared. Arguments and errors as in `sliced_wasserstein`. Source: Dowson & Landau 1982.
    Checked by tests/test_metrics.py (scipy's sqrtm; closed forms for shifts and for Gaussians that commute).
    """
    x, y, blocks = as_points(x, y, real)
    centre = y.mean(0)  # a common shift changes no distance, and keeps S = E x x^T - m m^T from cancelling
    x, y, blocks = x - centre, y - centre, [block - centre for block in blocks]

    def resampled(count_x: NDArray[np.int64], count_y: NDArray[np.int64]) -> float:
        return _frechet(_moments(x, count_x), _moments(y, count_y))

    one = np.ones(len(x), dtype=np.int64)
    floors = [_frechet(_moments(block, one), _moments(y, one)) for block in blocks]
    return _measured(resampled(one, one), floors, _bootstrap(resampled, len(x), rng, resamples), len(x), lowest=0.0)


def kernel_distance(x: Array, y: Array, real: Array, rng: np.random.Generator, resamples: int = 200, block: int = 1000) -> Measured:
    """`mmd` with the cubic kernel k(x, y) = (<x, y> / D + 1)^3, without bias: it sees means, variances and skewness.

    Of features of an Inception network it is the "KID" of Binkowski et al. 2018, section 4. As there, more than `block` points are cut
    into blocks of about that size and the mean over blocks is given: still unbiased, and memory stays at three block x block kernels.
    The bootstrap resamples within each block. Otherwise as `energy_distance`. Checked by tests/test_metrics.py (a slow double loop;
    closed form for Gaussians in 1-D).
    """
    if block < 2:
        raise ValueError(f"block must be an int >= 2, the points compared at once; got {block}")
    return _kernel_distance(lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3, x, y, real, rng, resamples, block)


def _moments(x: Float, count: NDArray[np.int64]) -> tuple[Float, Float]:
    """Mean (D,) and covariance (D, D) of x when row i stands there count[i] times."""
    n = count.sum()
    mean = count @ x / n
    return mean, (x.T @ (count[:, None] * x) - n * np.outer(mean, mean)) / (n - 1)


def _frechet(a: tuple[Float, Float], b: tuple[Float, Float]) -> float:
    """The distance of two Gaussians (mean, covariance).

    S_a S_b has the eigenvalues of R S_b R, R = S_a^{1/2}: symmetric, so nothing complex can come of singular covariances.
    """
    (mean_a, cov_a), (mean_b, cov_b) = a, b
    values, axes = np.linalg.eigh(cov_a)
    root = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ cov_b @ root), 0)).sum()
    return max(0.0, float(((mean_a - mean_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * shared))


def _kernel_distance(
    kernel: Kernel, x: Array, y: Array, real: Array, rng: np.random.Generator, resamples: int, block: int | None = None
) -> Measured:
    """E k(X, X') + E k(Y, Y') - 2 E k(X, Y), the mean over blocks of points; all points are one block for None."""
    x, y, reals = as_points(x, y, real)
    n = len(x)
    cuts = 1 if block is None else max(1, min(-(-n // block), n // 2))  # no block may hold a single point

    def pieces(a: Float) -> list[tuple[Float, Float]]:
        return list(zip(np.array_split(a, cuts), np.array_split(y, cuts), strict=True))

    values, spread = [], np.zeros(resamples)
    for a, b in pieces(x):
        statistic = _kernel_statistic(kernel, a, b)
        one = np.ones(len(a), dtype=np.int64)
        values.append(statistic(one, one))
        spread += _bootstrap(statistic, len(a), rng, resamples) / cuts
    floors = [_kernel_statistic(kernel, a, b)(np.ones(len(a)), np.ones(len(a))) for each in reals for a, b in pieces(each)]
    return _measured(float(np.mean(values)), floors, spread, n, lowest=-np.inf)


def _kernel_statistic(kernel: Kernel, x: Float, y: Float) -> Resample:
    """The distance as a function of how often each point is taken; within one sample a point is never paired with itself."""
    n, pairs = len(x), len(x) * (len(x) - 1)
    xx, yy, xy = kernel(x, x), kernel(y, y), kernel(x, y)
    np.fill_diagonal(xx, 0.0)
    np.fill_diagonal(yy, 0.0)

    def statistic(count_x: NDArray[Any], count_y: NDArray[Any]) -> float:
        a, b = count_x.astype(np.float64), count_y.astype(np.float64)
        return float(a @ xx @ a / pairs + b @ yy @ b / pairs - 2 * a @ xy @ b / n**2)

    return statistic


def _bootstrap(statistic: Resample, n: int, rng: np.random.Generator, resamples: int) -> Float:
    """The statistic of `resamples` samples drawn with replacement from x and from y."""
    even = np.full(n, 1 / n)
    return np.array([statistic(rng.multinomial(n, even), rng.multinomial(n, even)) for _ in range(resamples)])


def _measured(value: float, floors: list[float], spread: Float, n: int, lowest: float) -> Measured:
    """The record. Resampling with replacement adds a distance of its own: the bootstrap gives the spread, not the centre."""
    low, high = np.quantile(spread - spread.mean(), [0.025, 0.975]) + value
    return Measured(value, n, float(np.mean(floors)), max(lowest, float(low)), float(high))


def as_points(x: Array, y: Array, real: Array) -> tuple[Float, Float, list[Float]]:
    """x, y (n, D) and the blocks of n real points, checked, as float64 NumPy."""
    x, y, real = (as_float(a) for a in (x, y, real))
    if x.ndim != 2 or x.shape != y.shape or len(x) < 2:
        raise ValueError(f"x and y must be equally many points, (n, D) with n >= 2; got shapes {x.shape} and {y.shape}")
    n = len(x)
    if real.ndim != 2 or real.shape[1] != x.shape[1] or len(real) < n or len(real) % n:
        raise ValueError(f"real must hold {n} points or a multiple, of {x.shape[1]} dimensions; got shape {real.shape}")
    if not all(np.isfinite(a).all() for a in (x, y, real)):
        raise ValueError("points must be finite; some are NaN or infinite")
    return x, y, np.split(real, len(real) // n)


def as_float(x: Array) -> Float:
    """A NumPy array or a torch tensor as float64 NumPy."""
    return np.asarray(x.detach().cpu() if is_torch(x) else x, dtype=np.float64)


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
