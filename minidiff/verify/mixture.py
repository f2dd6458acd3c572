"""Gaussian mixtures: density, score, posterior and reverse kernel of the noised data, against quadrature and Bayes' rule."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from minidiff import ExactDenoiser, GaussianMixture, marginal, posterior, reverse_transition
from minidiff.process import posterior_variance, posterior_weights
from minidiff.verify.registry import Check, close, equation, generator
from minidiff.verify.routes import ABAR, BETAS, MIXTURE, SHORT, column, grid, mixture_log, normal_log

POINTS = np.array([-1.6, -0.4, 0.1, 0.9, 2.0])
PLANE = GaussianMixture(
    np.array([0.3, 0.7]), np.array([[-0.6, 0.4], [0.5, -0.2]]), np.array([[[0.3, 0.1], [0.1, 0.2]], [[0.15, -0.05], [-0.05, 0.4]]])
)


def _bayes(t: int, x_t: float) -> tuple[float, float]:
    """E[x_0 | x_t] and Var[x_0 | x_t] by Bayes' rule on a grid."""
    x, _ = grid(-6, 6, 1201)
    w = np.exp(mixture_log(x, 1.0) + normal_log(x_t, np.sqrt(ABAR[t]) * x, 1 - ABAR[t]))
    mean = w @ x / w.sum()
    return float(mean), float(w @ (x - mean) ** 2 / w.sum())


@equation(
    "mixture", "B01", "the density of noised data", function="minidiff.GaussianMixture.push",
    formula=r"q(x_t)=\int q(x_0)\,q(x_t\mid x_0)\,dx_0=\sum_kw_k\mathcal N\big(\sqrt{\bar\alpha_t}m_k,\ \bar"
    r"\alpha_ts_k^2+1-\bar\alpha_t\big)",
)  # fmt: skip
def density() -> Iterator[Check]:
    """push against the integral over x_0, with the package's marginal as the kernel; samples against the mean."""
    x, dx = grid(-6, 6, 1201)
    for t in (1, 4, 8):
        signal, noise = SHORT.scales(t)
        kernel = np.exp(marginal(SHORT, np.repeat(column(x), 5, 1), t).log_prob(np.tile(POINTS, (1201, 1))))
        by_grid = (np.exp(mixture_log(x, 1.0)) * dx) @ kernel
        ours = np.exp(MIXTURE.push(float(signal), float(noise) ** 2).log_prob(column(POINTS)))
        yield close(f"q(x_t) at five points, t = {t}", ours, by_grid, 1e-10, "grid")


@equation(
    "mixture", "B02", "the score, and Tweedie's formula", function="minidiff.ExactDenoiser", source="Tweedie; Vincent 2011",
    formula=r"\nabla\log q(x_t)=-\frac{\mathbb E[\epsilon\mid x_t]}{\sqrt{1-\bar\alpha_t}},\qquad\mathbb E[x_0"
    r"\mid x_t]=\frac{x_t+(1-\bar\alpha_t)\nabla\log q(x_t)}{\sqrt{\bar\alpha_t}}",
)  # fmt: skip
def tweedie() -> Iterator[Check]:
    """The exact denoiser and `score` against finite differences of the log density, in one and two dimensions."""
    h = 1e-3
    for name, mixture, x in (("1-D", MIXTURE, column(POINTS)), ("2-D", PLANE, np.array([[0.3, -0.2], [-1.0, 0.6], [0.4, 1.1]]))):
        for t in (2, 6):
            signal, noise = SHORT.scales(t)
            q = mixture.push(float(signal), float(noise) ** 2)
            slope = np.stack([_slope(q, x, h * e) for e in np.eye(mixture.dims)], 1) / h
            guess = ExactDenoiser(mixture, SHORT)(x, t)
            yield close(f"score, {name}, t = {t}", q.score(x), slope, 1e-8, "finite differences")
            eps = -np.sqrt(1 - ABAR[t]) * slope
            yield close(f"E[eps | x_t] = -noise * score, {name}, t = {t}", guess.eps, eps, 1e-8, "finite differences")
            tweedie = (x + (1 - ABAR[t]) * slope) / np.sqrt(ABAR[t])
            yield close(f"E[x_0 | x_t] from the score, {name}, t = {t}", guess.x_0, tweedie, 1e-8, "finite differences")


def _same(noise: Any, _: Any) -> Any:
    return noise


def _slope(q: GaussianMixture, x: np.ndarray, d: np.ndarray) -> np.ndarray:
    one, two = (q.log_prob(x + k * d) - q.log_prob(x - k * d) for k in (1, 2))
    return np.asarray((8 * one - two) / 12)


@equation(
    "mixture", "B04", "what x_t says about x_0", function="minidiff.GaussianMixture.posterior",
    formula=r"\mathbb E[x_0\mid x_t],\ \mathrm{Var}[x_0\mid x_t]=\frac{1-\bar\alpha_t}{\bar\alpha_t}\big(1+(1-\bar"
    r"\alpha_t)\,\partial^2_x\log q(x_t)\big)",
)  # fmt: skip
def denoising() -> Iterator[Check]:
    """Mean and variance of x_0 given x_t against Bayes' rule on a grid, and against the second derivative of log q."""
    h = 1e-3
    for t in (1, 5, 8):
        signal, noise = SHORT.scales(t)
        mean, cov = MIXTURE.posterior(column(POINTS), signal, noise**2)
        means, variances = np.array([_bayes(t, x) for x in POINTS]).T
        yield close(f"E[x_0 | x_t], t = {t}", ExactDenoiser(MIXTURE, SHORT)(column(POINTS), t).x_0[:, 0], means, 1e-9, "grid")
        yield close(f"the same from posterior, t = {t}", mean[:, 0], means, 1e-9, "grid")
        yield close(f"Var[x_0 | x_t], t = {t}", cov[:, 0, 0], variances, 1e-9, "grid")
        log_q = [mixture_log(POINTS + k * h, ABAR[t]) for k in (-2, -1, 0, 1, 2)]
        curve = (-log_q[0] + 16 * log_q[1] - 30 * log_q[2] + 16 * log_q[3] - log_q[4]) / (12 * h**2)
        second = (1 - ABAR[t]) / ABAR[t] * (1 + (1 - ABAR[t]) * curve)
        yield close(f"Var[x_0 | x_t] from the curvature of log q, t = {t}", cov[:, 0, 0], second, 1e-7, "finite differences")
    x, _ = grid(-4, 4, 161)
    plane = np.stack(np.meshgrid(x, x, indexing="ij"), -1).reshape(-1, 2)
    signal, noise = SHORT.scales(5)
    w = np.exp(PLANE.log_prob(plane) + normal_log(np.array([0.3, -0.2]), signal * plane, noise**2).sum(1))
    mean = w @ plane / w.sum()
    ours = PLANE.posterior(np.array([[0.3, -0.2]]), signal, noise**2)
    yield close("E[x_0 | x_t], 2-D, full covariances", ours[0][0], mean, 1e-9, "grid")
    cov = (w[:, None] * (plane - mean)).T @ (plane - mean) / w.sum()
    yield close("Cov[x_0 | x_t], 2-D, full covariances", ours[1][0], cov, 1e-9, "grid")


@equation(
    "mixture", "B07", "the true reverse kernel", function="minidiff.reverse_transition",
    formula=r"\mathbb E[x_{t-1}\mid x_t]=\tilde\mu_t(x_t,\mathbb E[x_0\mid x_t]),\quad"
    r"\mathrm{Var}[x_{t-1}\mid x_t]=\tilde\beta_t+c_{0,t}^2\,\mathrm{Var}[x_0\mid x_t]",
)  # fmt: skip
def reverse_kernel() -> Iterator[Check]:
    """Mean and variance of q(x_{t-1} | x_t) by Bayes' rule on a grid; the kernel of a mixture is not Gaussian."""
    x, _ = grid(-7, 7, 1401)
    for t in (2, 5, 8):
        w = np.exp(mixture_log(x, ABAR[t - 1])[:, None] + normal_log(POINTS, np.sqrt(1 - BETAS[t - 1]) * x[:, None], BETAS[t - 1]))
        w = w / w.sum(0)
        mean = x @ w
        pred = ExactDenoiser(MIXTURE, SHORT)(column(POINTS), t)
        ours = reverse_transition(SHORT, pred, column(POINTS), t - 1, t)
        yield close(f"E[x_{t - 1} | x_{t}] and the exact denoiser's mean", ours.mean[:, 0], mean, 1e-9, "grid")
        signal, noise = SHORT.scales(t)
        _, cov = MIXTURE.posterior(column(POINTS), signal, noise**2)
        c_0, _ = posterior_weights(SHORT, t - 1, t)
        total = posterior_variance(SHORT, t - 1, t) + c_0**2 * cov[:, 0, 0]
        yield close(f"Var[x_{t - 1} | x_{t}]", total, (((x[:, None] - mean) ** 2) * w).sum(0), 1e-9, "grid")


@equation(
    "mixture", "torch", "NumPy and torch, one formula: coefficients in float64, cast last", function="minidiff.posterior",
    source="this ledger", formula=r"|\text{float32}-\text{float64}|\lesssim10^{-6}",
)  # fmt: skip
def two_libraries() -> Iterator[Check]:
    """posterior, the exact denoiser and the bound in torch, single and double, against NumPy with the same noise."""
    import torch

    from minidiff import Schedule, variational_bound
    from minidiff.bound import density_term

    s, rng = Schedule.linear(), generator(32)
    t, x_0, x_t = np.arange(1, 1001), rng.standard_normal((1000, 1)), rng.standard_normal((1000, 1))
    a_0, a_t = (torch.from_numpy(a).float() for a in (x_0, x_t))
    exact = posterior(s, a_0.double().numpy(), a_t.double().numpy(), t - 1, t).mean
    yield close("posterior mean, float32 tensors, t = 1..1000", exact, posterior(s, a_0, a_t, t - 1, t).mean.numpy(), 1e-6, "torch float32")
    coefficient = posterior(s, torch.ones(1000, 1), torch.zeros(1000, 1), t - 1, t).mean.numpy()[:, 0]
    yield close("weight of x_0, float32 tensors", posterior_weights(s, t - 1, t)[0], coefficient, 2e-7, "torch float32", relative=True)
    noise = rng.standard_normal((5, 1))
    data = column(POINTS)
    ours = variational_bound(ExactDenoiser(MIXTURE, SHORT), data, lambda _: noise, "large", decoder=density_term).total
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        tensor, eps = torch.tensor(data, dtype=dtype), torch.tensor(noise, dtype=dtype)
        other = variational_bound(ExactDenoiser(MIXTURE, SHORT), tensor, partial(_same, eps), "large", decoder=density_term).total
        name = str(dtype).replace(".", " ")
        yield close(f"the bound, {name}", ours, other.numpy(), tolerance, name)
