"""DDPM, Eq. 14 and 15, Algorithms 1 and 2: the simple loss, what minimises it, and ancestral sampling."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import optimize

from minidiff import ExactDenoiser, Schedule, ddpm, from_output, last, marginal, reverse_transition, step_term, target
from minidiff.arrays import normal
from minidiff.verify.registry import Check, close, equation, generator, monte_carlo
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    MEAN,
    MIXTURE,
    SHORT,
    VAR,
    Wrong,
    column,
    gaussian_data,
    hermite,
    mixture_grid,
    mixture_log,
    normal_grid,
    normal_log,
    product,
    quad,
    vp,
)


@equation(
    "ddpm", "14", "the simple loss and its minimum", function="minidiff.marginal",
    formula=r"L_{\text{simple}}=\mathbb E_{t,x_0,\epsilon}\lVert\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}x_0+"
    r"\sqrt{1-\bar\alpha_t}\epsilon,t)\rVert^2",
)  # fmt: skip
def simple_loss() -> Iterator[Check]:
    """Least squares of eps on draws of x_t against the closed line; the exact denoiser's loss against quadrature."""
    t, n, rng = 4, 200_000, generator(14)
    x_0, eps = MEAN + np.sqrt(VAR) * rng.standard_normal((n, 1)), rng.standard_normal((n, 1))
    x_t = marginal(SHORT, x_0, t).sample(eps)
    v, noise = ABAR[t] * VAR + 1 - ABAR[t], np.sqrt(1 - ABAR[t])
    line = noise / v * (x_t - np.sqrt(ABAR[t]) * MEAN)
    yield monte_carlo("minimum for Gaussian data, t = 4", ABAR[t] * VAR / v, (eps - line) ** 2)
    centred = x_t - np.sqrt(ABAR[t]) * MEAN
    yield monte_carlo("slope of the regression of eps on x_t, t = 4", noise / v, eps * centred / v)
    exact = ExactDenoiser(gaussian_data(), SHORT)(x_t[:500], t).eps
    yield close("the exact denoiser is that line", exact, line[:500], 1e-12, "algebra")
    (x, z), w = product(mixture_grid(), normal_grid(241))
    for t in (1, 6):
        x_t = marginal(SHORT, x, t).sample(z)
        loss = w @ ((z - ExactDenoiser(MIXTURE, SHORT)(x_t, t).eps) ** 2)[:, 0]
        least = 1 - (1 - ABAR[t]) * quad(partial(_fisher, float(ABAR[t])), -8, 8, [-1, 0, 1])
        yield close(f"minimum for a mixture, t = {t}: 1 - (1 - abar) Fisher information", loss, least, 1e-8, "quadrature")


def _fisher(abar: float, x: float, h: float = 1e-4) -> float:
    slope = (mixture_log(x + h, abar) - mixture_log(x - h, abar)) * 8 - (mixture_log(x + 2 * h, abar) - mixture_log(x - 2 * h, abar))
    return float(np.exp(mixture_log(x, abar)) * (slope / (12 * h)) ** 2)


@equation(
    "ddpm", "15", "the predicted x_0", function="minidiff.from_output",
    formula=r"\hat x_0=\frac{x_t-\sqrt{1-\bar\alpha_t}\,\epsilon_\theta(x_t)}{\sqrt{\bar\alpha_t}}",
)  # fmt: skip
def predicted_data() -> Iterator[Check]:
    """Round trips through every parameterisation, and the optimum against the posterior mean by quadrature."""
    rng, t = generator(15), np.arange(1, 9)
    x_0, eps = rng.standard_normal((2, 8, 5))
    x_t = np.sqrt(ABAR[t])[:, None] * x_0 + np.sqrt(1 - ABAR[t])[:, None] * eps
    for kind in ("eps", "x_0", "v", "score"):
        back = from_output(kind, target(kind, x_0, eps, *SHORT.scales(t)), x_t, *SHORT.scales(t))
        yield close(f"x_0 from a perfect {kind}", back.x_0, x_0, 1e-12, "algebra")
        yield close(f"eps from a perfect {kind}", back.eps, eps, 1e-12, "algebra")
    score = target("score", x_0, eps, *SHORT.scales(t))
    h = 1e-4
    up, down = (normal_log(x_t + d, np.sqrt(ABAR[t])[:, None] * x_0, 1 - ABAR[t][:, None]) for d in (h, -h))
    yield close("score of q(x_t | x_0)", score, (up - down) / (2 * h), 1e-7, "finite differences")


@equation(
    "ddpm", "implied weights", "what the simple loss does to the terms of the bound", function="minidiff.step_term",
    source="DDPM, section 3.4",
    formula=r"w_t=\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)},\quad w_t(\tilde\beta)=\tfrac12\Big[\frac{"
    r"\mathrm{SNR}_{t-1}}{\mathrm{SNR}_t}-1\Big]",
)  # fmt: skip
def weights() -> Iterator[Check]:
    """The cost in step_term of an error of 1 in eps; it falls and then rises with t: U-shaped, not monotone."""
    s, betas, T = Schedule.linear(), np.linspace(1e-4, 0.02, 1000), 1000
    t, zero = np.arange(2, 1001), np.zeros((999, 1))
    abar = np.concatenate([[1.0], np.cumprod(1 - betas)])
    right, wrong = (from_output("eps", zero + e, zero, *s.scales(t)) for e in (0.0, 1.0))
    small = (1 - abar[1:-1]) / (1 - abar[2:]) * betas[1:]
    for kind, sigma in (("small", small), ("large", betas[1:])):
        ours = step_term(s, wrong, zero, zero, t - 1, t, kind) - step_term(s, right, zero, zero, t - 1, t, kind)
        paper = betas[1:] ** 2 / (2 * sigma * (1 - betas[1:]) * (1 - abar[2:]))
        yield close(f"w_t, {kind} variance, t = 2..1000", ours, paper, 1e-9, "algebra", relative=True)
        turns = np.count_nonzero(np.diff(np.sign(np.diff(ours))))
        yield close(f"w_t falls, then rises: turning points, {kind} variance", turns, 1, 0, "count")
        if kind == "small":
            ratio = s.snr(t - 1) / s.snr(t)
            yield close("w_t from the signal-to-noise ratio", ours, 0.5 * (ratio - 1), 1e-9, "algebra", relative=True)

            def slope(u: float) -> float:  # sign of d/dt of beta / (1 - abar) in continuous time
                beta, fall = 1e-4 + 0.0199 * u / T, np.exp(-1e-4 * u - 0.0199 * u**2 / (2 * T))
                return float(0.0199 / T * (1 - fall) - beta**2 * fall)

            yield close("t of the smallest weight", t[np.argmin(ours)], optimize.brentq(slope, 10, 999), 2.0, "continuous time")


@equation(
    "ddpm", "Alg. 1", "training: the gradient of the simple loss", function="minidiff.marginal",
    formula=r"\nabla_\theta\lVert\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}x_0+\sqrt{1-\bar\alpha_t}\epsilon,t)\rVert^2",
)  # fmt: skip
def training_gradient() -> Iterator[Check]:
    """Autograd through marginal, weighted by quadrature, against the gradient of a line's expected loss; 0 at the exact line."""
    import torch

    t, rule = 4, hermite(4)
    (x, z), w = product(rule, rule)
    x_0, eps, mass = (torch.from_numpy(a) for a in (MEAN + np.sqrt(VAR) * x, z, w))
    signal, noise = np.sqrt(ABAR[t]), np.sqrt(1 - ABAR[t])
    v, m = ABAR[t] * VAR + 1 - ABAR[t], signal * MEAN
    for what, slope, shift in (("any line", 0.3, -0.7), ("the exact line", noise / v, -noise * m / v)):
        line = torch.tensor([slope, shift], dtype=torch.float64, requires_grad=True)
        x_t = marginal(SHORT, x_0, t).sample(eps)
        (mass @ ((eps - line[0] * x_t - line[1]) ** 2)[:, 0]).backward()
        by_hand = [2 * (slope * (v + m**2) + shift * m - noise), 2 * (slope * m + shift)]
        yield close(f"gradient for {what}, t = 4", by_hand, line.grad, 1e-12, "autograd")


def _next(noises: Iterator[np.ndarray], _: np.ndarray) -> np.ndarray:
    return next(noises)


def _recursion(variance: np.ndarray) -> tuple[float, float]:
    """Mean and variance of Algorithm 2 with the exact denoiser of N(MEAN, VAR) on the short schedule, by hand."""
    m, v = 0.0, 1.0
    for t in range(8, 0, -1):
        total, noise = ABAR[t] * VAR + 1 - ABAR[t], np.sqrt(1 - ABAR[t])
        gain = (1 - BETAS[t - 1] / noise * (noise / total)) / np.sqrt(1 - BETAS[t - 1])  # mu_theta is linear in x_t
        shift = BETAS[t - 1] / noise * (noise / total) * np.sqrt(ABAR[t]) * MEAN / np.sqrt(1 - BETAS[t - 1])
        m, v = gain * m + shift, gain**2 * v + (variance[t] if t > 1 else 0.0)
    return float(m), float(v)


@equation(
    "ddpm", "Alg. 2", "ancestral sampling", function="minidiff.ddpm",
    formula=r"x_{t-1}=\frac{1}{\sqrt{\alpha_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon_\theta\Big)+"
    r"\sigma_t z,\quad z=0\ \text{at}\ t=1",
)  # fmt: skip
def sampling() -> Iterator[Check]:
    """Exact denoiser, Gaussian data: the sampler is a linear map of its noises, whose responses give mean and variance."""
    small = np.concatenate([[0.0], BETAS * (1 - ABAR[:-1]) / (1 - ABAR[1:])])
    denoiser, times = ExactDenoiser(gaussian_data(), SHORT), SHORT.times(8)
    for kind, variance in (("small", small), ("large", np.concatenate([[0.0], BETAS]))):
        noises = iter(np.eye(9)[1:, :, None])  # example k feels only the k-th noise; example 0 only the start
        ends = last(ddpm(denoiser, np.eye(9)[0][:, None], times, partial(_next, noises), variance=kind))[:, 0]
        rest = float(last(ddpm(denoiser, np.zeros((1, 1)), times, np.zeros_like, variance=kind))[0, 0])
        mean, var = _recursion(variance)
        yield close(f"mean of the samples, {kind} variance", mean, rest, 1e-12, "linear response")
        yield close(f"variance of the samples, {kind} variance", var, ((ends - rest) ** 2).sum(), 1e-12, "linear response")
    draw = normal(generator(22))
    x = last(ddpm(denoiser, draw(np.zeros((100_000, 1))), times, draw, variance="large"))
    yield monte_carlo("mean of 100,000 samples", mean, x)
    yield monte_carlo("variance of 100,000 samples", var, (x - mean) ** 2)
    noises = iter(np.ones((8, 1, 1)))
    last(ddpm(Wrong(SHORT), np.ones((1, 1)), times, partial(_next, noises)))
    yield close("noises drawn in 8 steps", 8 - len(list(noises)), 7, 0, "count")
    yield close("Var of the samples at T to infinity: the data's", VAR, _limit_of_variance(), 1e-4, "Richardson")


def _limit_of_variance() -> float:
    """Variance of x_0 for T = 100, 200, 400, extrapolated in 1 / T."""
    values = []
    for T in (100, 200, 400):
        s, v = vp(T), 1.0
        denoiser = ExactDenoiser(gaussian_data(), s)
        x = column([0.0, 1.0])
        for t in range(T, 0, -1):
            p = reverse_transition(s, denoiser(x, t), x, t - 1, t, s.beta)
            v = float(p.mean[1, 0] - p.mean[0, 0]) ** 2 * v + (float(p.var) if t > 1 else 0.0)
        values.append(v)
    a, b, c = values
    return (a - 6 * b + 8 * c) / 3
