"""DDPM, Eq. 3, 5 and 16, L_T and section 4.3: the bound as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff import ExactDenoiser, Gaussian, Schedule, from_output, prior_term, step_term, variational_bound
from minidiff.arrays import normal
from minidiff.bound import density_term
from minidiff.verify.registry import Check, close, equation, generator, monte_carlo
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    MEAN,
    MIXTURE,
    SHORT,
    VAR,
    Linear,
    Wrong,
    chain,
    column,
    data_nodes,
    eq_11_mean,
    expected_bound,
    expected_steps,
    gaussian_data,
    grid,
    hermite,
    joint_kl,
    mixture_grid,
    mixture_log,
    normal_grid,
    normal_log,
    product,
    quad,
)

SIGMA = np.linspace(0.04, 0.44, 9)  # explicit variances, sigma_t^2 = SIGMA[t], neither beta nor beta-tilde
TWO = Schedule.from_betas([0.3, 0.5])
ABAR_TWO = np.array([1.0, 0.7, 0.35])


def forward_joint() -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of q(x_0, ..., x_8) for data N(MEAN, VAR)."""
    return chain((MEAN, VAR), np.sqrt(1 - BETAS), np.zeros(8), BETAS)


def linear_joint(shift: np.ndarray, slope: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of p_theta(x_0, ..., x_8) for x_0-hat = shift[t] + slope[t] x_t, through Eq. 11."""
    gains, shifts = [], []
    for t in range(8, 0, -1):
        a, b = (eq_11_mean(x, (x - np.sqrt(ABAR[t]) * (shift[t] + slope[t] * x)) / np.sqrt(1 - ABAR[t]), t) for x in (0.0, 1.0))
        shifts.append(a)
        gains.append(b - a)
    mean, cov = chain((0.0, 1.0), gains, shifts, variance[:0:-1])
    return mean[::-1], cov[::-1, ::-1]


def data_entropy() -> float:
    """Differential entropy of N(MEAN, VAR), nats."""
    return float(0.5 * np.log(2 * np.pi * np.e * VAR))


@equation(
    "ddpm", "L_T", "the prior term", function="minidiff.prior_term", source="DDPM, Eq. 5, first term",
    formula=r"L_T=\tfrac12\sum_i\big[\bar\alpha_Tx_{0,i}^2-\bar\alpha_T-\log(1-\bar\alpha_T)\big]",
)  # fmt: skip
def prior() -> Iterator[Check]:
    """KL(q(x_T | x_0) || N(0, I)) against its integral; for DDPM's own schedule it is almost nothing."""
    for x_0 in (0.5, -1.3):
        mean, var = np.sqrt(ABAR[8]) * x_0, 1 - ABAR[8]
        kl = quad(lambda x: float(np.exp(normal_log(x, mean, var)) * (normal_log(x, mean, var) - normal_log(x, 0.0, 1.0))), -9, 9)  # noqa: B023
        yield close(f"L_T at x_0 = {x_0}, short schedule", prior_term(SHORT, column(x_0)), kl, 1e-12, "quadrature")
    abar = np.exp(np.log1p(-np.linspace(1e-4, 0.02, 1000)).sum())
    series = 0.5 * (abar * 0.5**2 + abar**2 / 2 + abar**3 / 3)
    yield close("L_T at x_0 = 0.5, linear T = 1000", prior_term(Schedule.linear(), column(0.5)), series, 1e-13, "power series")
    rows = prior_term(SHORT, np.array([[0.5, -1.3], [0.5, 0.5]]))
    each = prior_term(SHORT, column([0.5, -1.3]))
    yield close("features add up", rows, [each.sum(), 2 * each[0]], 1e-14, "algebra")


@equation(
    "ddpm", "3", "the variational bound", function="minidiff.variational_bound",
    formula=r"\mathbb E[-\log p_\theta(x_0)]\le L=\mathbb E_q\Big[-\log p(x_T)-\sum_{t\ge1}\log\frac{p_"
    r"\theta(x_{t-1}\mid x_t)}{q(x_t\mid x_{t-1})}\Big]",
)  # fmt: skip
def bound() -> Iterator[Check]:
    """E[variational_bound] against a KL of joint normals, against 3-D quadrature, and its draws against whole paths."""
    data, noise = (MEAN + np.sqrt(VAR) * hermite(4)[0], hermite(4)[1]), hermite(4)
    ours = expected_bound(Linear(SHORT), data, noise, SIGMA)
    joint = joint_kl(forward_joint(), linear_joint(np.full(9, 0.3), np.full(9, 0.5), SIGMA)) + data_entropy()
    yield close("Gaussian data, linear model, T = 8: KL of joints + entropy", ours, joint, 1e-9, "linear algebra")

    variance = np.array([0.0, 0.15, 0.35])
    (x_0, z_1, z_2), w = product(data_nodes(MIXTURE, 28), hermite(28), hermite(28))
    x_1 = np.sqrt(0.7) * x_0 + np.sqrt(0.3) * z_1
    x_2 = np.sqrt(0.5) * x_1 + np.sqrt(0.5) * z_2
    direct = -normal_log(x_2, 0.0, 1.0) + normal_log(x_2, np.sqrt(0.5) * x_1, 0.5) + normal_log(x_1, np.sqrt(0.7) * x_0, 0.3)
    for t, before, after in ((1, x_0, x_1), (2, x_1, x_2)):
        direct -= normal_log(before, eq_11_mean(after, 0.8 * np.sin(after), t, ABAR_TWO), variance[t])
    ours = expected_bound(Wrong(TWO), data_nodes(MIXTURE, 28), hermite(28), variance)
    yield close("mixture, wrong network, T = 2: Eq. 3 over (x_0, x_1, x_2)", ours, w @ direct[:, 0], 1e-9, "Gauss-Hermite")
    yield monte_carlo("mixture, wrong network, T = 8: whole paths and separate draws", _paths(40_000, 3), _draws(40_000, 4))


def _paths(n: int, seed: int) -> np.ndarray:
    """The integrand of Eq. 3 on n simulated paths x_0..x_8 of the wrong network."""
    rng = generator(seed)
    x = MIXTURE.sample(n, rng)
    value = np.zeros((n, 1))
    for t in range(1, 9):
        y = np.sqrt(1 - BETAS[t - 1]) * x + np.sqrt(BETAS[t - 1]) * rng.standard_normal((n, 1))
        value += normal_log(y, np.sqrt(1 - BETAS[t - 1]) * x, BETAS[t - 1]) - normal_log(x, eq_11_mean(y, 0.8 * np.sin(y), t), SIGMA[t])
        x = y
    return np.asarray(value - normal_log(x, 0.0, 1.0))


def _draws(n: int, seed: int) -> np.ndarray:
    rng = generator(seed)
    return np.asarray(variational_bound(Wrong(SHORT), MIXTURE.sample(n, rng), normal(rng), SIGMA, decoder=density_term).total)


@equation(
    "ddpm", "5", "the bound, term by term", function="minidiff.variational_bound",
    formula=r"L=\mathbb E_q\Big[\underbrace{\mathrm{KL}(q(x_T\mid x_0)\Vert p(x_T))}_{L_T}"
    r"+\sum_{t>1}\underbrace{\mathrm{KL}(q(x_{t-1}\mid x_t,x_0)\Vert p_\theta(x_{t-1}\mid x_t))}_{L_{t-1}}"
    r"\underbrace{-\log p_\theta(x_0\mid x_1)}_{L_0}\Big]",
)  # fmt: skip
def terms() -> Iterator[Check]:
    """Gaussian.kl and each step against integrals; the number of terms, their order and their sum."""
    p, q = Gaussian(column(0.3), 0.5), Gaussian(column(-0.2), 0.8)

    def integrand(x: float) -> float:
        return float(np.exp(normal_log(x, 0.3, 0.5)) * (normal_log(x, 0.3, 0.5) - normal_log(x, -0.2, 0.8)))

    yield close("KL of two Gaussians", p.kl(q), quad(integrand, -9, 9), 1e-11, "quadrature")
    x_0, eps = column(0.7), column(-0.6)
    bound = variational_bound(Wrong(SHORT), x_0, lambda _: eps, SIGMA, decoder=density_term)
    yield close("numbers of rows and times of the steps", [*bound.steps.shape, *bound.times], [7, 1, *range(8, 1, -1)], 0, "count")
    by_hand = []
    for t in range(8, 0, -1):
        x_t = np.sqrt(ABAR[t]) * 0.7 - np.sqrt(1 - ABAR[t]) * 0.6
        model = eq_11_mean(x_t, 0.8 * np.sin(x_t), t)
        if t == 1:
            by_hand.append(-normal_log(0.7, model, SIGMA[1]))
            continue
        x, dx = grid(-6, 6, 2401)
        log_q = normal_log(x, np.sqrt(ABAR[t - 1]) * 0.7, 1 - ABAR[t - 1]) + normal_log(x_t, np.sqrt(1 - BETAS[t - 1]) * x, BETAS[t - 1])
        mass = np.exp(log_q) @ dx  # Bayes' rule on the grid, then the KL on the same grid
        by_hand.append((np.exp(log_q) / mass * (log_q - np.log(mass) - normal_log(x, model, SIGMA[t]))) @ dx)
    yield close("each L_{t-1}, t = 8..2", bound.steps[:, 0], by_hand[:-1], 1e-9, "grid")
    yield close("L_0", bound.decoder, by_hand[-1], 1e-12, "algebra")
    prior = 0.5 * (ABAR[8] * 0.49 - ABAR[8] - np.log(1 - ABAR[8]))
    yield close("the total is the sum of the terms", bound.total, prior + sum(by_hand), 1e-9, "grid")


@equation(
    "ddpm", "16", "the bound as a rate: how far each reverse kernel is from the true one", function="minidiff.variational_bound",
    formula=r"L=\mathrm{KL}(q(x_T)\Vert p(x_T))+\mathbb E_q\sum_{t\ge1}\mathrm{KL}(q(x_{t-1}\mid x_t)\Vert p_"
    r"\theta(x_{t-1}\mid x_t))+H(x_0)",
)  # fmt: skip
def rate_form() -> Iterator[Check]:
    """E[variational_bound] against Eq. 16 computed from the joint normal, and for a mixture on two-dimensional grids."""
    mean, cov = forward_joint()
    total = data_entropy() + joint_kl((mean[8:], cov[8:, 8:]), (np.zeros(1), np.eye(1)))
    for t in range(1, 9):
        gain = cov[t - 1, t] / cov[t, t]
        var = cov[t - 1, t - 1] - gain * cov[t, t - 1]
        ends = [eq_11_mean(x, (x - np.sqrt(ABAR[t]) * (0.3 + 0.5 * x)) / np.sqrt(1 - ABAR[t]), t) for x in (0.0, 1.0)]
        slope = gain - (ends[1] - ends[0])
        shift = mean[t - 1] - gain * mean[t] - ends[0]
        square = (shift + slope * mean[t]) ** 2 + slope**2 * cov[t, t]
        total += 0.5 * (var / SIGMA[t] - 1 - np.log(var / SIGMA[t]) + square / SIGMA[t])
    data, noise = (MEAN + np.sqrt(VAR) * hermite(4)[0], hermite(4)[1]), hermite(4)
    ours = expected_bound(Linear(SHORT), data, noise, SIGMA)
    yield close("Gaussian data, linear model, T = 8", ours, total, 1e-9, "linear algebra")
    ours = expected_bound(ExactDenoiser(MIXTURE, SHORT), mixture_grid(), normal_grid(), SIGMA)
    yield close("mixture, exact denoiser, T = 8", ours, _mixture_rate_form(), 1e-7, "grid")


def _mixture_rate_form() -> float:
    """Eq. 16 for the mixture: q(x_{t-1} | x_t) from Bayes' rule on a grid, the model's mean from its own integral."""
    x, dx = grid(-6.5, 6.5, 521)
    step, log_p = dx[0], [mixture_log(x, a) for a in ABAR]
    total = -step * np.exp(log_p[0]) @ log_p[0] + step * np.exp(log_p[8]) @ (log_p[8] - normal_log(x, 0.0, 1.0))
    for t in range(1, 9):
        log_joint = log_p[t - 1][:, None] + normal_log(x, np.sqrt(1 - BETAS[t - 1]) * x[:, None], BETAS[t - 1])
        log_kernel = log_joint - log_p[t]
        mean = step * x @ np.exp(log_kernel)  # the exact denoiser's mean is E[x_{t-1} | x_t]
        total += step**2 * (np.exp(log_joint) * (log_kernel - normal_log(x[:, None], mean, SIGMA[t]))).sum()
    return float(total)


@equation(
    "ddpm", "section 4.3", "rate and distortion along the reverse process", function="minidiff.step_term",
    source="DDPM, section 4.3, Algorithms 3 and 4",
    formula=r"\sum_{u>t}\mathbb E\,\mathrm{KL}(q(x_{u-1}\mid x_u,x_0)\Vert q(x_{u-1}"
    r"\mid x_u))+I(x_0;x_T)=I(x_0;x_t)=\tfrac12\log\frac{s^2}{D_t}",
)  # fmt: skip
def rate_distortion() -> Iterator[Check]:
    """Gaussian data with the exact reverse kernels: the rates lie on Shannon's R(D) at every finite T."""
    v, t = ABAR * VAR + 1 - ABAR, np.arange(1, 9)
    _, var = gaussian_data().posterior(np.zeros((8, 1)), *_marginal_coefficients(t))
    mmse = np.concatenate([[0.0], var[:, 0, 0]])
    exact_kernel = np.concatenate([[0.0], BETAS * v[:-1] / v[1:]])
    steps = expected_steps(SHORT, mmse, exact_kernel)  # t = 2..8
    information = 0.5 * np.log(v[1:] / (1 - ABAR[1:]))  # I(x_0; x_t) of a Gaussian channel
    rate = information[7] + np.concatenate([np.cumsum(steps[::-1])[::-1], [0.0]])
    yield close("rate at t = 1..8 and I(x_0; x_t)", rate, information, 1e-12, "algebra")
    yield close("rate at t = 1..8 and Shannon's R(D)", rate, 0.5 * np.log(VAR / mmse[1:]), 1e-12, "algebra")
    pred = from_output("eps", column(0.1), column(0.2), *SHORT.scales(4))
    strided = step_term(SHORT, pred, column(0.4), column(0.2), 2, 4, "small")
    snr = ABAR / (1 - ABAR + (ABAR == 1))
    direct = 0.5 * (snr[2] - snr[4]) * (0.4 - (0.2 - np.sqrt(1 - ABAR[4]) * 0.1) / np.sqrt(ABAR[4])) ** 2
    yield close("a step from t = 4 to s = 2: half the drop in SNR times the squared error", strided, direct, 1e-12, "algebra")


def _marginal_coefficients(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    signal, noise = SHORT.scales(t)
    return signal, noise**2
