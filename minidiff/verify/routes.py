"""The second routes: quadrature, linear algebra and exact expectations that the checks share. Nothing here is a formula of minidiff.

The data of the checks: SHORT, a schedule of eight large steps; the two-component MIXTURE; a Gaussian N(MEAN, VAR); and
two networks that are wrong on purpose, because the identities of a bound must hold for every model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import integrate

from minidiff import (
    Bound,
    Denoiser,
    GaussianMixture,
    Prediction,
    Schedule,
    decoder_term,
    density_term,
    from_output,
    prior_term,
    step_term,
    variational_bound,
)

Float = NDArray[np.float64]

BETAS = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
ABAR = np.concatenate([[1.0], np.cumprod(1 - BETAS)])  # the textbook product, unlike Schedule, which sums logarithms
SHORT = Schedule.from_betas(BETAS)
MEAN, VAR = 0.8, 0.25
MIXTURE = GaussianMixture(np.array([0.4, 0.6]), np.array([[-1.0], [0.8]]), np.array([0.25, 0.16]))


def gaussian_data(mean: float = MEAN, var: float = VAR) -> GaussianMixture:
    """N(mean, var) in one dimension, as a mixture of one."""
    return GaussianMixture(np.ones(1), np.array([[mean]]), np.array([var]))


def vp(T: int) -> Schedule:
    """alpha_bar(u) = exp(-0.1 u - 9.95 u^2), u = t / T: beta(u) = 0.1 + 19.9 u, the continuous limit of DDPM's schedule."""
    u = np.arange(T + 1) / T
    return Schedule(np.exp(-0.1 * u - 9.95 * u**2))


def linear(T: int) -> Schedule:
    """DDPM's linear schedule with its betas scaled by 1000 / T: the same amount of noise at the end, whatever T is."""
    return Schedule.linear(T, 1e-4 * 1000 / T, 0.02 * 1000 / T)


@dataclass(frozen=True)
class Wrong:
    """eps = 0.8 sin(x_t), whatever t is: wrong, and entire, so Gauss-Hermite quadrature is exact to rounding."""

    schedule: Schedule

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        return from_output("eps", 0.8 * np.sin(x_t), x_t, *self.schedule.scales(t))


@dataclass(frozen=True)
class Linear:
    """x_0 = shift + slope x_t, the same at every t: wrong, and with Gaussian data everything stays Gaussian."""

    schedule: Schedule
    shift: float = 0.3
    slope: float = 0.5

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        return from_output("x_0", self.shift + self.slope * x_t, x_t, *self.schedule.scales(t))


# -- nodes and weights ---------------------------------------------------------------------------------------------------


def hermite(n: int) -> tuple[Float, Float]:
    """Gauss-Hermite nodes and weights of N(0, 1)."""
    x, w = np.polynomial.hermite_e.hermegauss(n)
    return x, w / w.sum()


def grid(low: float, high: float, n: int) -> tuple[Float, Float]:
    """Trapezoid nodes and weights; exponentially accurate where the integrand and its ends vanish."""
    x = np.linspace(low, high, n)
    return x, np.full(n, x[1] - x[0])


def normal_grid(n: int = 181, width: float = 9.0) -> tuple[Float, Float]:
    """Trapezoid nodes and weights of N(0, 1): for integrands with poles near the axis, where Gauss-Hermite is slow."""
    x, w = grid(-width, width, n)
    return x, w * np.exp(normal_log(x, 0.0, 1.0))


def data_nodes(mixture: GaussianMixture, n: int) -> tuple[Float, Float]:
    """Gauss-Hermite nodes and weights of a one-dimensional mixture, n for each component."""
    z, w = hermite(n)
    x = mixture.means[:, :1] + np.sqrt(mixture.covs[:, 0, :1]) * z
    return x.ravel(), (mixture.weights[:, None] * w).ravel()


def mixture_grid(mixture: GaussianMixture = MIXTURE, n: int = 241) -> tuple[Float, Float]:
    """Trapezoid nodes and weights of a one-dimensional mixture."""
    x, w = grid(-5.5, 5.0, n)
    return x, w * np.exp(mixture_log(x, 1.0, mixture))


def product(*axes: tuple[Float, Float]) -> tuple[list[Float], Float]:
    """The product rule: columns (B, 1), one for each axis, and their weights (B,)."""
    x = np.meshgrid(*(a[0] for a in axes), indexing="ij")
    w = np.meshgrid(*(a[1] for a in axes), indexing="ij")
    return [a.reshape(-1, 1) for a in x], np.prod(w, axis=0).ravel()


def column(x: Any) -> Float:
    """Numbers as B examples with one feature, (B, 1)."""
    return np.atleast_1d(np.asarray(x, dtype=np.float64)).reshape(-1, 1)


def quad(f: Callable[[float], float], low: float, high: float, points: Sequence[float] | None = None) -> float:
    """Adaptive Gauss-Kronrod quadrature (scipy), told where the integrand is narrow."""
    return float(integrate.quad(f, low, high, points=points, epsabs=1e-14, epsrel=1e-13, limit=400)[0])


# -- Gaussians by hand and by linear algebra -----------------------------------------------------------------------------


def normal_log(x: Any, mean: Any, var: Any) -> Any:
    """log N(x; mean, var), written out here so that no check leans on minidiff.Gaussian for its second route."""
    return -0.5 * (np.log(2 * np.pi * var) + (x - mean) ** 2 / var)


def mixture_log(x: Any, abar: Any, mixture: GaussianMixture = MIXTURE) -> Any:
    """log q(x_t) of a one-dimensional mixture, summed component by component."""
    m, v = mixture.means[:, 0], mixture.covs[:, 0, 0]
    parts = [np.log(w) + normal_log(x, np.sqrt(abar) * a, abar * c + 1 - abar) for w, a, c in zip(mixture.weights, m, v, strict=True)]
    return np.logaddexp.reduce(parts, axis=0)


def chain(start: tuple[float, float], gains: Any, shifts: Any, variances: Any) -> tuple[Float, Float]:
    """Joint mean and covariance of z_0 ~ N(start), z_k = gain_k z_{k-1} + shift_k + N(0, var_k): one linear system."""
    n = len(gains) + 1
    system = np.eye(n)
    system[np.arange(1, n), np.arange(n - 1)] = -np.asarray(gains)
    inverse = np.linalg.inv(system)
    shift, var = np.concatenate([[start[0]], shifts]), np.concatenate([[start[1]], variances])
    return inverse @ shift, inverse @ np.diag(var) @ inverse.T


def joint_log(x: Float, mean: Float, cov: Float) -> float:
    """log density of a multivariate normal."""
    d = x - mean
    return float(-0.5 * (d @ np.linalg.solve(cov, d) + np.linalg.slogdet(2 * np.pi * cov)[1]))


def joint_kl(p: tuple[Float, Float], q: tuple[Float, Float]) -> float:
    """KL between two multivariate normals (mean, cov), nats."""
    d, ratio = q[0] - p[0], np.linalg.solve(q[1], p[1])
    return float(0.5 * (np.trace(ratio) - len(d) - np.linalg.slogdet(ratio)[1] + d @ np.linalg.solve(q[1], d)))


def eq_11_mean(x: Any, eps: Any, t: int, abar: Float = ABAR) -> Any:
    """mu_theta as DDPM's Eq. 11 writes it, from a product of alphas: (x - beta eps / sqrt(1 - abar)) / sqrt(alpha)."""
    alpha = abar[t] / abar[t - 1]
    return (x - (1 - alpha) / np.sqrt(1 - abar[t]) * eps) / np.sqrt(alpha)


# -- exact expectations of the package's own bound -----------------------------------------------------------------------


def expected_bound(
    denoiser: Denoiser, data: tuple[Float, Float], noise: tuple[Float, Float], variance: Any, decoder: Any = density_term
) -> float:
    """E[variational_bound] with no noise in it: the batch is a quadrature grid over (x_0, eps), and `draw` returns its eps.

    Each term depends on x_0 and one eps only, so the same eps nodes serve every t.
    """
    (x_0, eps), w = product(data, noise)
    bound: Bound = variational_bound(denoiser, x_0, lambda _: eps, variance, decoder=decoder)
    return float(w @ bound.total)


def expected_steps(schedule: Schedule, mmse: Float, variance: Any) -> Float:
    """E[L_{t-1}] for t = 2..T of the exact denoiser: step_term is quadratic in x_0 - E[x_0 | x_t], whose mean square is mmse_t."""
    t = np.arange(2, schedule.T + 1)
    zero = np.zeros((len(t), 1))
    return np.asarray(step_term(schedule, Prediction(zero, zero), column(np.sqrt(mmse[2:])), zero, t - 1, t, variance))


def exact_bound(schedule: Schedule, mmse: Float, second_moment: float, variance: Any) -> float:
    """The bound of the exact denoiser in one dimension with the density decoder, from mmse_t, t = 1..T (entry 0 unused)."""
    zero = np.zeros((1, 1))
    prior = prior_term(schedule, column(np.sqrt(second_moment)))[0]
    last = density_term(schedule, Prediction(zero, zero), column(np.sqrt(mmse[1])), zero, variance)[0]
    return float(prior + expected_steps(schedule, mmse, variance).sum() + last)


def pixel_masses(denoiser: Denoiser, x_1: Float, variance: Any) -> Float:
    """P(x_0 = level | x_1) for all 256 levels, (N, 256), from decoder_term."""
    levels, pred = np.arange(256) / 127.5 - 1, denoiser(column(x_1), 1)
    every = Prediction(np.repeat(pred.x_0, 256, 0), np.repeat(pred.eps, 256, 0))
    x_0, at = column(np.tile(levels, len(x_1))), np.repeat(column(x_1), 256, 0)
    return np.exp(-decoder_term(denoiser.schedule, every, x_0, at, variance)).reshape(len(x_1), 256)
