"""DDIM, Eq. 13 to 15: its deterministic sampler as an ordinary differential equation, and the map that this equation makes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy import integrate, optimize, special

from minidiff import ExactDenoiser, Schedule, ddim, heun, invert, last
from minidiff.sample import ode_step
from minidiff.verify.registry import Check, close, equation, generator
from minidiff.verify.routes import ABAR, MEAN, MIXTURE, SHORT, VAR, Float, Wrong, column, gaussian_data, normal_log, vp


def component_laws(abar: float) -> tuple[Float, Float]:
    """Means and variances of the components of the noised mixture, by hand."""
    return np.sqrt(abar) * MIXTURE.means[:, 0], abar * MIXTURE.covs[:, 0, 0] + 1 - abar


def cdf(x: Float, abar: float) -> Float:
    """F_t: the distribution function of the noised mixture at points (B,)."""
    m, v = component_laws(abar)
    return np.asarray(special.ndtr((x[:, None] - m) / np.sqrt(v)) @ MIXTURE.weights)


def transport(x_t: Float, abar_t: float, abar_s: float) -> Float:
    """F_s^{-1}(F_t(x_t)), by root finding: in one dimension the flow keeps ranks, so this is where it takes x_t. No step size is in it."""
    levels = cdf(x_t, abar_t)
    found = [optimize.brentq(lambda x, p=p: cdf(np.array([x]), abar_s)[0] - p, -10, 10, xtol=1e-14) for p in levels]
    return np.asarray(found)


@equation(
    "ddim", "13", "a deterministic step is an Euler step in sigma", function="minidiff.sample.ode_step",
    formula=r"\frac{x_s}{\sqrt{\bar\alpha_s}}=\frac{x_t}{\sqrt{\bar\alpha_t}}+\Big(\sqrt{\tfrac{1-\bar\alpha_s}{\bar\alpha_s}}-\sqrt{\tfrac{1-\bar"
    r"\alpha_t}{\bar\alpha_t}}\Big)\epsilon_\theta(x_t,t)",
)  # fmt: skip
def euler_in_sigma() -> Iterator[Check]:
    """ode_step against Eq. 12 at eta = 0 (the sampler) and against Eq. 13 written out; there and back again."""
    x, denoiser = generator(13).standard_normal((9, 1)), Wrong(SHORT)
    pairs = [(s, t) for t in range(1, 9) for s in range(t)]
    ours = [ode_step(SHORT, x, denoiser(x, t).eps, t, s) for s, t in pairs]
    yield close("a step, all 36 pairs", ours, [last(ddim(denoiser, x, [t, s])) for s, t in pairs], 1e-12, "Eq. 12, eta = 0")
    ratio = np.sqrt((1 - ABAR) / ABAR)
    by_hand = [np.sqrt(ABAR[s]) * (x / np.sqrt(ABAR[t]) + (ratio[s] - ratio[t]) * 0.8 * np.sin(x)) for s, t in pairs]
    yield close("the same in x / sqrt(abar)", ours, by_hand, 1e-12, "algebra")
    back = [ode_step(SHORT, y, denoiser(x, t).eps, s, t) for y, (s, t) in zip(ours, pairs, strict=True)]
    yield close("back from s to t with the same eps", back, [x] * len(pairs), 1e-12, "algebra")


@equation(
    "ddim", "14", "the ODE, and the map it makes of noise and data", function="minidiff.invert",
    formula=r"d\bar x(\sigma)=\epsilon_\theta\Big(\frac{\bar x}{\sqrt{\sigma^2+1}}\Big)d\sigma,\quad\bar x=\frac{x}{\sqrt{\bar\alpha}},\ "
    r"\sigma=\sqrt{\tfrac{1-\bar\alpha}{\bar\alpha}},\qquad F_T(x_T)=F_0(x_0)",
)  # fmt: skip
def the_ode() -> Iterator[Check]:
    """A mixture, exact denoiser: the flow keeps ranks. Up by `invert`, down by `heun`, against cdfs and DOP853 with a score by hand."""
    schedule = vp(512)
    denoiser, top, low = ExactDenoiser(MIXTURE, schedule), schedule.alpha_bar[512], schedule.alpha_bar[32]
    x_0, x_T = np.array([-1.4, -0.6, 0.0, 0.7, 1.5]), np.linspace(-2, 2, 9)
    up = [last(invert(denoiser, column(x_0), range(512, -1, -k)))[:, 0] for k in (4, 2, 1)]
    errors = [np.abs(cdf(x, top) - cdf(x_0, 1.0)).max() for x in up]
    ratios = [errors[0] / errors[1], errors[1] / errors[2]]
    yield close("invert: error at 128 and 256 steps over that at twice as many", [4.0, 4.0], ratios, 0.15, "cdf of the mixture")
    code = (4 * up[2] - up[1]) / 3  # the second-order error cancels
    yield close("invert: F_T(x_T) = F_0(x_0)", cdf(x_0, 1.0), cdf(code, top), 1e-7, "cdf of the mixture")
    path = integrate.solve_ivp(_velocity, (0, np.sqrt((1 - top) / top)), x_0, "DOP853", rtol=1e-10, atol=1e-12)
    far = np.sqrt(top) * path.y[:, -1]
    yield close("invert: x_T", code, far, 1e-6, "DOP853, score by hand")
    yield close("DOP853 keeps ranks too: x_T", transport(x_0, 1.0, top), far, 1e-8, "monotone transport")
    down = [last(heun(denoiser, column(x_T), range(512, 31, -k)))[:, 0] for k in (2, 1)]
    near = (4 * down[1] - down[0]) / 3
    yield close("heun from T to T / 16: F_t(x_t) = F_T(x_T)", cdf(x_T, top), cdf(near, low), 1e-7, "cdf of the mixture")
    yield close("heun: x_t", near, transport(x_T, top, low), 1e-6, "monotone transport")


def _velocity(sigma: float, y: Float) -> Float:
    """The right side of Eq. 14 with eps = -noise * score, the score of the mixture written out."""
    abar = 1 / (1 + sigma**2)
    m, v = component_laws(abar)
    x = np.sqrt(abar) * y[:, None]
    p = MIXTURE.weights * np.exp(normal_log(x, m, v))
    return np.asarray(np.sqrt(1 - abar) * (p * (x - m) / v).sum(1) / p.sum(1))


@equation(
    "ddim", "15", "the other Euler step: in sigma squared", function="minidiff.sample.ode_step",
    source="DDIM, Eq. 15 (numbering unconfirmed)",
    formula=r"\frac{x_s}{\sqrt{\bar\alpha_s}}=\frac{x_t}{\sqrt{\bar\alpha_t}}+\frac12(\sigma_s^2-\sigma_t^2)\frac{1}{\sigma_t}\epsilon_\theta(x_t,t),"
    r"\quad\text{which is Eq. 13 plus}\ \frac{(\sigma_s-\sigma_t)^2}{2\sigma_t}\epsilon_\theta",
)  # fmt: skip
def euler_in_variance() -> Iterator[Check]:
    """The step written out against ode_step: their gap, its order, and which of the two errs less on Gaussian data."""
    schedule = vp(4096)
    t, x = 2048, generator(15).standard_normal((9, 1))
    eps = ExactDenoiser(MIXTURE, schedule)(x, t).eps
    steps = [(s, _both_steps(schedule, x, eps, s, t)) for s in (t - 256, t - 128, t - 64, t - 32)]
    sigma = np.sqrt(1 / schedule.alpha_bar - 1)
    gaps = [other - plain for _, (plain, other) in steps]
    closed = [(sigma[s] - sigma[t]) ** 2 / (2 * sigma[t]) * eps for s, _ in steps]
    yield close("Eq. 15 minus Eq. 13, steps of 256 to 32 of 4096", gaps, closed, 1e-12, "algebra")
    a, b, c = (one / two for one, two in pairwise(gaps))
    yield close("gap over that of half the step, as steps shrink", 4.0, (8 * c - 6 * b + a) / 3, 1e-2, "Richardson")
    for t in (256, 1024):
        ratios = []
        for s in (t - 8, t - 4):
            eps = ExactDenoiser(gaussian_data(), schedule)(x, t).eps
            flow = MEAN + (x / np.sqrt(schedule.alpha_bar[t]) - MEAN) * np.sqrt((VAR + sigma[s] ** 2) / (VAR + sigma[t] ** 2))
            first, second = (step - flow for step in _both_steps(schedule, x, eps, s, t))
            ratios.append(second / first)
        closed = -(sigma[t] ** 2) / VAR  # Eq. 13 is the better one where there is more noise than spread of the data, Eq. 15 below
        what = f"Gaussian data: error of Eq. 15 over that of Eq. 13, sigma = {sigma[t]:.2f}"
        yield close(what, closed, 2 * ratios[1] - ratios[0], 1e-3, "exact flow")


def _both_steps(schedule: Schedule, x: Float, eps: Float, s: int, t: int) -> tuple[Float, Float]:
    """x_s / signal_s by Eq. 13, from the library, and by Eq. 15, written out."""
    a_s, a_t = schedule.alpha_bar[[s, t]]
    other = x / np.sqrt(a_t) + 0.5 * ((1 - a_s) / a_s - (1 - a_t) / a_t) * np.sqrt(a_t / (1 - a_t)) * eps
    return np.asarray(ode_step(schedule, x, eps, t, s) / np.sqrt(a_s)), np.asarray(other)
