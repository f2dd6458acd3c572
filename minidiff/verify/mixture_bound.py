"""Gaussian mixtures: the bound by quadrature at every T, its gap, and the identities between rate, MMSE and information."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from minidiff import ExactDenoiser, Schedule, marginal, posterior, variational_bound
from minidiff.arrays import normal
from minidiff.bound import density_term
from minidiff.process import posterior_variance, posterior_weights
from minidiff.verify.registry import Check, at_most, close, equation, generator, monte_carlo
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    MIXTURE,
    SHORT,
    Float,
    column,
    exact_bound,
    expected_bound,
    expected_steps,
    grid,
    mixture_grid,
    mixture_log,
    normal_grid,
    normal_log,
    quad,
    vp,
)

SECOND_MOMENT = float(MIXTURE.weights @ (MIXTURE.means[:, 0] ** 2 + MIXTURE.covs[:, 0, 0]))


def entropy(abar: float) -> float:
    """Differential entropy of q(x_t), nats, on a grid; abar = 1 for the data."""
    x, dx = grid(-11, 11, 2201)
    log_q = mixture_log(x, abar)
    return float(-np.exp(log_q) * log_q @ dx)


def information(abar: float) -> float:
    """I(x_0; x_t) = H(x_t) - H(noise)."""
    return entropy(abar) - 0.5 * float(np.log(2 * np.pi * np.e * (1 - abar)))


def mmse(schedule: Schedule, n: int = 301) -> Float:
    """E Var(x_0 | x_t) for t = 0..T: the package's exact posterior averaged over q(x_t) on a grid, all t at once."""
    x, dx = grid(-7.5, 7.5, n)
    table = [np.zeros(1)]
    for t in np.array_split(np.arange(1, schedule.T + 1), max(1, schedule.T // 100)):
        signal, noise = (np.repeat(a, n) for a in schedule.scales(t))
        _, cov = MIXTURE.posterior(np.tile(x, len(t))[:, None], signal, noise**2)
        density = np.exp([mixture_log(x, a) for a in schedule.alpha_bar[t]])
        table.append((density * cov[:, 0, 0].reshape(len(t), n)) @ dx)
    return np.concatenate(table)


def optimal(schedule: Schedule, spread: Float) -> Float:
    """The variance that makes each E[L_{t-1}] least: beta-tilde + c_0^2 mmse."""
    t = np.arange(1, schedule.T + 1)
    c_0, _ = posterior_weights(schedule, t - 1, t)
    return np.concatenate([[0.0], posterior_variance(schedule, t - 1, t) + c_0**2 * spread[1:]])


def bayes_mmse(abar: float) -> float:
    """E Var(x_0 | x_t) without the closed posterior: E x_0^2 - E[E[x_0 | x_t]^2], Bayes' rule on a grid."""
    x, dx = grid(-6.5, 6.5, 521)
    y, dy = grid(-8, 8, 641)
    joint = np.exp(mixture_log(x, 1.0)[:, None] + normal_log(y, np.sqrt(abar) * x[:, None], 1 - abar)) * dx[0]
    p = joint.sum(0)
    return float(SECOND_MOMENT - dy @ ((x @ joint) ** 2 / p))


@equation(
    "mixture", "B15", "the least value of each L_{t-1}, and half the drop in SNR times the MMSE", function="minidiff.step_term",
    source="this ledger; the second form is VDM (Kingma et al. 2021) Eq. 13 (numbering unconfirmed)",
    formula=r"\min\mathbb E[L_{t-1}]=\tfrac12\Big[\log\frac{\sigma_t^2}{\tilde\beta_t}+\frac{\tilde"
    r"\beta_t+c_{0,t}^2\,\mathrm{mmse}_t}{\sigma_t^2}-1\Big]"
    r"\ \overset{\sigma_t^2=\tilde\beta_t}{=}\ \tfrac12(\mathrm{SNR}_{t-1}-\mathrm{SNR}_t)\,\mathrm{mmse}_t",
)  # fmt: skip
def least_term() -> Iterator[Check]:
    """expected steps of the exact denoiser, all t, against the closed form with the MMSE by Bayes' rule on a grid."""
    spread = np.array([0.0, *[bayes_mmse(a) for a in ABAR[1:]]])
    small = BETAS * (1 - ABAR[:-1]) / (1 - ABAR[1:])
    c_0 = np.sqrt(ABAR[:-1]) * BETAS / (1 - ABAR[1:])
    kernel = small + c_0**2 * spread[1:]
    ours = mmse(SHORT)
    yield close("MMSE, t = 1..8", ours[1:], spread[1:], 1e-9, "grid")
    for kind, sigma in (("small", small), ("large", BETAS)):
        closed = 0.5 * (np.log(sigma[1:] / small[1:]) + kernel[1:] / sigma[1:] - 1)
        yield close(f"E[L_{{t-1}}], t = 2..8, {kind} variance", expected_steps(SHORT, ours, kind), closed, 1e-9, "grid")
    snr = ABAR[1:] / (1 - ABAR[1:])
    half_drop = 0.5 * (snr[:-1] - snr[1:]) * spread[2:]
    yield close("small variance: half the drop in SNR times the MMSE", expected_steps(SHORT, ours, "small"), half_drop, 1e-9, "grid")


@equation(
    "mixture", "B16", "the exact bound at T = 1000 for three variances", function="minidiff.variational_bound",
    formula=r"\mathbb E[L]=\mathbb E[L_T]+\sum_{t=2}^T\min\mathbb E[L_{t-1}]+\tfrac12\log2\pi\sigma_1^2+\frac{"
    r"\mathrm{mmse}_1}{2\sigma_1^2}",
)  # fmt: skip
def exact() -> Iterator[Check]:
    """One-dimensional quadrature against a two-dimensional one at T = 12, and against Monte Carlo at T = 1000."""
    s = vp(12)
    spread = mmse(s)
    for name, variance in (("small", "small"), ("large", "large"), ("optimal", optimal(s, spread))):
        full = expected_bound(ExactDenoiser(MIXTURE, s), mixture_grid(), normal_grid(), variance)
        yield close(f"bound, T = 12, {name} variance", exact_bound(s, spread, SECOND_MOMENT, variance), full, 1e-8, "grid")
    s = Schedule.linear()
    spread, rng = mmse(s), generator(16)
    for name, variance in (("small", "small"), ("large", "large"), ("optimal", optimal(s, spread))):
        closed = exact_bound(s, spread, SECOND_MOMENT, variance)
        x_0 = MIXTURE.sample(300, rng)
        drawn = variational_bound(ExactDenoiser(MIXTURE, s), x_0, normal(rng), variance, decoder=density_term).total
        # Minus its own surprise: the same mean, and the spread of x_0 no longer hides the gap.
        drawn = drawn + MIXTURE.log_prob(x_0)
        yield monte_carlo(f"bound minus entropy, linear T = 1000, {name} variance", closed - entropy(1.0), drawn)


@equation(
    "mixture", "B21", "the gap of a mixture is never 0 at finite T, and falls like 1/T", function="minidiff.variational_bound",
    formula=r"L-H=\mathrm{prior}+\frac{c}{T}+\dots\ (\sigma_t^2=\sigma_t^{2*}\ \text{or}\ \beta_t),\qquad L-H"
    r"\to0.44203\ (\sigma_t^2=\tilde\beta_t)",
)  # fmt: skip
def gap_over_T() -> Iterator[Check]:
    """The gap extrapolated in T for each variance, against the KL of the prior and the limit of Gaussian data."""
    Ts = [250, 500, 1000, 2000, 4000]
    tables = [(s, mmse(s, 201)) for s in map(vp, Ts)]
    h, log_q = entropy(1.0), mixture_log(grid(-9, 9, 1801)[0], vp(10).alpha_bar[-1])
    x, dx = grid(-9, 9, 1801)
    prior = float((np.exp(log_q) * (log_q - normal_log(x, 0.0, 1.0))) @ dx)
    power: list[Callable[[float], float]] = [lambda T: 1, lambda T: 1 / T, lambda T: T**-2, lambda T: T**-3, lambda T: T**-4]
    mixed: list[Callable[[float], float]] = [
        lambda T: 1, lambda T: 1 / T, lambda T: np.log(T) / T, lambda T: 1 / T**2, lambda T: np.log(T) / T**2]  # fmt: skip
    smallest = []
    for name in ("optimal", "beta", "small"):
        gaps = []
        for s, spread in tables:
            variance = {"optimal": optimal(s, spread), "beta": s.beta, "small": "small"}[name]
            gaps.append(exact_bound(s, spread, SECOND_MOMENT, variance) - h)
        basis = mixed if name == "small" else power
        limit = np.linalg.solve([[f(T / Ts[0]) for f in basis] for T in Ts], gaps)[0]
        target = prior + (0.5 * np.euler_gamma + 0.5 * (1 - np.log(2)) if name == "small" else 0.0)
        yield close(f"limit of the gap, {name} variance", target, limit, 1e-3 if name == "small" else 1e-6, "Richardson")
        smallest.append(gaps[0])
    yield at_most("the optimal variance is the best of the three, T = 250", smallest[0], min(smallest[1:]), 0.0, "algebra")
    yield at_most("and still above the prior's KL", prior + 1e-4, smallest[0], 0.0, "algebra")


@equation(
    "mixture", "B19", "rates add up to mutual information, at every T", function="minidiff.posterior",
    formula=r"\sum_{u=t+1}^T\mathbb E\,\mathrm{KL}(q(x_{u-1}\mid x_u,x_0)\Vert q(x_{u-1}\mid x_u))=I(x_0;x_t)-I(x_0;x_T)",
)  # fmt: skip
def mutual_information() -> Iterator[Check]:
    """Entropies of the package's posteriors and of Bayes kernels on a grid against entropies of the marginals."""
    x, dx = grid(-8, 8, 641)
    rate = []
    for u in range(2, 9):
        log_joint = mixture_log(x, ABAR[u - 1])[:, None] + normal_log(x, np.sqrt(1 - BETAS[u - 1]) * x[:, None], BETAS[u - 1])
        kernel_entropy = -(np.exp(log_joint) * (log_joint - mixture_log(x, ABAR[u]))).sum() * dx[0] ** 2
        inside = 0.5 * np.log(2 * np.pi * np.e * posterior(SHORT, column(0.0), column(0.0), u - 1, u).var)
        rate.append(kernel_entropy - float(inside))
    total = np.cumsum(rate[::-1])[::-1]
    other = [information(ABAR[t]) - information(ABAR[8]) for t in range(1, 8)]
    yield close("sum of the rates above t = 1..7", total, other, 1e-9, "grid")
    x_t = column(np.linspace(-8, 8, 641))
    inner = marginal(SHORT, np.repeat(x_t, 641, 1), 4).log_prob(np.tile(x_t.T, (641, 1)))
    p = np.exp(mixture_log(x, 1.0))[:, None] * np.exp(inner)
    direct = (p * (inner - mixture_log(x, ABAR[4]))).sum() * dx[0] ** 2
    yield close("I(x_0; x_4) as a double integral of the marginal", direct, information(ABAR[4]), 1e-9, "grid")


@equation(
    "mixture", "B18", "information and MMSE", function="minidiff.GaussianMixture.posterior",
    source="Guo, Shamai & Verdu 2005; VDM, Kingma et al. 2021, Eq. 17-18 (numbering unconfirmed)",
    formula=r"\frac{dI}{d\,\mathrm{SNR}}=\tfrac12\mathrm{mmse},\qquad h(x_0)=\tfrac12\log2\pi e-\tfrac12\int_0^"
    r"\infty\Big(\frac1{1+g}-\mathrm{mmse}(g)\Big)dg",
)  # fmt: skip
def information_and_mmse() -> Iterator[Check]:
    """The derivative of I by finite differences; the entropy of the data as an integral of the MMSE over all SNR."""
    h = 1e-3
    for g in (0.3, 4.0):
        a, b, c, d = (information(snr / (1 + snr)) for snr in g * (1 + h * np.array([-2, -1, 1, 2])))
        slope = (8 * (c - b) - (d - a)) / (12 * h * g)
        yield close(f"dI / dSNR at SNR = {g:g}", 0.5 * _mmse_at(g), slope, 1e-8, "finite differences")
    total = quad(lambda u: (1 / (1 + np.exp(u)) - _mmse_at(np.exp(u))) * np.exp(u), -30.0, 14.0, [-2.0, 0.0, 3.0])
    g = np.exp(14.0)  # beyond it the integrand falls like 1/g^2, so the rest is g times its value there
    total += g * (1 / (1 + g) - _mmse_at(g))
    closed = 0.5 * np.log(2 * np.pi * np.e) - 0.5 * total
    yield close("entropy of the data", entropy(1.0), closed, 1e-7, "quadrature")


def _mmse_at(snr: float) -> float:
    abar = snr / (1 + snr)
    x, dx = grid(-7.5, 7.5, 301)
    _, cov = MIXTURE.posterior(column(x), np.sqrt(abar), 1 / (1 + snr))
    return float(np.exp(mixture_log(x, abar)) * cov[:, 0, 0] @ dx)
