"""What nearest neighbours say of samples: precision, recall, and whether the model has learnt its training points by heart.

Points are (n, D), NumPy or torch. All pairs are formed, in blocks of bounded memory; nothing is approximate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from minidiff.arrays import Array
from minidiff.metrics import Float, Measured, as_float, as_points

BLOCK = 8_000_000  # distances held at once: 64 MB


@dataclass(frozen=True)
class PrecisionRecall:
    """Two shares of n points. Their `floor` is what real points reach in place of samples: here the best to hope for, not the least."""

    precision: Measured
    recall: Measured


def precision_recall(x: Array, y: Array, real: Array, k: int = 3) -> PrecisionRecall:
    """Precision: the share of samples x that lie among the real points y. Recall: the share of y that lies among x.

    A point lies among a set if it is no farther from some member than that member is from its own k-th neighbour in the set. x, y (n, D);
    real: further real points, n or a multiple, that stand in for x in the floor. Source: Kynkaanniemi et al. 2019, Eq. 1 and 2. The
    interval (95%, Wilson) is that of a share of n points, the set they are compared with taken as given. Raises ValueError unless
    1 <= k < n, and as `sliced_wasserstein`. Checked by tests/test_neighbours.py (a slow loop; separate, equal and nested clouds).
    """
    x, y, blocks = as_points(x, y, real)
    n = len(x)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k < n:
        raise ValueError(f"k must be an int in 1..{n - 1}, below the number of points; got {k!r}")
    radius = _radii(y, k)
    pairs = [(_among(a, y, radius), _among(y, a, _radii(a, k))) for a in (x, *blocks)]
    floor = np.mean(pairs[1:], axis=0) / n
    return PrecisionRecall(*(share(pairs[0][i], n, float(floor[i])) for i in (0, 1)))


def nearest(x: Array, real: Array) -> tuple[NDArray[np.int64], Float]:
    """For each of x (n, D) the index of the nearest of real (N, D), and the distance |x - real|, both (n,).

    Candidates are ranked by |r|^2 - 2 <x, r>, one matrix product; the distance of the winner is then formed from differences, so that a
    copy is at distance 0 and not at the rounding error of the product. Raises ValueError unless both are (., D), finite and not empty.
    Checked by tests/test_neighbours.py (scipy's k-d tree).
    """
    x, real = as_float(x), as_float(real)
    if x.ndim != 2 or real.ndim != 2 or x.shape[1] != real.shape[1] or not len(x) or not len(real):
        raise ValueError(f"x and real must be points, (n, D) and (N, D) with n, N >= 1; got shapes {x.shape} and {real.shape}")
    if not (np.isfinite(x).all() and np.isfinite(real).all()):
        raise ValueError("points must be finite; some are NaN or infinite")
    square = np.einsum("nd,nd->n", real, real)  # no copy of real: it may be all of MNIST
    index = np.concatenate([np.argmin(square - 2 * x[part] @ real.T, axis=1) for part in _parts(len(x), len(real))])
    return index, np.sqrt(((x - real[index]) ** 2).sum(1))


@dataclass(frozen=True, eq=False)
class Memorised:
    """closer: the share of samples nearer to a training point than all but `level` of held-out points are; its floor is the share expected
    of further held-out points. index, distance: of the nearest training point of each sample; held_out: distances of the held-out points.
    """

    closer: Measured
    index: NDArray[np.int64]
    distance: Float
    held_out: Float


def memorised(x: Array, held_out: Array, train: Array, level: float = 0.01) -> Memorised:
    """Are samples x nearer to the training points than new real points, `held_out`, are? A model that copies gives closer = 1.

    The threshold is the r-th smallest distance of the m held-out points, r = level (m + 1) rounded down, at least 1. A further held-out
    point falls below it with probability r / (m + 1) exactly, whatever the law (all m + 1 ranks are alike): that is the floor. Interval:
    95%, Wilson, the threshold taken as given. A share a little above the floor is no copying yet: samples simpler than real points are
    nearer to everything. Raises ValueError unless 0 < level < 1, and as `nearest`. Checked by tests/test_neighbours.py (Monte Carlo).
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, the share of held-out points below the threshold; got {level}")
    index, distance = nearest(x, train)
    other = nearest(held_out, train)[1]
    r = max(1, math.floor(level * (len(other) + 1)))
    hits = int((distance < np.sort(other)[r - 1]).sum())
    return Memorised(share(hits, len(distance), r / (len(other) + 1)), index, distance, other)


@dataclass(frozen=True, eq=False)
class Modes:
    """counts (K,): the samples within the radius of each centre and nearer to it than to any other. near: the share near some centre."""

    counts: NDArray[np.int64]
    near: Measured

    def met(self, least: float = 0.1) -> int:
        """How many modes have at least `least` times an even share of all samples, 1 sample at the least."""
        return int((self.counts >= max(1.0, least * self.near.n / len(self.counts))).sum())


def modes_met(x: Array, centres: Array, radius: float, expected: float = 1.0) -> Modes:
    """Which modes of a mixture with known centres (K, D) the samples x (n, D) have found: each goes to the nearest, if that is near.

    radius: how far a sample may lie from its centre; three standard deviations hold nearly all of a mode. expected: the share of real
    points that does, the floor of `near`. Raises ValueError for radius <= 0, and as `nearest`. Checked by tests/test_neighbours.py (loops).
    """
    if not radius > 0:
        raise ValueError(f"radius must be a number > 0, in the unit of the points; got {radius}")
    index, distance = nearest(x, centres)
    hits = index[distance <= radius]
    return Modes(np.bincount(hits, minlength=len(centres)), share(len(hits), len(index), expected))


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95% interval of a share of which `hits` of n were seen: all p with |hits/n - p| <= z sqrt(p (1 - p) / n). Wilson 1927.

    Raises ValueError unless 0 <= hits <= n and n >= 1. Checked by tests/test_neighbours.py (scipy.stats).

    >>> [round(p, 3) for p in wilson(0, 100)]  # nothing seen in 100 is not nothing
    [0.0, 0.037]
    """
    if not (n >= 1 and 0 <= hits <= n):
        raise ValueError(f"hits must lie in 0..n, n >= 1; got {hits} of {n}")
    p, square = hits / n, z * z / n
    middle = (p + square / 2) / (1 + square)
    half = math.sqrt(square * p * (1 - p) + square**2 / 4) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def share(hits: int, n: int, floor: float) -> Measured:
    """The share hits / n with its Wilson interval, beside the share of real points."""
    return Measured(hits / n, n, floor, *wilson(hits, n))


def _radii(a: Float, k: int) -> Float:
    """The distance of each point to its k-th neighbour in the same set."""
    parts = _parts(len(a), len(a))
    return np.concatenate([np.partition(cdist(a[part], a), k, axis=1)[:, k] for part in parts])  # place 0 is the point itself


def _among(x: Float, centres: Float, radius: Float) -> int:
    """How many of x lie in a ball around one of the centres."""
    return int(sum((cdist(x[part], centres) <= radius).any(1).sum() for part in _parts(len(x), len(centres))))


def _parts(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows such that slice x columns stays within BLOCK."""
    step = max(1, BLOCK // columns)
    return (slice(i, i + step) for i in range(0, rows, step))

