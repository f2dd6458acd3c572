"""Gaussian data: the exact optimum of every term, the exact bound and its gap, and how the gap depends on T."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import integrate, optimize

from minidiff import ExactDenoiser, GaussianMixture, Schedule, from_output, prior_term, step_term, variational_bound
from minidiff.bound import density_term
from minidiff.process import posterior_variance, posterior_weights
from minidiff.verify.ddpm_bound import SIGMA, data_entropy, forward_joint, linear_joint
from minidiff.verify.registry import Check, at_most, close, equation
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    MEAN,
    SHORT,
    VAR,
    chain,
    column,
    exact_bound,
    expected_bound,
    gaussian_data,
    hermite,
    joint_kl,
    linear,
    product,
    vp,
)

EULER_LIMIT = 0.5 * np.euler_gamma + 0.5 * (1 - np.log(2))
FIRST_STEP_LIMIT = 0.5 * (1 - np.log(2))


def mmse(schedule: Schedule, var: float = VAR) -> np.ndarray:
    """E Var(x_0 | x_t) for t = 0..T, from the package's exact posterior."""
    signal, noise = schedule.scales(np.arange(1, schedule.T + 1))
    _, cov = gaussian_data(var=var).posterior(np.zeros((schedule.T, 1)), signal, noise**2)
    return np.concatenate([[0.0], cov[:, 0, 0]])


def kernel_variance(schedule: Schedule, var: float = VAR) -> np.ndarray:
    """tau_t^2 = beta_t v_{t-1} / v_t, the variance of the true q(x_{t-1} | x_t); entry 0 unused."""
    v = schedule.alpha_bar * var - np.expm1(np.log(schedule.alpha_bar))
    return np.concatenate([[0.0], schedule.beta[1:] * v[:-1] / v[1:]])


def gap(schedule: Schedule, variance: object, var: float = VAR) -> float:
    """The bound of the exact denoiser minus the entropy of N(MEAN, var), nats."""
    entropy = 0.5 * np.log(2 * np.pi * np.e * var)
    return exact_bound(schedule, mmse(schedule, var), MEAN**2 + var, variance) - float(entropy)


@equation(
    "gaussian", "B08", "the variance of the true reverse kernel", function="minidiff.GaussianMixture.posterior",
    formula=r"\tau_t^2=\beta_t\frac{v_{t-1}}{v_t}=\tilde\beta_t+\Big(\frac{\sqrt{\bar\alpha_{t-1}}\beta_t}{1-\bar"
    r"\alpha_t}\Big)^2\mathrm{mmse}_t,\quad v_t=\bar\alpha_ts^2+1-\bar\alpha_t",
)  # fmt: skip
def reverse_variance() -> Iterator[Check]:
    """beta-tilde plus the spread of x_0, against conditioning in the joint covariance; it can leave the paper's range."""
    t = np.arange(1, 9)
    c_0, _ = posterior_weights(SHORT, t - 1, t)
    ours = posterior_variance(SHORT, t - 1, t) + c_0**2 * mmse(SHORT)[1:]
    _, cov = forward_joint()
    conditional = [cov[i - 1, i - 1] - cov[i - 1, i] ** 2 / cov[i, i] for i in t]
    yield close("tau_t^2, t = 1..8", ours, conditional, 1e-12, "linear algebra")
    yield close("it is beta_t for data of variance 1", kernel_variance(SHORT, 1.0)[1:], BETAS, 1e-14, "algebra")
    yield at_most("it exceeds beta_t for data of variance 4", BETAS, kernel_variance(SHORT, 4.0)[1:], 0.0, "algebra")


@equation(
    "gaussian", "B09", "the least value of each L_{t-1}", function="minidiff.step_term",
    formula=r"\min_\theta\mathbb E[L_{t-1}]=\tfrac12\Big[\log\frac{\sigma_t^2}{\tilde\beta_t}+\frac{\tau_t^2}{\sigma_t^2}-1\Big]",
)  # fmt: skip
def least_term() -> Iterator[Check]:
    """A numerical minimum of E[step_term] over all linear denoisers; the exact denoiser attains it."""
    (x, z), w = product(hermite(4), hermite(4))
    x_0 = MEAN + np.sqrt(VAR) * x
    for t in (3, 7):
        signal, noise = SHORT.scales(t)
        x_t = signal * x_0 + noise * z
        small = BETAS[t - 1] * (1 - ABAR[t - 1]) / (1 - ABAR[t])
        for kind, sigma in (("small", small), ("large", BETAS[t - 1]), (SIGMA, SIGMA[t])):
            name = kind if isinstance(kind, str) else "explicit"

            def expected(line: np.ndarray, t: int = t, x_t: np.ndarray = x_t, kind: object = kind) -> float:
                pred = from_output("x_0", line[0] + line[1] * x_t, x_t, *SHORT.scales(t))
                return float(w @ step_term(SHORT, pred, x_0, x_t, t - 1, t, kind))

            best = optimize.minimize(expected, np.zeros(2), method="BFGS", options={"gtol": 1e-9}).fun
            exact = w @ step_term(SHORT, ExactDenoiser(gaussian_data(), SHORT)(x_t, t), x_0, x_t, t - 1, t, kind)
            closed = 0.5 * (np.log(sigma / small) + kernel_variance(SHORT)[t] / sigma - 1)
            yield close(f"least E[L_{t - 1}], {name} variance", closed, best, 1e-8, "optimiser")
            yield close(f"E[L_{t - 1}] of the exact denoiser, {name} variance", closed, exact, 1e-12, "Gauss-Hermite")


@equation(
    "gaussian", "B10", "the exact bound and its gap", function="minidiff.variational_bound",
    formula=r"L-H=\tfrac12\big[v_T+\bar\alpha_Tm^2-1-\log v_T\big]+\sum_{t=1}^T\tfrac12[r_t-1-\log r_t],\quad r_t="
    r"\tau_t^2/\sigma_t^2",
)  # fmt: skip
def exact_gap() -> Iterator[Check]:
    """E[variational_bound] against the closed gap and against the KL of two joint normals."""
    data, noise = (MEAN + np.sqrt(VAR) * hermite(4)[0], hermite(4)[1]), hermite(4)
    slope = np.sqrt(ABAR) * VAR / (ABAR * VAR + 1 - ABAR)
    shift = MEAN - slope * np.sqrt(ABAR) * MEAN
    small = np.concatenate([[0.0], BETAS * (1 - ABAR[:-1]) / (1 - ABAR[1:])])
    small[1] = small[2]  # what "small" means at t = 1
    beta = np.concatenate([[0.0], BETAS])
    large = np.concatenate([[0.0, small[2]], BETAS[1:]])
    for name, kind, sigma in (("small", "small", small), ("large", "large", large), ("beta", beta, beta), ("explicit", SIGMA, SIGMA)):
        ours = expected_bound(ExactDenoiser(gaussian_data(), SHORT), data, noise, kind)
        v_T, r = ABAR[8] * VAR + 1 - ABAR[8], kernel_variance(SHORT)[1:] / sigma[1:]
        closed = 0.5 * (v_T + ABAR[8] * MEAN**2 - 1 - np.log(v_T)) + 0.5 * (r - 1 - np.log(r)).sum()
        yield close(f"gap of the bound, {name} variance", closed, ours - data_entropy(), 1e-10, "Gauss-Hermite")
        joint = joint_kl(forward_joint(), linear_joint(shift, slope, sigma))
        yield close(f"the same as a KL of joint normals, {name} variance", closed, joint, 1e-9, "linear algebra")


@equation(
    "gaussian", "B11", "entropy, cross-entropy, bound", function="minidiff.reverse_transition",
    formula=r"H\le\mathrm{CE}=\tfrac12\log2\pi V+\frac{s^2+(m-\mu)^2}{2V}\le L,\qquad p_\theta(x_0)=\mathcal N(\mu,V)",
)  # fmt: skip
def ordering() -> Iterator[Check]:
    """The model's own density of the data, by a recursion and by the joint covariance; it separates misfit from slack."""
    for T in (4, 30):
        s = vp(T)
        ends = column([0.0, 1.0])
        steps = [(_reverse(s, ends, t), s.beta[t]) for t in range(T, 0, -1)]
        mean, var = 0.0, 1.0
        for p, sigma in steps:
            gain = p[1] - p[0]
            mean, var = p[0] + gain * mean, gain**2 * var + sigma
        joint = chain((0.0, 1.0), [p[1] - p[0] for p, _ in steps], [p[0] for p, _ in steps], [sigma for _, sigma in steps])
        both = ((mean, var), (joint[0][-1], joint[1][-1, -1]))
        cross, other = (0.5 * np.log(2 * np.pi * v) + (VAR + (MEAN - m) ** 2) / (2 * v) for m, v in both)
        yield close(f"cross-entropy, T = {T}, beta variance", cross, other, 1e-12, "linear algebra")
        yield at_most(f"entropy <= cross-entropy, T = {T}", data_entropy(), cross, 0.0, "algebra")
        yield at_most(f"cross-entropy <= bound, T = {T}", cross, data_entropy() + gap(s, s.beta), 0.0, "algebra")


def _reverse(schedule: Schedule, x: np.ndarray, t: int) -> np.ndarray:
    from minidiff import reverse_transition

    pred = ExactDenoiser(gaussian_data(), schedule)(x, t)
    return np.asarray(reverse_transition(schedule, pred, x, t - 1, t, schedule.beta).mean[:, 0])


@equation(
    "gaussian", "B12", "with the optimal variance only the prior's KL is left, at every T", function="minidiff.variational_bound",
    formula=r"\sigma_t^2=\tau_t^2\ \Rightarrow\ L-H=\mathrm{KL}(q(x_T)\Vert\mathcal N(0,1))",
)  # fmt: skip
def no_gap() -> Iterator[Check]:
    """T = 4, 30 and 1000: four steps lose nothing when each reverse kernel is exact."""
    for T in (4, 30, 1000):
        s = vp(T)
        v = s.alpha_bar[T] * VAR + 1 - s.alpha_bar[T]
        prior = 0.5 * (v + s.alpha_bar[T] * MEAN**2 - 1 - np.log(v))
        yield close(f"gap of the bound, T = {T}", gap(s, kernel_variance(s)), prior, 1e-11, "algebra")


@equation(
    "gaussian", "B13", "with the large variance the gap falls like 1/T", function="minidiff.variational_bound",
    formula=r"T\,(L-H-\mathrm{prior})\to\tfrac14\int_0^1\Big[\beta(u)\bar\alpha(u)\frac{s^2-1}{v(u)}\Big]^2du"
    r"\quad(\sigma_t^2=\beta_t)",
)  # fmt: skip
def slope_in_T() -> Iterator[Check]:
    """The constant by quadrature against T times the exact gap, extrapolated."""
    for var in (0.25, 4.0):

        def integrand(u: float, var: float = var) -> float:
            a = np.exp(-0.1 * u - 9.95 * u**2)
            return float(((0.1 + 19.9 * u) * a * (var - 1) / (a * var + 1 - a)) ** 2)

        values = [T * (gap(s, s.beta, var) - gap(s, kernel_variance(s, var), var)) for T in (1000, 2000, 4000, 8000) for s in [vp(T)]]
        limit = _extrapolate([1000, 2000, 4000, 8000], values, [lambda T: 1, lambda T: 1 / T, lambda T: 1 / T**2, lambda T: 1 / T**3])
        closed = 0.25 * integrate.quad(integrand, 0, 1, epsabs=1e-12)[0]
        yield close(f"constant for data of variance {var:g}", closed, limit, 1e-5, "Richardson", relative=True)


def _extrapolate(Ts: list[int], values: list[float], basis: list[Callable[[float], float]]) -> float:
    """The coefficient of basis[0] = 1 in the expansion that passes through all values."""
    scaled = np.array([[f(T / Ts[0]) for f in basis] for T in Ts])  # scaled for the condition number; the constant is unaffected
    return float(np.linalg.solve(scaled, values)[0])


@equation(
    "gaussian", "B14", "with the small variance the bound stays loose however large T is", function="minidiff.variational_bound",
    formula=r"L-H\to\tfrac12\gamma+\tfrac12(1-\log2)=0.44203\ \text{nats/dim}\ (\sigma_t^2=\tilde\beta_t),\quad"
    r"\tfrac12(1-\log2)=0.15343\ (\sigma_1^2=\tilde\beta_2,\ \sigma_t^2=\beta_t)",
)  # fmt: skip
def loose_limit() -> Iterator[Check]:
    """The gap at T up to 64,000, extrapolated with its log T / T terms; the limit knows neither the data nor the schedule."""
    Ts = [4000, 8000, 16000, 32000, 64000]
    basis: list[Callable[[float], float]] = [
        lambda T: 1, lambda T: 1 / T, lambda T: np.log(T) / T, lambda T: 1 / T**2, lambda T: np.log(T) / T**2]  # fmt: skip
    makers = {"linear": linear, "vp": vp, "cosine": Schedule.cosine}
    for name, make in makers.items():
        tables = [make(T) for T in Ts]
        for var in (0.25, 4.0):
            prior = [gap(s, kernel_variance(s, var), var) for s in tables]
            limit = _extrapolate(Ts, [gap(s, "small", var) - p for s, p in zip(tables, prior, strict=True)], basis)
            yield close(f"small variance, {name} schedule, data of variance {var:g}", EULER_LIMIT, limit, 5e-6, "Richardson")
            limit = _extrapolate(Ts, [gap(s, "large", var) - p for s, p in zip(tables, prior, strict=True)], basis)
            yield close(f"large variance, {name} schedule, data of variance {var:g}", FIRST_STEP_LIMIT, limit, 5e-6, "Richardson")
    prior_nats = prior_term(linear(100), column(1.0))[0]
    yield at_most("the linear schedule must be scaled with T: L_T at T = 100", prior_nats, 1e-3, 0.0, "count")


@equation(
    "gaussian", "B17", "correlated data: the eigenvalues of the covariance add up", function="minidiff.GaussianMixture",
    formula=r"L(\Sigma)=\sum_iL(\lambda_i)",
)  # fmt: skip
def correlated() -> Check:
    """Three correlated dimensions: E[variational_bound] over a six-dimensional quadrature against one-dimensional gaps."""
    cov = np.array([[0.5, 0.2, -0.1], [0.2, 0.3, 0.05], [-0.1, 0.05, 0.8]])
    data = GaussianMixture(np.ones(1), np.array([[MEAN, MEAN, MEAN]]), cov[None])
    nodes, w = product(*[hermite(3)] * 6)
    x_0 = MEAN + np.hstack(nodes[:3]) @ np.linalg.cholesky(cov).T
    eps = np.hstack(nodes[3:])
    ours = w @ variational_bound(ExactDenoiser(data, SHORT), x_0, lambda _: eps, "large", decoder=density_term).total
    v = [exact_bound(SHORT, mmse(SHORT, lam), lam, "large") for lam in np.linalg.eigvalsh(cov)]
    mean_square = 0.5 * ABAR[8] * 3 * MEAN**2  # the mean enters the prior term alone
    return close("bound of N(m, C) in three dimensions, T = 8", ours, sum(v) + mean_square, 1e-10, "linear algebra")
