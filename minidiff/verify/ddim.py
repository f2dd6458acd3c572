"""DDIM: a family of processes with the same marginals, and its samplers. What is trained is in ddim_bound, the ODE in ddim_ode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from minidiff import ExactDenoiser, Prediction, Schedule, ddim, last, posterior, reverse_transition, transition
from minidiff.arrays import normal
from minidiff.process import posterior_variance
from minidiff.verify.ddim_bound import sigma
from minidiff.verify.ddpm_bound import SIGMA
from minidiff.verify.probes import Told, Watched, noisy, one_step, response
from minidiff.verify.registry import Check, at_most, close, equation, generator, monte_carlo
from minidiff.verify.routes import ABAR, MEAN, SHORT, VAR, Float, Wrong, column, gaussian_data, grid, normal_log

X_0 = 0.7
ETAS = (0.0, 0.5, 1.0)
PAIRS = [(s, t) for t in range(1, 9) for s in range(t)]


@equation(
    "ddim", "6-7", "a family of processes that keep the marginals", function="minidiff.ddim",
    formula=r"q_\sigma(x_s\mid x_t,x_0)=\mathcal N\Big(\sqrt{\bar\alpha_s}x_0+\sqrt{1-\bar\alpha_s-\sigma^2}\,"
    r"\frac{x_t-\sqrt{\bar\alpha_t}x_0}{\sqrt{1-\bar\alpha_t}},\ \sigma^2I\Big)\ \Rightarrow\ "
    r"q_\sigma(x_s\mid x_0)=\mathcal N(\sqrt{\bar\alpha_s}x_0,(1-\bar\alpha_s)I)",
)  # fmt: skip
def family() -> Iterator[Check]:
    """The law of x_s with x_t integrated out (its characteristic function tells all of it), for eta = 0, 0.5, 1; chains; the DDPM end."""
    u = np.array([0.4, 1.0, 2.0, 3.0])
    z, w = grid(-9, 9, 181)
    w = w * np.exp(normal_log(z, 0.0, 1.0))
    for eta in ETAS:
        for s, t in ((4, 5), (2, 7), (1, 8)):
            mean, std = one_step(Told(SHORT, X_0), column(np.sqrt(ABAR[t]) * X_0 + np.sqrt(1 - ABAR[t]) * z), s, t, eta)
            ours = w @ np.exp(1j * u * mean - u**2 * std**2 / 2)
            kept = np.exp(1j * u * np.sqrt(ABAR[s]) * X_0 - u**2 * (1 - ABAR[s]) / 2)
            pair = [ours.real, ours.imag], [kept.real, kept.imag]
            yield close(f"E exp(i u x_{s}) after a step from {t}, eta = {eta:g}", *pair, 1e-10, "quadrature")
        rest, gains = response(noisy(ddim, Told(SHORT, X_0), SHORT.times(8), eta=eta), 7)
        gain, start = gains[:, 0], np.sqrt(ABAR[8]) * X_0  # a start of 0 moved to the mean of q(x_T | x_0)
        yield close(f"mean of x_t along the chain, eta = {eta:g}", rest + gain * start, np.sqrt(ABAR[::-1]) * X_0, 1e-12, "linear response")
        var = gain**2 * (1 - ABAR[8]) + (gains[:, 1:] ** 2).sum(1)
        yield close(f"variance of x_t along the chain, eta = {eta:g}", var, 1 - ABAR[::-1], 1e-12, "linear response")
    x = column(np.linspace(-1.5, 2.5, 9))
    steps = [one_step(Told(SHORT, X_0), x, s, t, 1.0) for s, t in PAIRS]
    ends = [posterior(SHORT, np.full_like(x, X_0), x, s, t) for s, t in PAIRS]
    yield close("eta = 1: mean of DDPM's posterior, all 36 pairs", [m for m, _ in steps], [q.mean for q in ends], 1e-12, "Eq. 7 of DDPM")
    yield close("eta = 1: its variance", [std[0, 0] ** 2 for _, std in steps], [q.var for q in ends], 1e-12, "Eq. 7 of DDPM")


@equation(
    "ddim", "8", "the forward conditional: not Markov unless eta = 1", function="minidiff.ddim",
    formula=r"q_\sigma(x_t\mid x_s,x_0)=\mathcal N\Big(\sqrt{\bar\alpha_t}x_0+k\tfrac{\sqrt{1-\bar\alpha_t}}{1-\bar\alpha_s}(x_s-\sqrt{\bar"
    r"\alpha_s}x_0),\ \tfrac{(1-\bar\alpha_t)\sigma^2}{1-\bar\alpha_s}I\Big),\quad k=\sqrt{1-\bar\alpha_s-\sigma^2}",
)  # fmt: skip
def forward_conditional() -> Iterator[Check]:
    """Bayes' rule on a grid of x_t: q(x_t | x_0) times the density of one step of the sampler. At eta = 1 x_0 drops out."""
    x_s, x_t = 0.3, grid(-10, 10, 4001)[0]
    for s, t in ((4, 5), (2, 7)):
        for eta in (0.5, 1.0):
            for x_0 in (X_0, -1.1):
                mean, std = one_step(Told(SHORT, x_0), column(x_t), s, t, eta)
                w = np.exp(normal_log(x_t, np.sqrt(ABAR[t]) * x_0, 1 - ABAR[t]) + normal_log(x_s, mean[:, 0], std[:, 0] ** 2))
                centre = w @ x_t / w.sum()
                spread = w @ (x_t - centre) ** 2 / w.sum()
                var, k = sigma(eta, s, t) ** 2, np.sqrt(1 - ABAR[s] - sigma(eta, s, t) ** 2)
                closed = np.sqrt(ABAR[t]) * x_0 + k * np.sqrt(1 - ABAR[t]) / (1 - ABAR[s]) * (x_s - np.sqrt(ABAR[s]) * x_0)
                what = f"of x_{t} given x_{s} and x_0 = {x_0}, eta = {eta:g}"
                yield close(f"mean {what}", closed, centre, 1e-9, "Bayes on a grid")
                yield close(f"variance {what}", (1 - ABAR[t]) * var / (1 - ABAR[s]), spread, 1e-9, "Bayes on a grid")
                if eta == 1:
                    q = transition(SHORT, column(x_s), s, t)
                    both = [q.mean[0, 0], q.var], [centre, spread]
                    yield close(f"DDPM's transition from {s} to {t} at x_0 = {x_0}", *both, 1e-9, "Bayes on a grid")


@equation(
    "ddim", "9-10", "the model: q_sigma at the predicted x_0", function="minidiff.ddim",
    formula=r"f_\theta(x_t)=\frac{x_t-\sqrt{1-\bar\alpha_t}\,\epsilon_\theta(x_t,t)}{\sqrt{\bar\alpha_t}},\quad p_\theta(x_s\mid x_t)=q_"
    r"\sigma(x_s\mid x_t,f_\theta(x_t)),\quad p_\theta(x_0\mid x_1)=\mathcal N(f_\theta(x_1),\sigma_1^2I)",
)  # fmt: skip
def model() -> Iterator[Check]:
    """A wrong network: one step of the sampler against Eq. 7 written out at f_theta; eta = 1 against DDPM; the step to 0."""
    x = column(np.linspace(-1.5, 2.5, 9))
    for s, t in ((4, 5), (2, 7)):
        f = (x - np.sqrt(1 - ABAR[t]) * 0.8 * np.sin(x)) / np.sqrt(ABAR[t])
        for eta in ETAS:
            mean, std = one_step(Wrong(SHORT), x, s, t, eta)
            var = sigma(eta, s, t) ** 2
            closed = np.sqrt(ABAR[s]) * f + np.sqrt(1 - ABAR[s] - var) * (x - np.sqrt(ABAR[t]) * f) / np.sqrt(1 - ABAR[t])
            yield close(f"mean of a step from {t} to {s}, eta = {eta:g}", mean, closed, 1e-12, "algebra")
        p = reverse_transition(SHORT, Wrong(SHORT)(x, t), x, s, t)
        yield close(f"eta = 1 is DDPM with the small variance: mean, {t} to {s}", mean, p.mean, 1e-12, "Eq. 11 of DDPM")
        yield close(f"the same: variance, {t} to {s}", std**2, p.var, 1e-12, "Eq. 11 of DDPM")
    for t in (1, 5):
        f = (x - np.sqrt(1 - ABAR[t]) * 0.8 * np.sin(x)) / np.sqrt(ABAR[t])
        ends = [end for eta in ETAS for end in one_step(Wrong(SHORT), x, 0, t, eta)]
        yield close(f"a step from {t} to 0 ends on f_theta, without noise", ends, [f, 0 * f] * 3, 1e-14, "algebra")
    p = reverse_transition(SHORT, Wrong(SHORT)(x, 1), x, 0, 1, SIGMA)
    f = (x - np.sqrt(1 - ABAR[1]) * 0.8 * np.sin(x)) / np.sqrt(ABAR[1])
    yield close("log p_theta(x_0 = 0.7 | x_1)", p.log_prob(0 * x + X_0), normal_log(X_0, f, SIGMA[1]), 1e-12, "algebra")


@equation(
    "ddim", "12", "the sampler", function="minidiff.ddim",
    formula=r"x_s=\sqrt{\bar\alpha_s}\,\hat x_0+\sqrt{1-\bar\alpha_s-\sigma^2}\,\epsilon_\theta(x_t,t)+\sigma z",
)  # fmt: skip
def sampler() -> Iterator[Check]:
    """Exact denoiser, Gaussian data: mean and variance of every x_t by a linear recursion; the end is x_0-hat; the times asked about."""
    denoiser, v = ExactDenoiser(gaussian_data(), SHORT), ABAR * VAR + 1 - ABAR
    for times in ([8, 7, 6, 5, 4, 3, 2, 1, 0], [8, 5, 2, 0]):
        for eta in ETAS:
            moments = [(0.0, 1.0)]
            for t, s in pairwise(times):
                x_0_slope, eps_slope = np.sqrt(ABAR[t]) * VAR / v[t], np.sqrt(1 - ABAR[t]) / v[t]  # of E[x_0 | x_t] and E[eps | x_t]
                gain = np.sqrt(ABAR[s]) * x_0_slope + np.sqrt(1 - ABAR[s] - sigma(eta, s, t) ** 2) * eps_slope
                m, var = moments[-1]
                moments.append((np.sqrt(ABAR[s]) * MEAN + gain * (m - np.sqrt(ABAR[t]) * MEAN), gain**2 * var + sigma(eta, s, t) ** 2))
            rest, gains = response(noisy(ddim, denoiser, times, eta=eta), len(times) - 2)
            what = f"of x_t, {len(times) - 1} steps, eta = {eta:g}"
            yield close(f"mean {what}", [m for m, _ in moments], rest, 1e-12, "linear response")
            yield close(f"variance {what}", [var for _, var in moments], (gains**2).sum(1), 1e-12, "linear response")
    draw, times = normal(generator(12)), [8, 5, 2, 0]
    half = noisy(ddim, denoiser, times, eta=0.5)
    x, (_, gains) = last(half(draw(np.zeros((100_000, 1))), draw)), response(half, 2)
    yield monte_carlo("variance of 100,000 samples, 3 steps, eta = 0.5", (gains[-1] ** 2).sum(), (x - x.mean()) ** 2)
    for eta in ETAS:
        watched = Watched(Wrong(SHORT), [])
        *_, before, end = ddim(watched, draw(np.zeros((5, 1))), times, draw, eta=eta)
        yield close(f"asked about the times themselves, eta = {eta:g}", watched.asked, times[:-1], 0, "count")
        yield close(f"the end is x_0-hat exactly, eta = {eta:g}", end.x_t, Wrong(SHORT)(before.x_t, 2).x_0, 0.0, "algebra")


@equation(
    "ddim", "16", "how much noise: from DDIM to DDPM", function="minidiff.ddim",
    formula=r"\sigma(\eta)=\eta\sqrt{\tfrac{1-\bar\alpha_s}{1-\bar\alpha_t}}\sqrt{1-\tfrac{\bar\alpha_t}{\bar\alpha_s}},\qquad"
    r"\hat\sigma=\sqrt{1-\tfrac{\bar\alpha_t}{\bar\alpha_s}}",
)  # fmt: skip
def noise_level() -> Iterator[Check]:
    """The noise a step adds, for all pairs; on a grid of 50 the beta-tilde of the respaced schedule; sigma-hat is DDPM's large one."""
    for eta in (0.3, 1.0):
        by_hand = [sigma(eta, s, t) for s, t in PAIRS]
        yield close(f"sigma, all 36 pairs, eta = {eta:g}", _added(SHORT, PAIRS, eta), by_hand, 1e-12, "algebra")
    linear, betas, zero = Schedule.linear(), np.linspace(1e-4, 0.02, 1000), np.zeros((1, 1))
    times = linear.times(50)
    pairs = [(s, t) for t, s in pairwise(times) if s > 0]
    respaced = np.array([1 - np.prod(1 - betas[s:t]) for s, t in pairs])  # the betas of the 50 steps
    kept = np.array([[np.prod(1 - betas[:t]) for t in pair] for pair in pairs])
    tilde = (1 - kept[:, 0]) / (1 - kept[:, 1]) * respaced
    ours, method = _added(linear, pairs, 1.0) ** 2, "products of alphas"
    yield close("eta = 1: sigma^2 is beta-tilde of each of 50 steps", ours, tilde, 1e-12, method, relative=True)
    ours = posterior_variance(linear, *np.array(pairs).T)
    yield close("posterior_variance of the pairs", ours, tilde, 1e-12, method, relative=True)
    pred = Prediction(zero, zero)
    hat = [reverse_transition(linear, pred, zero, s, t, "large").var for s, t in pairs]
    yield close("sigma-hat^2: the large variance of the pairs", hat, respaced, 1e-12, method, relative=True)
    room = [1 - ABAR[s] for s, _ in PAIRS]
    yield at_most("sigma(1)^2 <= 1 - abar_s: the root in Eq. 12 is real", _added(SHORT, PAIRS, 1.0) ** 2, room, 0.0, "all 36 pairs")
    larger = reverse_transition(SHORT, pred, zero, 1, 8, "large").var
    yield at_most("sigma-hat^2 need not: from 8 to 1 it is more", 1 - ABAR[1], larger, 0.0, "algebra")


def _added(schedule: Schedule, pairs: Sequence[tuple[int, int]], eta: float) -> Float:
    """What a draw of 1 adds in a step from t to s of each pair (s, t)."""
    zero = np.zeros((1, 1))
    return np.array([one_step(Told(schedule, 0.0), zero, s, t, eta)[1][0, 0] for s, t in pairs])
