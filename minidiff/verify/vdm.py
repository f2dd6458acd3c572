"""VDM: the bound as a function of the signal-to-noise ratio, its refinement and its continuous limit.

VDM's z_0 is noisy: its SNR is finite. DDPM's x_0 is the data, so the step to t = 0 is the decoder's and stays out of these sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np

from minidiff import Denoiser, ExactDenoiser, Prediction, Schedule, from_output, marginal, step_term, variational_bound
from minidiff.bound import density_term
from minidiff.verify.mixture_bound import information, mmse
from minidiff.verify.registry import Check, at_most, close, equation, generator, monte_carlo
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    MIXTURE,
    SHORT,
    Float,
    Linear,
    Wrong,
    chain,
    column,
    data_nodes,
    gaussian_data,
    grid,
    hermite,
    mixture_grid,
    mixture_log,
    normal_grid,
    normal_log,
    product,
    quad,
)

FIRST, LAST = -6.0, 5.0  # gamma = -log SNR at the two ends of the continuous-time checks


def path(T: int, warp: Callable[[Float], Float] = lambda u: u) -> Schedule:
    """T steps from SNR = exp(-FIRST), at t = 1, to exp(-LAST), at t = T + 1; gamma rises along `warp`."""
    gamma = FIRST + (LAST - FIRST) * warp(np.arange(T + 1) / T)
    return Schedule(np.concatenate([[1.0], 1 / (1 + np.exp(gamma))]))


def bent(u: Float) -> Float:
    """Another way from 0 to 1."""
    return u**2 * (2 - u) + 0.1 * np.sin(np.pi * u)


def expected_sum(denoiser: Denoiser, nodes: tuple[list[Float], Float], times: list[int] | None = None) -> float:
    """E of the sum of all step terms of variational_bound, small variance, by quadrature over (x_0, eps)."""
    (x_0, eps), w = nodes
    bound = variational_bound(denoiser, x_0, lambda _: eps, "small", times=times, decoder=density_term)
    return float(w @ bound.steps.sum(0))


def exact_sum(schedule: Schedule, spread: Float, times: list[int]) -> float:
    """The same for the exact denoiser, whose squared error has the mean spread[t] = mmse_t."""
    t, s = np.array(times[:-1]), np.array(times[1:])
    zero = np.zeros((len(t), 1))
    return float(step_term(schedule, Prediction(zero, zero), column(np.sqrt(spread[t])), zero, s, t).sum())


def polynomial_limit(Ts: list[int], values: list[float]) -> float:
    """The value at 1/T = 0 of the polynomial in 1/T through all values (Richardson)."""
    return float(np.linalg.solve(np.vander(Ts[0] / np.array(Ts), increasing=True), values)[0])


def bayes_kl(x_0: float, guess: float, x_t: float, s: int, t: int) -> float:
    """KL(q(x_s | x_t, x_0) || q(x_s | x_t, guess)), both normalised on a grid: Bayes' rule, and no closed form."""
    x, dx = grid(-25, 25, 5001)
    logs = []
    for known in (x_0, guess):
        log = normal_log(x, np.sqrt(ABAR[s]) * known, 1 - ABAR[s]) + normal_log(x_t, np.sqrt(ABAR[t] / ABAR[s]) * x, 1 - ABAR[t] / ABAR[s])
        logs.append(log - np.log(np.exp(log) @ dx))
    return float((np.exp(logs[0]) * (logs[0] - logs[1])) @ dx)


@equation(
    "vdm", "1-2", "the signal-to-noise ratio", function="minidiff.Schedule.snr",
    formula=r"q(z_t\mid x)=\mathcal N(\alpha_tx,\sigma_t^2I),\quad\mathrm{SNR}(t)=\frac{\alpha_t^2}{\sigma_t^2}=\frac{\bar\alpha_t}{1-\bar"
    r"\alpha_t}=e^{-\gamma(t)}",
)  # fmt: skip
def signal_to_noise() -> Iterator[Check]:
    """snr and half_log_snr against arithmetic with 40 digits, all t; against the correlation of x_0 and x_t."""
    s, t = Schedule.linear(), np.arange(1, 1001)
    snr, gamma = [], []
    with localcontext() as context:
        context.prec, keep = 40, Decimal(1)
        for beta in np.linspace(1e-4, 0.02, 1000):
            keep *= 1 - Decimal(float(beta))
            snr.append(keep / (1 - keep))
            gamma.append(-snr[-1].ln())
        steps = [float(b - a) for a, b in pairwise(gamma)]
    yield close("SNR, linear T = 1000, t = 1..1000", np.array(snr, dtype=float), s.snr(t), 1e-11, "40 digits", relative=True)
    yield close("gamma = -2 half_log_snr", np.array(gamma, dtype=float), -2 * s.half_log_snr(t), 1e-11, "40 digits")
    yield close("its rise in each step", steps, -2 * np.diff(s.half_log_snr(t)), 1e-10, "40 digits", relative=True)
    yield close("SNR at t = 0 is infinite: 1 / SNR", 0.0, 1 / s.snr(0), 0.0, "exact")
    _, cov = chain((0.0, 1.0), np.sqrt(1 - BETAS), np.zeros(8), BETAS)
    r2 = cov[0, 1:] ** 2 / np.diag(cov)[1:]
    eight, q = SHORT.snr(np.arange(1, 9)), marginal(SHORT, np.ones((8, 1)), np.arange(1, 9))
    yield close("squared correlation of x_0 and x_t, variance 1: SNR / (1 + SNR)", eight / (1 + eight), r2, 1e-13, "linear algebra")
    yield close("mean squared over variance of q(z_t | x = 1)", eight, (q.mean**2 / q.var)[:, 0], 1e-12, "algebra", relative=True)


@equation(
    "vdm", "13", "a step of the bound: the drop in SNR times the squared error", function="minidiff.step_term",
    source="VDM, Eq. 13 (numbering unconfirmed)",
    formula=r"\mathcal L_T(x)=\tfrac T2\,\mathbb E_{i,\epsilon}\big[(\mathrm{SNR}(s)-\mathrm{SNR}(t))\lVert x-\hat x_\theta(z_t;t)\rVert^2"
    r"\big],\quad s=\tfrac{i-1}T,\ t=\tfrac iT",
)  # fmt: skip
def from_x() -> Iterator[Check]:
    """The KL of two Bayes posteriors on a grid, the formula and step_term; then one random step per example against all of them."""
    rng = generator(13)
    for s, t in ((1, 2), (3, 4), (2, 7), (7, 8)):
        x_0, guess, x_t = rng.standard_normal(3)
        kl = bayes_kl(x_0, guess, x_t, s, t)
        formula = 0.5 * (SHORT.snr(s) - SHORT.snr(t)) * (x_0 - guess) ** 2
        yield close(f"half the drop in SNR times the error, s = {s}, t = {t}", formula, kl, 1e-9, "grid")
        pred = from_output("x_0", column(guess), column(x_t), *SHORT.scales(t))
        yield close(f"step_term, s = {s}, t = {t}", step_term(SHORT, pred, column(x_0), column(x_t), s, t)[0], kl, 1e-9, "grid")
    n = 40_000
    x_0, eps, t_ = MIXTURE.sample(n, rng), rng.standard_normal((n, 1)), rng.integers(2, 9, n)
    pred = Wrong(SHORT)(marginal(SHORT, x_0, t_).sample(eps), t_)
    one = 7 / 2 * (SHORT.snr(t_ - 1) - SHORT.snr(t_)) * ((x_0 - pred.x_0) ** 2)[:, 0]
    all_steps = expected_sum(Wrong(SHORT), product(data_nodes(MIXTURE, 24), hermite(24)))
    yield monte_carlo("T/2 times a mean over random i is the sum of all steps (T = 7: t = 2..8)", all_steps, one)


@equation(
    "vdm", "14", "the same step from the error in eps", function="minidiff.step_term", source="VDM, Eq. 14 (numbering unconfirmed)",
    formula=r"\mathcal L_T(x)=\tfrac T2\,\mathbb E_{i,\epsilon}\big[(e^{\gamma(t)-\gamma(s)}-1)\lVert\epsilon-\hat\epsilon_\theta(z_t;t)"
    r"\rVert^2\big]",
)  # fmt: skip
def from_eps() -> Iterator[Check]:
    """The KL of two Bayes posteriors on a grid; then all pairs of a long schedule, where 1 - e^x must not be formed by subtraction."""
    rng = generator(14)
    for s, t in ((1, 2), (4, 6), (1, 8)):
        x_0, eps, guess = rng.standard_normal(3)
        x_t = np.sqrt(ABAR[t]) * x_0 + np.sqrt(1 - ABAR[t]) * eps
        kl = bayes_kl(x_0, (x_t - np.sqrt(1 - ABAR[t]) * guess) / np.sqrt(ABAR[t]), x_t, s, t)
        rise = -2 * (SHORT.half_log_snr(t) - SHORT.half_log_snr(s))
        formula = 0.5 * np.expm1(rise) * (eps - guess) ** 2
        yield close(f"half expm1 of the rise in gamma times the error, s = {s}, t = {t}", formula, kl, 1e-9, "grid")
        pred = from_output("eps", column(guess), column(x_t), *SHORT.scales(t))
        yield close(f"step_term, s = {s}, t = {t}", step_term(SHORT, pred, column(x_0), column(x_t), s, t)[0], kl, 1e-9, "grid")
    long, t_ = Schedule.linear(), np.arange(2, 1001)
    s_ = rng.integers(1, t_)
    x_0, eps, guess = rng.standard_normal((3, 999, 2))
    x_t = marginal(long, x_0, t_).sample(eps)
    ours = step_term(long, from_output("eps", guess, x_t, *long.scales(t_)), x_0, x_t, s_, t_)
    formula = 0.5 * np.expm1(2 * (long.half_log_snr(s_) - long.half_log_snr(t_))) * ((eps - guess) ** 2).sum(1)
    yield close("step_term, linear T = 1000, a random s for every t", formula, ours, 1e-9, "algebra", relative=True)


def squared_error(denoiser: Denoiser, t: int) -> float:
    """E (x_0 - x_0-hat(x_t))^2 over the joint density of (x_0, x_t) on a grid."""
    (x, dx), (y, dy) = grid(-6.5, 6.5, 521), grid(-8, 8, 641)
    joint = np.exp(mixture_log(x, 1.0)[:, None] + normal_log(y, np.sqrt(ABAR[t]) * x[:, None], 1 - ABAR[t]))
    return float(dx @ (joint * (x[:, None] - denoiser(column(y), t).x_0[:, 0]) ** 2) @ dy)


@equation(
    "vdm", "doubling", "what halving every step changes", function="minidiff.variational_bound",
    source="VDM, section 5.1 (numbering unconfirmed)",
    formula=r"\mathcal L_{2T}-\mathcal L_T=\tfrac T2\,\mathbb E\big[(\mathrm{SNR}(s)-\mathrm{SNR}(t'))(\lVert x-\hat x(z_{t'};t')\rVert^2-"
    r"\lVert x-\hat x(z_t;t)\rVert^2)\big],\quad s<t'<t",
)  # fmt: skip
def doubling() -> Iterator[Check]:
    """Bounds on a coarse and a fine grid of one schedule against errors integrated over (x_0, x_t); more steps help the exact one."""
    nodes = product(mixture_grid(), normal_grid())
    coarse, middles = [8, 6, 4, 2, 0], [7, 5, 3]
    fine = sorted({*coarse, *middles}, reverse=True)  # both end with the step from 2 to 0, which cancels
    snr = ABAR[1:] / (1 - ABAR[1:])
    for name, denoiser in (("exact", ExactDenoiser(MIXTURE, SHORT)), ("wrong", Wrong(SHORT)), ("linear", Linear(SHORT))):
        change = expected_sum(denoiser, nodes, fine) - expected_sum(denoiser, nodes, coarse)
        drops = [0.5 * (snr[m - 2] - snr[m - 1]) * (squared_error(denoiser, m) - squared_error(denoiser, m + 1)) for m in middles]
        yield close(f"from three steps to six, {name} denoiser", sum(drops), change, 1e-9, "grid", relative=True)
    s = path(1024)
    spread = mmse(s)
    sums = [exact_sum(s, spread, list(range(1025, 0, -(1024 // n)))) for n in 2 ** np.arange(11)]
    yield at_most("the exact denoiser gains by every doubling, 1..1024 steps", sums[1:], sums[:-1], 0.0, "algebra")
    yield at_most("and never falls below the information between its ends", _information(), sums[-1], 0.0, "quadrature")


def _information() -> float:
    """I(x_0; x at SNR e^-FIRST) - I(x_0; x at SNR e^-LAST) of the mixture, from entropies on a grid."""
    return information(1 / (1 + np.exp(FIRST))) - information(1 / (1 + np.exp(LAST)))


def _wrong_limit() -> float:
    """1/2 int E|eps - 0.8 sin z|^2 d gamma: E in closed form from the characteristic function of the mixture and Stein's lemma."""

    def error(gamma: float) -> float:
        abar = 1 / (1 + np.exp(gamma))
        m, v = np.sqrt(abar) * MIXTURE.means[:, 0], abar * MIXTURE.covs[:, 0, 0] + 1 - abar
        cos, cos_2 = (float(MIXTURE.weights @ (np.exp(-0.5 * k**2 * v) * np.cos(k * m))) for k in (1, 2))
        return 1 - 1.6 * float(np.sqrt(1 - abar)) * cos + 0.32 * (1 - cos_2)

    return 0.5 * quad(error, FIRST, LAST)


@equation(
    "vdm", "17-18", "infinitely many steps: an integral over the SNR", function="minidiff.variational_bound",
    source="VDM, Eq. 17-18 (numbering unconfirmed)",
    formula=r"\mathcal L_\infty(x)=-\tfrac12\,\mathbb E\int_0^1\mathrm{SNR}'(t)\lVert x-\hat x_\theta(z_t;t)\rVert^2dt=\tfrac12\,\mathbb E"
    r"\int_0^1\gamma'(t)\lVert\epsilon-\hat\epsilon_\theta(z_t;t)\rVert^2dt",
)  # fmt: skip
def continuous() -> Iterator[Check]:
    """Sums over T steps extrapolated in 1/T, against Gaussian and mixture information, and against a quadrature over gamma."""
    Ts = [32, 64, 128, 256, 512, 1024]
    tables = [path(T) for T in Ts]
    for var in (0.25, 4.0):
        sums = []
        for s in tables:
            signal, noise = s.scales(np.arange(1, s.T + 1))
            _, cov = gaussian_data(var=var).posterior(np.zeros((s.T, 1)), signal, noise**2)
            sums.append(exact_sum(s, np.concatenate([[0.0], cov[:, 0, 0]]), list(range(s.T, 0, -1))))
        closed = 0.5 * np.log((1 + var * np.exp(-FIRST)) / (1 + var * np.exp(-LAST)))
        yield close(f"Gaussian data of variance {var:g}, exact denoiser", closed, polynomial_limit(Ts, sums), 1e-7, "Richardson")
    sums = [exact_sum(s, mmse(s), list(range(s.T, 0, -1))) for s in tables]
    yield close("mixture, exact denoiser: the information between the ends", _information(), polynomial_limit(Ts, sums), 1e-7, "Richardson")
    nodes = product(data_nodes(MIXTURE, 24), hermite(24))
    sums = [expected_sum(Wrong(s), nodes) for s in tables[:5]]
    yield close("mixture, wrong denoiser: an integral over gamma", _wrong_limit(), polynomial_limit(Ts[:5], sums), 1e-6, "Richardson")


@equation(
    "vdm", "invariance", "in the limit only the two ends of the schedule matter", function="minidiff.Schedule", source="VDM, section 5.1",
    formula=r"\mathcal L_\infty=\tfrac12\int_{\mathrm{SNR}_{\min}}^{\mathrm{SNR}_{\max}}\mathbb E\lVert x-\hat x(z)\rVert^2\,d"
    r"\,\mathrm{SNR}",
)  # fmt: skip
def invariance() -> Iterator[Check]:
    """Two schedules with the same ends: the same limit, but different sums at every finite T."""
    Ts, nodes = [32, 64, 128, 256, 512], product(data_nodes(MIXTURE, 24), hermite(24))
    for name in ("exact", "wrong"):
        limits, last = [], []
        for warp in (lambda u: u, bent):
            tables = [path(T, warp) for T in Ts]
            exact = name == "exact"
            sums = [exact_sum(s, mmse(s), list(range(s.T, 0, -1))) if exact else expected_sum(Wrong(s), nodes) for s in tables]
            limits.append(polynomial_limit(Ts, sums))
            last.append(sums[0])
        yield close(f"limit along two schedules, {name} denoiser", limits[0], limits[1], 1e-6, "Richardson")
        yield at_most(f"at T = {Ts[0]} the two differ, {name} denoiser", 1e-3, abs(last[0] - last[1]), 0.0, "count")
