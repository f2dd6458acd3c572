"""DDPM, Eq. 1 to 12 without the bound: the forward process, its posterior, and the reverse process."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, localcontext

import numpy as np
from scipy import optimize

from minidiff import Gaussian, Prediction, Schedule, from_output, marginal, posterior, reverse_transition, step_term, transition
from minidiff.verify.registry import Check, close, equation, generator, monte_carlo
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    SHORT,
    Linear,
    Wrong,
    chain,
    column,
    eq_11_mean,
    hermite,
    joint_log,
    normal_log,
    product,
    quad,
)

X_0, X_T = 0.7, -0.4
PATH = np.array([0.7, 0.9, 0.4, 0.6, -0.3, 0.2, -1.1, 0.5, 1.3])  # one path x_0..x_8, of no particular likelihood


@equation(
    "ddpm", "1", "the reverse process, a Markov chain of Gaussians", function="minidiff.reverse_transition",
    formula=r"p_\theta(x_{0:T}) = p(x_T)\prod_{t=1}^T p_\theta(x_{t-1}\mid x_t)",
)  # fmt: skip
def reverse_chain() -> Check:
    """Sum of one-step log densities along a path against the joint multivariate normal of a linear model."""
    model, variance, log_p = Linear(SHORT), np.linspace(0.05, 0.4, 9), normal_log(PATH[8], 0.0, 1.0)
    for t in range(8, 0, -1):
        x_t = column(PATH[t])
        p = reverse_transition(SHORT, model(x_t, t), x_t, t - 1, t, variance)
        log_p += p.log_prob(column(PATH[t - 1]))[0, 0]
    shifts, gains = [], []
    for t in range(8, 0, -1):
        ends = [eq_11_mean(x, (x - np.sqrt(ABAR[t]) * (0.3 + 0.5 * x)) / np.sqrt(1 - ABAR[t]), t) for x in (0.0, 1.0)]
        shifts.append(ends[0])
        gains.append(ends[1] - ends[0])
    joint = joint_log(PATH[::-1], *chain((0.0, 1.0), gains, shifts, variance[:0:-1]))
    return close("log density of a path of 8 steps, linear model", log_p, joint, 1e-10, "linear algebra")


@equation(
    "ddpm", "2", "the forward process, a Markov chain of Gaussians", function="minidiff.transition",
    formula=r"q(x_{1:T}\mid x_0)=\prod_t\mathcal N\big(x_t;\sqrt{1-\beta_t}\,x_{t-1},\beta_t I\big)",
)  # fmt: skip
def forward_chain() -> Iterator[Check]:
    """Product of transitions against the joint normal with Cov(x_s, x_t) = sqrt(abar_t / abar_s) (1 - abar_s)."""
    s = np.arange(8)
    steps = transition(SHORT, column(PATH[:8]), s, s + 1)
    s, t = np.minimum.outer(s + 1, s + 1), np.maximum.outer(s + 1, s + 1)
    cov = np.sqrt(ABAR[t] / ABAR[s]) * (1 - ABAR[s])
    joint = joint_log(PATH[1:], np.sqrt(ABAR[1:]) * PATH[0], cov)
    yield close("log density of a path of 8 steps", steps.log_prob(column(PATH[1:])).sum(), joint, 1e-10, "linear algebra")
    draws = generator(2).standard_normal((4, 200_000, 1))
    x = np.full((200_000, 1), X_0)
    for t_, z in enumerate(draws, start=1):
        x = transition(SHORT, x, t_ - 1, t_).sample(z)
    yield monte_carlo("E[x_4] of chained draws", np.sqrt(ABAR[4]) * X_0, x)
    yield monte_carlo("Var[x_4] of chained draws", 1 - ABAR[4], (x - np.sqrt(ABAR[4]) * X_0) ** 2)


@equation(
    "ddpm", "4", "x_t in one jump", function="minidiff.marginal",
    formula=r"q(x_t\mid x_0)=\mathcal N\big(x_t;\sqrt{\bar\alpha_t}\,x_0,(1-\bar\alpha_t)I\big)",
)  # fmt: skip
def one_jump() -> Iterator[Check]:
    """The jump against five single steps convolved on a grid, and the table against 60-digit decimal arithmetic."""
    x = np.linspace(-8, 8, 801)
    density = np.exp(normal_log(x, np.sqrt(1 - BETAS[0]) * X_0, BETAS[0]))
    for beta in BETAS[1:5]:
        kernel = np.exp(normal_log(x[:, None], np.sqrt(1 - beta) * x, beta))
        density = kernel @ density * (x[1] - x[0])
    jump = marginal(SHORT, np.full((801, 1), X_0), 5)
    yield close("density of x_5: five convolutions", np.exp(jump.log_prob(column(x)))[:, 0], density, 1e-10, "grid")
    yield close("distance of x_0 from q(x_0 | x_0)", marginal(SHORT, column(X_0), 0).mean - X_0, 0.0, 0.0, "algebra")

    schedule, product, signal, noise = Schedule.linear(), Decimal(1), [], []
    with localcontext() as context:
        context.prec = 60
        for beta in np.linspace(1e-4, 0.02, 1000):
            product *= 1 - Decimal(float(beta))
            signal.append(float(product.sqrt()))
            noise.append(float((1 - product).sqrt()))
    ours = schedule.scales(np.arange(1, 1001))
    yield close("signal scale, linear T = 1000, all t", ours[0], signal, 1e-12, "60-digit decimals", relative=True)
    yield close("noise scale, linear T = 1000, all t", ours[1], noise, 1e-12, "60-digit decimals", relative=True)


@equation(
    "ddpm", "6-7", "the forward posterior", function="minidiff.posterior",
    formula=r"\tilde\mu_t=\frac{\sqrt{\bar\alpha_{t-1}}\beta_t}{1-\bar\alpha_t}x_0+\frac{\sqrt{\alpha_t}(1-\bar"
    r"\alpha_{t-1})}{1-\bar\alpha_t}x_t,"
    r"\quad\tilde\beta_t=\frac{1-\bar\alpha_{t-1}}{1-\bar\alpha_t}\beta_t",
)  # fmt: skip
def bayes() -> Iterator[Check]:
    """q(x_s | x_t, x_0) against Bayes' rule, integrated numerically, for neighbouring and for distant times."""
    for s, t in ((1, 2), (4, 5), (7, 8), (2, 7)):
        scale, var = np.sqrt(ABAR[t] / ABAR[s]), 1 - ABAR[t] / ABAR[s]

        def joint(x: float, s: int = s, scale: float = scale, var: float = var) -> float:
            return float(np.exp(normal_log(x, np.sqrt(ABAR[s]) * X_0, 1 - ABAR[s]) + normal_log(X_T, scale * x, var)))

        total = quad(joint, -10, 10, [0.0, 0.5])
        mean = quad(lambda x: x * joint(x), -10, 10, [0.0, 0.5]) / total
        second = quad(lambda x: x**2 * joint(x), -10, 10, [0.0, 0.5]) / total - mean**2
        q = posterior(SHORT, column(X_0), column(X_T), s, t)
        yield close(f"posterior mean, s = {s}, t = {t}", q.mean, mean, 1e-9, "quadrature")
        yield close(f"posterior variance, s = {s}, t = {t}", q.var, second, 1e-9, "quadrature")
    q = posterior(SHORT, column(X_0), column(X_T), 0, 1)
    yield close("at t = 1 it is the point x_0: mean and variance", [q.mean[0, 0], q.var], [X_0, 0.0], 0.0, "algebra")
    times, linear = np.arange(1, 1000), Schedule.linear()
    decay = np.sqrt(linear.alpha_bar[2:] / linear.alpha_bar[1:-1])[:, None]
    derived = marginal(linear, np.full((999, 1), X_0), times).given(decay, np.linspace(1e-4, 0.02, 1000)[1:, None], column([X_T]))
    ours = posterior(linear, np.full((999, 1), X_0), np.full((999, 1), X_T), times, times + 1)
    yield close("posterior variance, linear T = 1000, all t", ours.var, derived.var, 1e-10, "Gaussian.given", relative=True)
    yield close("posterior mean, linear T = 1000, all t", ours.mean, derived.mean, 1e-10, "Gaussian.given")


@equation(
    "ddpm", "8", "L_{t-1} is a squared distance of means plus a constant", function="minidiff.step_term",
    formula=r"L_{t-1}=\mathbb E_q\Big[\tfrac{1}{2\sigma_t^2}\lVert\tilde\mu_t-\mu_\theta\rVert^2\Big]+C,\quad "
    r"C=\tfrac d2\Big[\log\tfrac{\sigma_t^2}{\tilde\beta_t}+\tfrac{\tilde\beta_t}{\sigma_t^2}-1\Big]",
)  # fmt: skip
def step_of_the_bound() -> Iterator[Check]:
    """step_term against the integral of q log(q / p), and its constant C by the same integral with equal means."""
    t, x_t = 5, 0.35
    beta, abar, before = BETAS[4], ABAR[5], ABAR[4]
    var = (1 - before) / (1 - abar) * beta
    mean = np.sqrt(before) * beta / (1 - abar) * X_0 + np.sqrt(1 - beta) * (1 - before) / (1 - abar) * x_t
    wrong = 0.8 * np.sin(x_t)
    right = (x_t - np.sqrt(abar) * X_0) / np.sqrt(1 - abar)
    for kind, sigma in (("small", var), ("large", beta)):
        for what, eps in (("wrong network", wrong), ("right network: C alone", right)):

            def integrand(x: float, eps: float = eps, sigma: float = sigma) -> float:
                log_q = normal_log(x, mean, var)
                return float(np.exp(log_q) * (log_q - normal_log(x, eq_11_mean(x_t, eps, t), sigma)))

            pred = from_output("eps", column(eps), column(x_t), *SHORT.scales(t))
            ours = step_term(SHORT, pred, column(X_0), column(x_t), t - 1, t, kind)
            yield close(f"L_4, {kind} variance, {what}", ours, quad(integrand, mean - 6, mean + 6, [mean]), 1e-10, "quadrature")


@equation(
    "ddpm", "9-10", "the posterior mean in terms of the noise", function="minidiff.posterior",
    formula=r"\tilde\mu_t\Big(x_t,\tfrac{1}{\sqrt{\bar\alpha_t}}(x_t-\sqrt{1-\bar\alpha_t}\,\epsilon)\Big)"
    r"=\frac{1}{\sqrt{\alpha_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon\Big)",
)  # fmt: skip
def mean_from_noise() -> Check:
    """Eq. 7 at the x_0 that the noise implies, against Eq. 10, at random points and every t."""
    rng = generator(9)
    x_0, eps = rng.standard_normal((2, 8, 50))
    t = np.arange(1, 9)
    x_t = np.sqrt(ABAR[t])[:, None] * x_0 + np.sqrt(1 - ABAR[t])[:, None] * eps
    other = np.stack([eq_11_mean(x, e, i) for x, e, i in zip(x_t, eps, range(1, 9), strict=True)])
    return close("posterior mean, 8 times, 50 points each", posterior(SHORT, x_0, x_t, t - 1, t).mean, other, 1e-12, "algebra")


@equation(
    "ddpm", "11", "the model's mean", function="minidiff.reverse_transition",
    formula=r"\mu_\theta(x_t,t)=\frac{1}{\sqrt{\alpha_t}}\Big(x_t-\frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\epsilon_\theta(x_t,t)\Big)",
)  # fmt: skip
def model_mean() -> Iterator[Check]:
    """The mean of p_theta(x_{t-1} | x_t) for a wrong network, and that at t = 1 it is the predicted x_0."""
    x = column(np.linspace(-1.5, 2.5, 9))
    for t in (2, 8):
        ours = reverse_transition(SHORT, Wrong(SHORT)(x, t), x, t - 1, t).mean
        yield close(f"model mean, t = {t}, 9 points", ours, eq_11_mean(x, 0.8 * np.sin(x), t), 1e-12, "algebra")
    guess = Wrong(SHORT)(x, 1)
    yield close("model mean, t = 1", reverse_transition(SHORT, guess, x, 0, 1).mean, guess.x_0, 1e-15, "algebra")


@equation(
    "ddpm", "12", "L_{t-1} as a weighted error of the noise", function="minidiff.step_term",
    formula=r"L_{t-1}-C=\mathbb E\Big[\frac{\beta_t^2}{2\sigma_t^2\alpha_t(1-\bar\alpha_t)}"
    r"\lVert\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}x_0+\sqrt{1-\bar\alpha_t}\epsilon,t)\rVert^2\Big]",
)  # fmt: skip
def noise_form() -> Iterator[Check]:
    """E[step_term] of a wrong network against E[log q - log p] over (x_0, eps, z), for both variances."""
    t, rule = 4, hermite(24)
    (x_0, eps, z), w = product(rule, rule, rule)
    beta, abar, before = BETAS[3], ABAR[4], ABAR[3]
    var = (1 - before) / (1 - abar) * beta
    x_t = np.sqrt(abar) * x_0 + np.sqrt(1 - abar) * eps
    mean = eq_11_mean(x_t, eps, t)
    x_s = mean + np.sqrt(var) * z
    for kind, sigma in (("small", var), ("large", beta)):
        ours = w @ step_term(SHORT, Wrong(SHORT)(x_t, t), x_0, x_t, t - 1, t, kind)
        log_ratio = normal_log(x_s, mean, var) - normal_log(x_s, eq_11_mean(x_t, 0.8 * np.sin(x_t), t), sigma)
        yield close(f"E[L_3], {kind} variance", ours, w @ log_ratio[:, 0], 1e-10, "Gauss-Hermite")
        weight = beta**2 / (2 * sigma * (1 - beta) * (1 - abar))
        constant = 0.5 * (np.log(sigma / var) + var / sigma - 1)
        error = w @ ((eps - 0.8 * np.sin(x_t)) ** 2)[:, 0]
        yield close(f"E[L_3] - C, {kind} variance", ours - constant, weight * error, 1e-10, "Gauss-Hermite")


@equation(
    "ddpm", "section 3.2", "which fixed variance is optimal for which data", function="minidiff.reverse_transition",
    formula=r"\arg\min_{\sigma_t^2}\mathbb E[L_{t-1}]=\beta_t\ \text{for}\ x_0\sim\mathcal N(0,I),\quad\tilde"
    r"\beta_t\ \text{for a point}",
)  # fmt: skip
def optimal_variance() -> Iterator[Check]:
    """A numerical minimum over sigma^2 of the expected step against the variance that "large" and "small" give."""
    t, (x, z) = 5, hermite(4)
    (x_0, eps), w = product((x, z), (x, z))
    signal, noise = SHORT.scales(t)
    for kind, data_var in (("large", 1.0), ("small", 0.0)):
        start = np.sqrt(data_var) * x_0
        x_t = signal * start + noise * eps
        gain = signal * data_var / (signal**2 * data_var + noise**2)  # E[x_0 | x_t] by linear regression
        pred = from_output("x_0", gain * x_t, x_t, signal, noise)

        def expected(log_var: float, pred: Prediction = pred, start: np.ndarray = start, x_t: np.ndarray = x_t) -> float:
            return float(w @ step_term(SHORT, pred, start, x_t, t - 1, t, np.full(9, np.exp(log_var))))

        best = np.exp(optimize.minimize_scalar(expected, bounds=(-6, 1), method="bounded", options={"xatol": 1e-10}).x)
        ours: Gaussian = reverse_transition(SHORT, pred, x_t, t - 1, t, kind)
        yield close(f'"{kind}" is best for data of variance {data_var:g}, t = 5', ours.var, best, 1e-6, "optimiser")
