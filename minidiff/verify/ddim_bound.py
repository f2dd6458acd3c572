"""DDIM, Eq. 1 to 5 and 11: what is trained, and why one training serves the whole family."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff import Schedule, from_output, marginal, step_term, variational_bound
from minidiff.verify.ddpm_bound import ABAR_TWO, SIGMA, TWO
from minidiff.verify.probes import Told, one_step
from minidiff.verify.registry import Check, close, equation
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    MIXTURE,
    SHORT,
    Float,
    Wrong,
    data_nodes,
    expected_bound,
    expected_steps,
    hermite,
    normal_log,
    product,
)


def sigma(eta: float, s: int, t: int) -> float:
    """Eq. 16, written out, on the short schedule."""
    return float(eta * np.sqrt((1 - ABAR[s]) / (1 - ABAR[t])) * np.sqrt(1 - ABAR[t] / ABAR[s]))


def noise_error(abar: float) -> float:
    """E (eps - 0.8 sin x_t)^2 over the mixture, in closed form: E[eps sin x_t] = noise E[cos x_t] (Stein), sin^2 x = (1 - cos 2x) / 2."""
    m, v = np.sqrt(abar) * MIXTURE.means[:, 0], abar * MIXTURE.covs[:, 0, 0] + 1 - abar
    cos_1, cos_2 = (float(MIXTURE.weights @ (np.cos(k * m) * np.exp(-(k**2) * v / 2))) for k in (1, 2))
    return float(1 - 1.6 * np.sqrt(1 - abar) * cos_1 + 0.32 * (1 - cos_2))


def prior_nats(abar: float) -> float:
    """E KL(q(x_T | x_0) || N(0, 1)) over the mixture."""
    second = MIXTURE.weights @ (MIXTURE.means[:, 0] ** 2 + MIXTURE.covs[:, 0, 0])
    return float(0.5 * (abar * second - abar - np.log(1 - abar)))


@equation(
    "ddim", "1-5", "what DDPM minimises: weighted errors of the noise", function="minidiff.variational_bound",
    formula=r"L_\gamma=\sum_{t=1}^T\gamma_t\,\mathbb E\lVert\epsilon-\epsilon_\theta(\sqrt{\bar\alpha_t}x_0+\sqrt{1-\bar\alpha_t}\epsilon,"
    r"t)\rVert^2,\quad L_{\mathbf 1}=T\,L_{\text{simple}}",
)  # fmt: skip
def weighted_losses() -> Iterator[Check]:
    """A wrong network: the bound by quadrature against DDPM's weights (Eq. 12 there) times errors from characteristic functions."""
    errors, data, noise = np.array([noise_error(a) for a in ABAR[1:]]), data_nodes(MIXTURE, 28), hermite(28)
    tilde = BETAS * (1 - ABAR[:-1]) / (1 - ABAR[1:])
    small = np.concatenate([[0.0, tilde[1]], tilde[1:]])  # what "small" means at t = 1
    for name, kind, var in (("small", "small", small), ("explicit", SIGMA, SIGMA)):
        gamma = BETAS**2 / (2 * var[1:] * (1 - BETAS) * (1 - ABAR[1:]))
        r = tilde[1:] / var[2:]
        constant = 0.5 * (r - 1 - np.log(r)).sum() + 0.5 * np.log(2 * np.pi * var[1]) + prior_nats(ABAR[8])
        ours = expected_bound(Wrong(SHORT), data, noise, kind)
        yield close(f"gamma of DDPM Eq. 12: the bound, {name} variance", ours, gamma @ errors + constant, 1e-9, "characteristic function")
    (x_0, eps), w = product(data, noise)
    terms = variational_bound(Wrong(SHORT), x_0, lambda _: eps, "large", decoder=lambda *a, **_: 0.0).steps @ w
    t, zero = np.arange(2, 9), np.zeros((7, 1))
    unit = step_term(SHORT, from_output("eps", zero + 1, zero, *SHORT.scales(t)), zero, zero, t - 1, t, "large")
    rest = expected_steps(SHORT, np.zeros(9), "large")
    simple = (terms[::-1] - rest) / (unit - rest)  # the right eps at x_t = x_0 = 0 is 0, and costs the constant alone
    yield close("gamma = 1: each term divided by what an error of 1 costs", simple, errors[1:], 1e-9, "characteristic function")
    t, each = np.repeat(np.arange(1, 9), len(w)), np.tile(eps, (8, 1))  # every t equally often
    x_t = marginal(SHORT, np.tile(x_0, (8, 1)), t).sample(each)
    simple = np.tile(w, 8) @ (each - Wrong(SHORT)(x_t, t).eps) ** 2 / 8
    yield close("gamma = 1 / T: L_simple", simple, errors.mean(), 1e-9, "characteristic function")


@equation(
    "ddim", "11", "one training for the whole family (Theorem 1)", function="minidiff.ddim", source="DDIM, Theorem 1 and Eq. 11",
    formula=r"J_\sigma=L_\gamma+C,\quad\gamma_t=\frac{1}{2\sigma_t^2}\Big(\sqrt{\tfrac{\bar\alpha_{t-1}(1-\bar\alpha_t)}{\bar\alpha_t}}-"
    r"\sqrt{1-\bar\alpha_{t-1}-\sigma_t^2}\Big)^2",
)  # fmt: skip
def theorem_1() -> Iterator[Check]:
    """E[log q_sigma - log p_theta] of steps of the sampler, by quadrature, against gamma_t times a closed error; then J_sigma whole.

    The appendix of the paper, as remembered, has 1 / (2 d sigma^2 abar_t) for gamma_t. That is not the weight of this KL; the theorem only
    needs some gamma_t > 0 that does not depend on the network, and this is the one that the quadrature finds.
    """
    nodes = data_nodes(MIXTURE, 24), hermite(24), hermite(24)
    (x_0, eps, z), w = product(*nodes)
    for s, t in ((4, 5), (2, 7)):
        x_t = np.sqrt(ABAR[t]) * x_0 + np.sqrt(1 - ABAR[t]) * eps
        for eta in (0.5, 1.0):
            kl, _ = _log_ratio(SHORT, x_0, x_t, z, s, t, eta)
            var = sigma(eta, s, t) ** 2
            gamma = (np.sqrt(ABAR[s] * (1 - ABAR[t]) / ABAR[t]) - np.sqrt(1 - ABAR[s] - var)) ** 2 / (2 * var)
            yield close(f"E KL of a step from {t} to {s}, eta = {eta:g}", gamma * noise_error(ABAR[t]), w @ kl, 1e-9, "Gauss-Hermite")
        beta = 1 - ABAR[t] / ABAR[s]
        weight = beta**2 / (2 * var * (1 - beta) * (1 - ABAR[t]))
        yield close(f"eta = 1: the weight of DDPM Eq. 12, {t} to {s}", weight, w @ kl / noise_error(ABAR[t]), 1e-9, "Gauss-Hermite")
        ours = w @ step_term(SHORT, Wrong(SHORT)(x_t, t), x_0, x_t, s, t)
        yield close(f"eta = 1: E[step_term] of DDPM, {t} to {s}", ours, w @ kl, 1e-9, "Gauss-Hermite")
    a, b = ABAR_TWO[1:]
    x_2 = np.sqrt(b) * x_0 + np.sqrt(1 - b) * eps
    for eta in (0.5, 1.0):
        kl, x_1 = _log_ratio(TWO, x_0, x_2, z, 1, 2, eta)
        f = (x_1 - np.sqrt(1 - a) * 0.8 * np.sin(x_1)) / np.sqrt(a)
        whole = kl + (normal_log(x_2, np.sqrt(b) * x_0, 1 - b) - normal_log(x_2, 0.0, 1.0) - normal_log(x_0, f, 0.15))[:, 0]
        var = eta**2 * (1 - a) / (1 - b) * (1 - b / a)
        gamma_2 = (np.sqrt(a * (1 - b) / b) - np.sqrt(1 - a - var)) ** 2 / (2 * var)
        gamma_1, constant = (1 - a) / a / (2 * 0.15), prior_nats(b) + 0.5 * np.log(2 * np.pi * 0.15)
        closed = gamma_2 * noise_error(b) + gamma_1 * noise_error(a) + constant
        yield close(f"J_sigma over (x_0, x_1, x_2), T = 2, eta = {eta:g}", closed, w @ whole, 1e-9, "Gauss-Hermite")


def _log_ratio(schedule: Schedule, x_0: Float, x_t: Float, z: Float, s: int, t: int, eta: float) -> tuple[Float, Float]:
    """log q_sigma(x_s | x_t, x_0) - log p_theta(x_s | x_t) of the wrong network at x_s ~ q_sigma, (B,), and x_s."""
    (mean, std), (guess, other) = (one_step(d, x_t, s, t, eta) for d in (Told(schedule, x_0), Wrong(schedule)))
    x_s = mean + std * z
    return (normal_log(x_s, mean, std**2) - normal_log(x_s, guess, other**2))[:, 0], x_s
