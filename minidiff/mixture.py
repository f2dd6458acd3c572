"""Data for which everything is known: Gaussian mixtures with exact density, score and E[x_0 | x_t].

`ExactDenoiser` is the ideal network. Samplers, bounds and losses are tested with it, with no training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
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
    not symmetric and positive semi-definite. Checked by tests/test_mixture.py (quadrature, finite differences).

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

    @classmethod
    def blend(cls, weights: Any, parts: Sequence[GaussianMixture]) -> GaussianMixture:
        """sum_c weights_c parts_c: the law of a point whose class c is drawn first, and then forgotten."""
        weights = np.asarray(weights, dtype=np.float64)
        if len(parts) == 0 or weights.shape != (len(parts),) or len({part.dims for part in parts}) != 1:
            raise ValueError(f"needed: one weight for each part, all of one dimension; got {len(parts)} parts, weights {weights.shape}")
        flat = [w * part.weights for w, part in zip(weights, parts, strict=True)]
        return cls(np.concatenate(flat), np.concatenate([p.means for p in parts]), np.concatenate([p.covs for p in parts]))

    def conditional(self, known: int | Sequence[int], value: Any) -> GaussianMixture:
        """The law of the other coordinates once those in `known` have been seen to be `value`: the exact answer to inpainting.

        By components: means m_b + C_ba C_aa^{-1} (value - m_a), covariances C_bb - C_ba C_aa^{-1} C_ab, weights times N(value; m_a, C_aa).
        Raises ValueError unless known and value name some, but not all, coordinates. Checked by `minidiff verify` (inpainting exact).
        """
        a, value = np.atleast_1d(known), np.atleast_1d(np.asarray(value, dtype=np.float64))
        if (a.size and a.dtype.kind not in "iu") or not np.isfinite(value).all():
            raise ValueError(f"known must be ints, the numbers of coordinates, and value finite; got {a.tolist()} and {value.tolist()}")
        b = np.setdiff1d(np.arange(self.dims), a)
        if value.shape != a.shape or len(a) == 0 or len(b) == 0 or len(b) + len(a) != self.dims:
            got = f"{a.tolist()} and {value.tolist()}"
            raise ValueError(f"known must name some of 0..{self.dims - 1}, each once, with one value each; got {got}")
        seen = GaussianMixture(self.weights, self.means[:, a], self.covs[:, a][:, :, a])
        r = _softmax(seen._joint(value[None], 1.0, 0.0)[0])[0]
        gain = np.linalg.solve(seen.covs, self.covs[:, a][:, :, b]).swapaxes(1, 2)  # (K, b, a): C_ba C_aa^{-1}
        means = self.means[:, b] + np.einsum("kba,ka->kb", gain, value - seen.means)
        covs = self.covs[:, b][:, :, b] - gain @ self.covs[:, a][:, :, b]
        keep = r > 0  # a component that cannot have made the value is no component any more
        return GaussianMixture(r[keep] / r[keep].sum(), means[keep], (covs[keep] + covs[keep].swapaxes(1, 2)) / 2)

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


@dataclass(frozen=True)
class Label:
    """A class, as the condition of `ClassDenoiser`: its number, or None for "not told" (the empty condition of guidance)."""

    index: int | None

    def null(self) -> Label:
        """The empty condition."""
        return Label(None)


@dataclass(frozen=True, eq=False)
class ClassDenoiser:
    """The ideal denoiser of labelled data: that of class k when told Label(k), that of the blend of all when told nothing.

    classes: the law of each class; weights: how often each occurs; schedule. With `Guided` it shows exactly what
    classifier-free guidance does, with no network in the way (equations B5).
    """

    classes: Sequence[GaussianMixture]
    weights: Any
    schedule: Schedule

    def __post_init__(self) -> None:
        experts: dict[int | None, GaussianMixture] = {None: GaussianMixture.blend(self.weights, self.classes)}
        experts.update(enumerate(self.classes))
        object.__setattr__(self, "_experts", {k: ExactDenoiser(law, self.schedule) for k, law in experts.items()})

    def __call__(self, x_t: Array, t: Any, cond: Label | None = None) -> Prediction:
        if cond is not None and not isinstance(cond, Label):
            raise TypeError(f"the condition of labelled data is a Label, such as Label(0); got {type(cond).__name__}")
        index = None if cond is None else cond.index
        experts: dict[int | None, ExactDenoiser] = self.__dict__["_experts"]
        if index not in experts:
            raise ValueError(f"there are classes 0..{len(self.classes) - 1} (or None, not told); got {index!r}")
        return experts[index](x_t, t)


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
