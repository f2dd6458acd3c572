"""Diagonal Gaussians: the one distribution DDPM is built of, with the two rules that derive all the others.

`push` (marginalise) and `given` (Bayes) are enough to *derive* q(x_t | x_0), q(x_t | x_s) and q(x_s | x_t, x_0): the
closed forms in process.py are tested against exactly that derivation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minidiff.arrays import Array, is_torch, like, namespace, per_example


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, var), every coordinate independent; `var` broadcasts against `mean`.

    mean: array of any shape. var: a float64 coefficient (a number, or shape (B, 1, ..., 1)) or an array of mean's library.
    A coefficient stays float64 NumPy until it meets the mean, also when the mean is a float32 tensor (design idea 2).
    Broadcasting is NumPy's, so for a mean of shape (B, D) a var of shape (D,) has one number for each feature.
    var = 0 is a point mass: it can be sampled and pushed but has no density. Raises ValueError for a negative or NaN var.

    >>> prior = Gaussian(np.zeros(2), 1.0)
    >>> float(prior.kl(Gaussian(np.ones(2), 1.0)).sum())
    1.0
    >>> prior.given(scale=1.0, var=1.0, y=np.array([2.0, 4.0])).mean
    array([1., 2.])
    """

    mean: Array
    var: Array

    def __post_init__(self) -> None:
        namespace(self.mean, self.var) if is_torch(self.var) else (namespace(self.mean), namespace(self.var))
        mean, var = (a if is_torch(a) else np.asarray(a)[()] for a in (self.mean, self.var))
        if var.ndim > mean.ndim or any(m not in (1, n) for m, n in zip(var.shape[::-1], mean.shape[::-1], strict=False)):
            raise ValueError(f"var must broadcast against the mean's shape {tuple(mean.shape)}; got {tuple(var.shape)}")
        if not (var >= 0).all():
            raise ValueError("a variance must be a number >= 0; got a negative one or NaN")
        if var.ndim:
            var = var.reshape((1,) * (mean.ndim - var.ndim) + tuple(var.shape))
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "var", var)

    def sample(self, noise: Array) -> Array:
        """mean + sqrt(var) * noise. The noise, standard normal and shaped like the mean, is the caller's."""
        namespace(self.mean, noise)
        if tuple(np.shape(noise)) != tuple(self.mean.shape):
            raise ValueError(f"noise must have the mean's shape {tuple(self.mean.shape)}; got {tuple(np.shape(noise))}")
        return self.mean + like(_sqrt(self.var), self.mean) * noise

    def log_prob(self, x: Array) -> Array:
        """log N(x; mean, var), elementwise, in nats: -(x - mean)^2 / (2 var) - log(2 pi var) / 2.

        Raises ValueError where var = 0 (a point mass has no density). Checked by tests/test_gaussian.py (scipy, quadrature).
        """
        self._needs_density()
        namespace(self.mean, x)
        var = like(self.var, self.mean)
        return -0.5 * ((x - self.mean) ** 2 / var + like(_log(self.var) + math.log(2 * math.pi), self.mean))

    def kl(self, other: Gaussian) -> Array:
        """KL(self || other), elementwise, in nats: (r - 1 - log r) / 2 + (mean - mean')^2 / (2 var'), r = var / var'.

        Source: DDPM (Ho et al. 2020) Eq. 8 with its constant kept. Summing over features is the caller's visible choice.
        Raises ValueError where a variance is 0. Checked by `minidiff verify` (ddpm 5) against quadrature.
        """
        self._needs_density()
        other._needs_density()
        namespace(self.mean, other.mean)
        mean = self.mean - other.mean
        tensor = is_torch(self.var) or is_torch(other.var)
        # Two coefficients are divided in float64: the small difference below cancels.
        ratio = like(self.var, mean) / like(other.var, mean) if tensor else self.var / other.var
        return like(0.5 * (ratio - 1 - _log(ratio)), mean) + mean**2 / like(2 * other.var, mean)

    def push(self, scale: float | Array, var: float | Array) -> Gaussian:
        """The law of scale * X + N(0, var): marginalisation. N(scale * mean, scale^2 * self.var + var).

        scale, var: numbers, one for each example (B,) as `schedule.scales` gives them, or with as many axes as the mean.
        """
        own, scale, var = self._together(scale, var)
        return Gaussian(like(scale, self.mean) * self.mean, scale**2 * own + var)

    def given(self, scale: float | Array, var: float | Array, y: Array) -> Gaussian:
        """The law of X once y = scale * X + N(0, var) has been seen: Bayes' rule, in the form of a Kalman gain.

        mean' = mean + gain * (y - scale * mean), var' = self.var * var / (scale^2 self.var + var),
        gain = scale * self.var / (scale^2 self.var + var). Raises ValueError if both variances are 0.
        """
        namespace(self.mean, y)
        own, scale, var = self._together(scale, var)
        if not (var >= 0).all():
            raise ValueError("the variance of what was seen must be a number >= 0; got a negative one or NaN")
        total = scale**2 * own + var
        if not (total > 0).all():
            raise ValueError("y says nothing that the prior does not already fix: both variances are 0")
        gain = scale * own / total
        mean = self.mean + like(gain, self.mean) * (y - like(scale, self.mean) * self.mean)
        return Gaussian(mean, own * var / total)

    def _together(self, scale: Array, var: Array) -> list[Array]:
        """Own variance, scale and var, shaped to multiply each other: float64 NumPy, or tensors if one of them is."""
        c = [per_example(a, self.mean) for a in (self.var, scale, var)]
        return [like(a, self.mean) for a in c] if any(is_torch(a) for a in c) else c

    def _needs_density(self) -> None:
        if not (self.var > 0).all():
            raise ValueError("a variance is 0: a point mass has no density, so no log_prob and no kl")


def _log(v: Array) -> Array:
    return v.log() if is_torch(v) else np.log(v)


def _sqrt(v: Array) -> Array:
    return v.sqrt() if is_torch(v) else np.sqrt(v)
