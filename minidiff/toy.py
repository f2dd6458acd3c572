"""Data for which everything is known: Gaussian mixtures with exact density, score and E[x_0 | x_t], and 2-D data sets.

`ExactDenoiser` is the ideal network. Samplers, bounds and losses are tested with it, with no training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from minidiff.arrays import Array, is_torch, like, namespace, real
from minidiff.prediction import Prediction
from minidiff.schedule import Schedule

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """sum_k w_k N(m_k, C_k): weights (K,), means (K, D), covs (K,) for C_k = covs_k I, or full matrices (K, D, D).

    Noising keeps it a mixture, so all about x_t = scale * x_0 + N(0, var) is in closed form at every t (equations B2).
    Points are (B, D), also for D = 1; NumPy or torch. Raises ValueError for weights that do not sum to 1, or a C_k that is
    not symmetric and positive semi-definite. Checked by tests/test_toy.py (quadrature, finite differences).

    >>> mixture = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [0.04, 0.04])
    >>> mean, cov = mixture.posterior(np.array([[0.0]]), scale=0.8, var=0.36)  # in the middle nothing is known of the sign
    >>> float(mean[0, 0].round(12)) + 0.0, float(cov[0, 0, 0].round(3))
    (0.0, 0.909)
    """

    weights: Float
    means: Float
    covs: Float

    def __post_init__(self) -> None:
        w, m, c = (np.array(a, dtype=np.float64) for a in (self.weights, self.means, self.covs))
        if w.ndim != 1 or not np.all(w > 0) or abs(w.sum() - 1) > 1e-9:
            raise ValueError(f"weights must be one row of positive numbers that sum to 1; got shape {w.shape}, sum {w.sum():.6g}")
        if m.ndim != 2 or len(m) != len(w):
            raise ValueError(f"means must have shape ({len(w)}, D), one row for each weight; got {m.shape}")
        if not (np.isfinite(m).all() and np.isfinite(c).all()):
            raise ValueError("means and covs must be finite; got NaN or infinity")
        K, D = m.shape
        if c.shape == (K,):
            c = c[:, None, None] * np.eye(D)
        if c.shape != (K, D, D) or not np.allclose(c, c.swapaxes(1, 2)) or np.linalg.eigvalsh(c).min() < -1e-12:
            form = f"({K},) variances >= 0 or ({K}, {D}, {D}) symmetric matrices without negative eigenvalues"
            raise ValueError(f"covs must be {form}; got shape {np.shape(self.covs)}")
        for name, value in (("weights", w), ("means", m), ("covs", c)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    @property
    def dims(self) -> int:
        """The number of dimensions D."""
        return int(self.means.shape[1])

    @cached_property
    def _axes(self) -> tuple[Float, Float]:
        """Variances (K, D) and principal axes (K, D, D) of the components: noise only adds to the variances."""
        variances, axes = np.linalg.eigh(self.covs)
        return np.maximum(variances, 0), axes

    def push(self, scale: float, var: float) -> GaussianMixture:
        """The law of scale * X + N(0, var I): again a mixture. `mixture.push(signal, noise**2)` is p(x_t)."""
        return GaussianMixture(self.weights, scale * self.means, scale**2 * self.covs + var * np.eye(self.dims))

    def sample(self, n: int, rng: np.random.Generator) -> Float:
        """n points, (n, D), float64."""
        k = rng.choice(len(self.weights), size=n, p=self.weights)
        variances, axes = self._axes
        z = rng.standard_normal((n, self.dims)) * np.sqrt(variances[k])
        return np.asarray(self.means[k] + np.einsum("nde,ne->nd", axes[k], z))

    def mean(self) -> Float:
        """E[X], (D,)."""
        return np.asarray(self.weights @ self.means)

    def log_prob(self, x: Array) -> Array:
        """log p(x), (B, D) -> (B,), nats."""
        return _log_sum_exp(self._joint(self._points(x), 1.0, 0.0)[0])

    def score(self, x: Array) -> Array:
        """grad log p(x) = sum_k r_k(x) C_k^{-1} (m_k - x), (B, D) -> (B, D)."""
        x = self._points(x)
        joint, y, v = self._joint(x, 1.0, 0.0)
        axes = _to(self._axes[1], x)
        return -_einsum("bk,kde,bke->bd", _softmax(joint), axes, y / v)

    def posterior(self, x_t: Array, scale: Any, var: Any) -> tuple[Array, Array]:
        """E[x_0 | x_t] (B, D) and Cov[x_0 | x_t] (B, D, D) for x_t = scale * x_0 + N(0, var I); scale, var: () or (B,).

        By components, with V_k = scale^2 C_k + var I: weights r_k(x_t), means m_k + scale C_k V_k^{-1} (x_t - scale m_k),
        covariances C_k - scale^2 C_k V_k^{-1} C_k.
        """
        x_t = self._points(x_t)
        joint, y, v = self._joint(x_t, scale, var)
        variances, axes = _to(self._axes[0], x_t), _to(self._axes[1], x_t)
        r, a = _softmax(joint), _row(scale, x_t)
        means = _to(self.means, x_t) + _einsum("kde,bke->bkd", axes, a * variances / v * y)  # (B, K, D)
        mean = _einsum("bk,bkd->bd", r, means)
        inner = variances * _row(var, x_t) / v  # what noise leaves of each principal variance
        spread = means - mean[:, None, :]
        within = _einsum("bk,kde,bke,kfe->bdf", r, axes, inner, axes)
        return mean, within + _einsum("bk,bkd,bkf->bdf", r, spread, spread)

    def _points(self, x: Array) -> Array:
        """x checked to be (B, D), integers as floating point."""
        namespace(x)
        if np.ndim(x) != 2 or x.shape[1] != self.dims:
            raise ValueError(f"points of this mixture have shape (B, {self.dims}); got {tuple(np.shape(x))}")
        return real(x)

    def _joint(self, x: Array, scale: Any, var: Any) -> tuple[Array, Array, Array]:
        """log w_k N(x; scale m_k, V_k) (B, K); the offsets and variances along the principal axes, both (B, K, D)."""
        a = _row(scale, x)
        d = x[:, None, :] - a * _to(self.means, x)
        y = _einsum("bkd,kde->bke", d, _to(self._axes[1], x))
        v = a**2 * _to(self._axes[0], x) + _row(var, x) + 0 * y
        if (v <= 0).any():
            raise ValueError("a component without width has no density here: give covs > 0, or noise it first (push, or t >= 1)")
        log_n = -0.5 * (y**2 / v + namespace(v).log(v) + math.log(2 * math.pi)).sum(-1)
        return _to(np.log(self.weights), x) + log_n, y, v


@dataclass(frozen=True, eq=False)
class ExactDenoiser:
    """The ideal denoiser of a mixture: x_0 = E[x_0 | x_t], eps = E[eps | x_t] = -noise * score of p(x_t).

    A Denoiser (minidiff.prediction) for points (B, D), t int or (B,) in 1..T. No network comes closer in mean square.
    """

    mixture: GaussianMixture
    schedule: Schedule

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction:
        if cond is not None:
            raise ValueError("the exact denoiser of a mixture takes no condition; build the mixture of that condition instead")
        x_t = self.mixture._points(x_t)
        signal, noise = self.schedule.scales(self.schedule.check(t, low=1))
        x_0, _ = self.mixture.posterior(x_t, signal, noise**2)
        return Prediction(x_0, (x_t - like(signal, x_t) * x_0) / like(noise, x_t))


# -- data sets in the plane: a generator and a number of points in, (n, 2) float64 within about [-1, 1] out ------------


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


# -- small operations that NumPy and torch spell differently -------------------------------------------------------------


def _to(c: Float, x: Array) -> Array:
    """A constant array in x's library and dtype, shape unchanged (arrays.like speaks of one number per example)."""
    return x.new_tensor(c) if is_torch(x) else c.astype(x.dtype)


def _row(c: Any, x: Array) -> Array:
    """A time coefficient, () or (B,), against arrays of shape (B, K, D)."""
    row = like(c, x)
    return row[..., None] if row.ndim else row


def _einsum(formula: str, *arrays: Array) -> Array:
    xp = namespace(*arrays)
    return np.einsum(formula, *arrays, optimize=True) if xp is np else xp.einsum(formula, *arrays)


def _log_sum_exp(a: Array) -> Array:
    xp = namespace(a)
    top = xp.amax(a, -1)
    return top + xp.log(xp.exp(a - top[..., None]).sum(-1))


def _softmax(a: Array) -> Array:
    return namespace(a).exp(a - _log_sum_exp(a)[..., None])
