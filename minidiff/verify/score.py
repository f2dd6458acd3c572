"""Scores and parameterisations: denoising score matching, v, and the weights that turn one loss into another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import linalg

from minidiff import Denoiser, ExactDenoiser, GaussianMixture, from_output, marginal, target, variational_bound
from minidiff.arrays import slope_along
from minidiff.bound import density_term
from minidiff.likelihood import exact_divergence
from minidiff.prediction import KINDS
from minidiff.verify.mixture import PLANE
from minidiff.verify.registry import Check, at_most, close, equation, generator
from minidiff.verify.routes import (
    ABAR,
    MIXTURE,
    SHORT,
    Float,
    Linear,
    Wrong,
    column,
    grid,
    mixture_grid,
    mixture_log,
    normal_grid,
    product,
)

SNR = np.concatenate([[np.inf], ABAR[1:] / (1 - ABAR[1:])])
SPACE = GaussianMixture(
    np.array([0.5, 0.3, 0.2]),
    np.array([[0.7, -0.3, 0.2], [-0.5, 0.4, 0.1], [0.0, -0.6, -0.4]]),
    np.array([np.diag([0.2, 0.1, 0.3]), [[0.3, 0.1, 0.0], [0.1, 0.2, -0.1], [0.0, -0.1, 0.4]], 0.15 * np.eye(3)]),
)


def torch_density(mixture: GaussianMixture, abar: float) -> Any:
    """q(x_t) built of torch.distributions: a second implementation, whose derivatives are autograd's."""
    import torch
    from torch import distributions

    w, m, c = (torch.tensor(np.array(a)) for a in (mixture.weights, mixture.means, mixture.covs))
    parts = distributions.MultivariateNormal(abar**0.5 * m, abar * c + (1 - abar) * torch.eye(mixture.dims, dtype=w.dtype))
    return distributions.MixtureSameFamily(distributions.Categorical(w), parts)


def noised(mixture: GaussianMixture, t: int, n: int, rng: np.random.Generator) -> Float:
    """n draws of x_t on the short schedule."""
    return np.sqrt(ABAR[t]) * mixture.sample(n, rng) + np.sqrt(1 - ABAR[t]) * rng.standard_normal((n, mixture.dims))


@equation(
    "score", "Tweedie", "second order: the curvature of log q is what x_t leaves open about x_0",
    function="minidiff.GaussianMixture.posterior", source="Tweedie; second order: Meng, Song, Song & Ermon 2021",
    formula=r"\mathrm{Cov}[x_0\mid x_t]=\frac{1-\bar\alpha_t}{\bar\alpha_t}\big(I+(1-\bar\alpha_t)\nabla^2\log q(x_t)\big)=\frac{1-\bar"
    r"\alpha_t}{\sqrt{\bar\alpha_t}}\,\frac{\partial\,\mathbb E[x_0\mid x_t]}{\partial x_t}",
)  # fmt: skip
def second_order() -> Iterator[Check]:
    """Score and covariance against autograd of a density made of torch.distributions; then against the denoiser's own Jacobian."""
    import torch

    rng = generator(1)
    for mixture in (MIXTURE, PLANE, SPACE):
        D = mixture.dims
        for t in (1, 6):
            abar, (signal, noise) = float(ABAR[t]), SHORT.scales(t)
            x, z = noised(mixture, t, 6, rng), rng.standard_normal((6, D))
            points = torch.from_numpy(x).requires_grad_()
            (slope,) = torch.autograd.grad(torch_density(mixture, abar).log_prob(points).sum(), points)
            ours = mixture.push(float(signal), float(noise) ** 2).score(x)
            yield close(f"score, {D}-D, t = {t}", ours, slope, 1e-11, "autograd")
            curve = torch.stack([torch.autograd.functional.hessian(torch_density(mixture, abar).log_prob, p) for p in torch.from_numpy(x)])
            _, cov = mixture.posterior(x, signal, noise**2)
            bent = (1 - abar) / abar * (np.eye(D) + (1 - abar) * curve.numpy())
            yield close(f"Cov[x_0 | x_t], {D}-D, t = {t}", cov, bent, 1e-11, "autograd")

            def guess(at: Any, mixture: GaussianMixture = mixture, t: int = t) -> Any:
                return ExactDenoiser(mixture, SHORT)(at, t).x_0

            along = noise**2 / signal * slope_along(guess, x, z)
            yield close(f"z^T Cov z from the slope of the denoiser, {D}-D, t = {t}", np.einsum("bd,bde,be->b", z, cov, z), along, 1e-8,
                        "finite differences")  # fmt: skip
            div = noise**2 / signal * exact_divergence(guess, torch.from_numpy(x)).numpy()
            yield close(f"trace of Cov from the denoiser's divergence, {D}-D, t = {t}", np.einsum("bdd->b", cov), div, 1e-11, "autograd")


def _score_of(denoiser: Denoiser, x: Float, t: int) -> Float:
    pred = denoiser(x, t)
    return np.asarray(target("score", pred.x_0, pred.eps, *SHORT.scales(t)))


def _slope(x: Float, t: int, h: float = 1e-3) -> Float:
    """d log q(x_t) / dx of the mixture, by differences of sixth order."""
    d1, d2, d3 = (mixture_log(x + k * h, ABAR[t]) - mixture_log(x - k * h, ABAR[t]) for k in (1, 2, 3))
    return np.asarray((45 * d1 - 9 * d2 + d3) / (60 * h))


@equation(
    "score", "DSM", "denoising score matching", function="minidiff.target", source="Vincent 2011",
    formula=r"\mathbb E\lVert s-\nabla\log q(x_t\mid x_0)\rVert^2=\mathbb E\lVert s-\nabla\log q(x_t)\rVert^2+\frac d{1-\bar\alpha_t}-"
    r"\mathbb E\lVert\nabla\log q(x_t)\rVert^2",
)  # fmt: skip
def score_matching() -> Iterator[Check]:
    """The loss over (x_0, eps) against an integral over x_t alone, for wrong networks and the exact one, which is its minimum."""
    (x_0, eps), w = product(mixture_grid(), normal_grid())
    x, dx = grid(-8, 8, 1601)
    for t in (2, 6):
        x_t = marginal(SHORT, x_0, t).sample(eps)
        aim = target("score", x_0, eps, *SHORT.scales(t))  # the score of q(x_t | x_0): knows x_0, which s does not
        q, slope = np.exp(mixture_log(x, ABAR[t])) * dx, _slope(x, t)
        constant = 1 / (1 - ABAR[t]) - q @ slope**2
        losses = []
        for name, s in (("exact", ExactDenoiser(MIXTURE, SHORT)), ("wrong", Wrong(SHORT)), ("linear", Linear(SHORT))):
            losses.append(float(w @ ((_score_of(s, x_t, t) - aim) ** 2)[:, 0]))
            explicit = q @ (_score_of(s, column(x), t)[:, 0] - slope) ** 2
            yield close(f"loss of the {name} denoiser, t = {t}", losses[-1], explicit + constant, 1e-8, "quadrature")
        yield at_most(f"the exact denoiser's is the smallest, t = {t}", losses[0], min(losses[1:]), 0.0, "quadrature")
        rest = (_score_of(ExactDenoiser(MIXTURE, SHORT), x_t, t) - aim)[:, 0]
        tests = [w @ (rest * f(x_t[:, 0])) for f in (np.ones_like, np.sin, np.cos, np.tanh, np.square)]
        yield close(f"its residual is orthogonal to five functions of x_t: the gradient is 0, t = {t}", 0.0, tests, 1e-9, "quadrature")


@equation(
    "score", "v", "v, the velocity: (x_t, v) is (x_0, eps) turned by an angle", function="minidiff.target",
    source="Salimans & Ho 2022, in the text",
    formula=r"v=\sqrt{\bar\alpha_t}\,\epsilon-\sqrt{1-\bar\alpha_t}\,x_0=\frac{dx_\varphi}{d\varphi},\quad\tan\varphi=\frac{\sqrt{1-\bar"
    r"\alpha_t}}{\sqrt{\bar\alpha_t}},\quad\lVert v-\hat v\rVert^2=(1+\mathrm{SNR})\lVert x_0-\hat x_0\rVert^2=\Big(1+\frac1{\mathrm{SNR}}"
    r"\Big)\lVert\epsilon-\hat\epsilon\rVert^2",
)  # fmt: skip
def velocity() -> Iterator[Check]:
    """target and from_output against a matrix exponential and a complex step; the three errors; E[v | x_t] from the score."""
    rng, t, h = generator(2), np.arange(1, 9), 1e-30
    x_0, eps, guess = rng.standard_normal((3, 8, 5))
    angle = np.arccos(np.sqrt(ABAR[t]))
    turn = np.stack([linalg.expm(phi * np.array([[0.0, 1.0], [-1.0, 0.0]])) for phi in angle])
    x_t, v = np.einsum("bij,jbd->ibd", turn, np.stack([x_0, eps]))
    yield close("v, t = 1..8", target("v", x_0, eps, *SHORT.scales(t)), v, 1e-13, "matrix exponential")
    step = (np.cos(angle + 1j * h)[:, None] * x_0 + np.sin(angle + 1j * h)[:, None] * eps).imag / h
    yield close("v is the speed of x along the angle", target("v", x_0, eps, *SHORT.scales(t)), step, 1e-13, "complex step")
    back = from_output("v", v, x_t, *SHORT.scales(t))
    yield close("x_0 read from v", back.x_0, x_0, 1e-13, "matrix exponential")
    yield close("eps read from v", back.eps, eps, 1e-13, "matrix exponential")
    pred = from_output("x_0", guess, x_t, *SHORT.scales(t))
    miss = v - target("v", pred.x_0, pred.eps, *SHORT.scales(t))
    norms = [(a**2).sum(1) for a in (miss, x_0 - pred.x_0, eps - pred.eps)]
    snr = SHORT.snr(t)
    yield close("error of v from the error of x_0", norms[0], (1 + snr) * norms[1], 1e-12, "algebra", relative=True)
    yield close("error of v from the error of eps", norms[0], (1 + 1 / snr) * norms[2], 1e-12, "algebra", relative=True)
    for t_ in (1, 5, 8):
        x = noised(MIXTURE, t_, 7, rng)
        best, tangent = ExactDenoiser(MIXTURE, SHORT)(x, t_), np.sqrt(1 / ABAR[t_] - 1)
        ours = target("v", best.x_0, best.eps, *SHORT.scales(t_))
        yield close(f"E[v | x_t] = -tan(phi) (x_t + score), t = {t_}", ours, -tangent * (x + _slope(x, t_)), 1e-9, "finite differences")


@equation(
    "score", "weights", "four losses, one error, and the weights that make each of them the bound", function="minidiff.target",
    source="Salimans & Ho 2022, section 4; Kingma & Gao 2023",
    formula=r"\lVert\epsilon-\hat\epsilon\rVert^2,\ \lVert v-\hat v\rVert^2,\ \lVert s-\hat s\rVert^2=\Big(\mathrm{SNR},\ 1+\mathrm{SNR},\ "
    r"\frac{\mathrm{SNR}}{1-\bar\alpha_t}\Big)\lVert x_0-\hat x_0\rVert^2,\qquad\sum_tL_{t-1}=\sum_t\tfrac12(\mathrm{SNR}_{t-1}-"
    r"\mathrm{SNR}_t)\lVert x_0-\hat x_0\rVert^2",
)  # fmt: skip
def weights() -> Iterator[Check]:
    """What a miss in x_0 costs in each loss; each loss, weighted and summed by hand, against variational_bound of a wrong network."""
    rng, t = generator(3), np.arange(1, 9)
    x_0, eps = rng.standard_normal((2, 6, 4))
    factors = {"eps": SNR[1:], "x_0": np.ones(8), "v": 1 + SNR[1:], "score": SNR[1:] / (1 - ABAR[1:])}
    losses: dict[str, list[Float]] = {kind: [] for kind in KINDS}
    for u in t:
        x_t = np.sqrt(ABAR[u]) * x_0 + np.sqrt(1 - ABAR[u]) * eps
        pred = Wrong(SHORT)(x_t, u)
        for kind in KINDS:
            miss = target(kind, x_0, eps, *SHORT.scales(u)) - target(kind, pred.x_0, pred.eps, *SHORT.scales(u))
            losses[kind].append((miss**2).sum(1))
    bound = variational_bound(Wrong(SHORT), x_0, lambda _: eps, "small", decoder=density_term)
    drop, steps = 0.5 * (SNR[1:-1] - SNR[2:]), bound.total - bound.prior - bound.decoder
    for kind, factor in factors.items():
        if kind != "x_0":
            cost = np.array(losses[kind]) / np.array(losses["x_0"])
            yield close(f"loss of {kind} over that of x_0, t = 1..8", factor[:, None], cost, 1e-11, "algebra", relative=True)
        total = (drop / factor[1:]) @ np.array(losses[kind])[1:]
        yield close(f"weighted losses of {kind}, t = 2..8: the bound", steps, total, 1e-11, "sum by hand", relative=True)
