"""Fast samplers: orders of convergence, DPM-Solver++(2M), Heun, and the exact recursions of every sampler on Gaussian data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from minidiff import ExactDenoiser, Schedule, Step, ddim, ddpm, dpm_solver, heun, last
from minidiff.arrays import Draw
from minidiff.verify.ddim_ode import transport
from minidiff.verify.probes import Says, Told, Watched, noisy, quiet, response
from minidiff.verify.registry import Check, close, equation, generator
from minidiff.verify.routes import ABAR, MEAN, MIXTURE, SHORT, VAR, Float, Wrong, column, gaussian_data, vp

UNEVEN = [8, 7, 4, 3, 1, 0]  # steps whose h differ by much
RATIO = np.sqrt((1 - ABAR) / ABAR)  # sigma_t = noise / signal


def even(T: int, end: int, n: int) -> list[int]:
    """n steps from T to end."""
    return [int(t) for t in np.round(np.linspace(T, end, n + 1))]


@equation(
    "solvers", "2M", "DPM-Solver++, multistep, of second order", function="minidiff.dpm_solver",
    source="DPM-Solver++, Lu et al. 2022, Algorithm 2",
    formula=r"x_s=\frac{\sigma_s}{\sigma_t}x_t-\alpha_s(e^{-h}-1)D,\quad D=\Big(1+\frac1{2r}\Big)\hat x_0(x_t)-\frac1{2r}\hat x_0(x_u),"
    r"\quad h=\lambda_s-\lambda_t,\ r=\frac{\lambda_t-\lambda_u}{h}",
)  # fmt: skip
def multistep() -> Iterator[Check]:
    """Order 1 is DDIM; which x_0-hat a step of order 2 takes, on uneven steps; the first and the last step; where it is exact."""
    x, denoiser = column(np.linspace(-1.5, 2.5, 9)), ExactDenoiser(MIXTURE, SHORT)
    for times in (SHORT.times(8), UNEVEN):
        ours, other = ([step.x_t for step in s] for s in (dpm_solver(denoiser, x, times, order=1), ddim(denoiser, x, times)))
        yield close(f"order 1: all of the way, {len(times) - 1} steps", ours, other, 1e-12, "DDIM, eta = 0")
    lam = -np.log(RATIO[1:])  # lambda_t, t = 1..8; infinite at 0
    line = Says(SHORT, "x_0", lambda x, t: 0 * x + 0.4 - 0.3 * lam[t - 1])
    path = [step.x_t for step in dpm_solver(line, x, UNEVEN)]
    for i, (t, s) in enumerate(pairwise(UNEVEN)):
        kept = np.sqrt((1 - ABAR[s]) / (1 - ABAR[t]))  # e^{-h} is this times sqrt(abar_t / abar_s)
        used = (path[i + 1] - kept * path[i]) / (np.sqrt(ABAR[s]) - kept * np.sqrt(ABAR[t]))
        where = lam[t - 1] if i == 0 or s == 0 else (lam[t - 1] + lam[s - 1]) / 2
        which = "at the start (order 1)" if i == 0 or s == 0 else "in the middle"
        yield close(f"x_0-hat on a line in lambda: {t} to {s} takes it {which}", 0.4 - 0.3 * where, used, 1e-12, "straight line")
    for order in (1, 2):
        ends = [step.x_t for step in dpm_solver(Told(SHORT, 0.7), x, UNEVEN, order=order)]
        exact = [np.sqrt(ABAR[t]) * 0.7 + np.sqrt((1 - ABAR[t]) / (1 - ABAR[8])) * (x - np.sqrt(ABAR[8]) * 0.7) for t in UNEVEN]
        yield close(f"one point as data: exact at any steps, order {order}", ends, exact, 1e-12, "straight rays")
    watched = Watched(denoiser, [])
    *_, before, end = dpm_solver(watched, x, UNEVEN)
    yield close("asked once a step, about the times themselves", watched.asked, UNEVEN[:-1], 0, "count")
    yield close("the end is x_0-hat", end.x_t, denoiser(before.x_t, 1).x_0, 1e-14, "algebra")


@equation(
    "solvers", "Heun", "Heun's rule for the ODE, of second order", function="minidiff.heun", source="Karras et al. 2022, Algorithm 1",
    formula=r"\bar x_s=\bar x_t+(\sigma_s-\sigma_t)\tfrac12\big[\epsilon_\theta(x_t,t)+\epsilon_\theta(x_s',s)\big],\quad \bar x_s'="
    r"\bar x_t+(\sigma_s-\sigma_t)\epsilon_\theta(x_t,t)",
)  # fmt: skip
def two_calls() -> Iterator[Check]:
    """Exact where eps is linear in sigma; two terms of the exponential where it is linear in x; the times asked about; the end."""
    x = column(np.linspace(-1.5, 2.5, 9))
    line = Says(SHORT, "eps", lambda x, t: 0 * x + 0.4 - 0.3 * RATIO[t])
    ours = [step.x_t for step in heun(line, x, UNEVEN[:-1])]
    moved = [0.4 * (RATIO[t] - RATIO[8]) - 0.15 * (RATIO[t] ** 2 - RATIO[8] ** 2) for t in UNEVEN[:-1]]  # the integral of eps
    exact = [np.sqrt(ABAR[t]) * (x / np.sqrt(ABAR[8]) + m) for t, m in zip(UNEVEN, moved, strict=False)]
    yield close("eps on a line in sigma: exact at any steps", ours, exact, 1e-12, "integral of a line")
    linear = Says(SHORT, "eps", lambda x, t: 0.7 * x / np.sqrt(ABAR[t]))
    for t, s in ((8, 7), (4, 1)):
        step = (RATIO[s] - RATIO[t]) * 0.7
        one = last(heun(linear, x, [t, s])) / np.sqrt(ABAR[s])
        yield close(f"eps = 0.7 x / signal, {t} to {s}", one, (1 + step + step**2 / 2) * x / np.sqrt(ABAR[t]), 1e-12, "power series of exp")
    watched = Watched(Wrong(SHORT), [])
    *_, before, end = heun(watched, x, UNEVEN)
    asked = [t for pair in pairwise(UNEVEN) for t in pair][:-1]
    yield close("asked at both ends of a step, once on the last", watched.asked, asked, 0, "count")
    yield close("the end is x_0-hat", end.x_t, Wrong(SHORT)(before.x_t, 1).x_0, 1e-14, "algebra")


@equation(
    "solvers", "order", "how fast the error falls with the number of steps", function="minidiff.dpm_solver",
    formula=r"\max|x^{(n)}-x|\sim n^{-p},\quad p=1\ \text{(DDIM)},\ 2\ \text{(DPM-Solver++ 2M)},\ 2\ \text{(Heun)}",
)  # fmt: skip
def orders() -> Iterator[Check]:
    """A mixture from T to T / 16, in 30 to 240 even steps, against its monotone transport: slopes of log error over log n."""
    schedule, x = vp(4096), np.linspace(-1.5, 2.5, 9)
    denoiser, exact = ExactDenoiser(MIXTURE, schedule), transport(x, *schedule.alpha_bar[[4096, 256]])
    n = np.array([30, 60, 120, 240])
    for name, order, sampler in (("DDIM", 1, ddim), ("2M", 2, dpm_solver), ("Heun", 2, heun)):
        ends = [last(sampler(denoiser, column(x), even(4096, 256, k)))[:, 0] for k in n]
        slope, _ = np.polyfit(np.log(n), np.log([np.abs(end - exact).max() for end in ends]), 1)
        yield close(f"order of {name}", order, -slope, 0.15, "monotone transport")


@equation(
    "solvers", "B7", "every sampler on Gaussian data is a linear map", function="minidiff.heun",
    formula=r"x_0=m+\frac{s}{\sqrt{v_T}}(x_T-\sqrt{\bar\alpha_T}m)\ \text{(the flow)},\quad\text{DDIM: the same slope}\times\prod"
    r"\cos(\theta_t-\theta_s),\ \tan\theta_t=\frac{\sqrt{1-\bar\alpha_t}}{s\sqrt{\bar\alpha_t}}",
)  # fmt: skip
def linear_maps() -> Iterator[Check]:
    """Slope and intercept of each sampler, by running it, against products written out; and what each becomes with many steps."""
    denoiser, v = ExactDenoiser(gaussian_data(), SHORT), ABAR * VAR + 1 - ABAR
    for times in (SHORT.times(8), UNEVEN):
        for name, sampler, slope in (("DDIM", ddim, _cosines), ("2M", dpm_solver, _companion), ("Heun", heun, _two_rates)):
            rest, gains = response(quiet(sampler, denoiser, times), 0)
            closed = slope(times)
            both = [closed, MEAN - closed * np.sqrt(ABAR[8]) * MEAN], [gains[-1, 0], rest[-1]]
            yield close(f"{name}: slope and intercept, {len(times) - 1} steps", *both, 1e-12, "linear response")
        for kind in ("small", "large"):
            rest, gains = response(noisy(ddpm, denoiser, times, variance=kind), len(times) - 2)
            moments = (0.0, 1.0)
            for t, s in pairwise(times):
                gain, beta = np.sqrt(ABAR[t] / ABAR[s]) * v[s] / v[t], 1 - ABAR[t] / ABAR[s]
                noise = 0.0 if s == 0 else beta * ((1 - ABAR[s]) / (1 - ABAR[t]) if kind == "small" else 1.0)
                moments = np.sqrt(ABAR[s]) * MEAN + gain * (moments[0] - np.sqrt(ABAR[t]) * MEAN), gain**2 * moments[1] + noise
            ours = [rest[-1], (gains[-1] ** 2).sum()]
            yield close(f"ancestral, {kind} variance: mean and variance, {len(times) - 1} steps", moments, ours, 1e-12, "linear response")
    schedule = vp(4096)
    v_T, v_t = (a * VAR + 1 - a for a in schedule.alpha_bar[[4096, 256]])
    many, grids = ExactDenoiser(gaussian_data(), schedule), [even(4096, 256, n) for n in (64, 128, 256)]
    for name, sampler, order in (("DDIM", ddim, 1), ("2M", dpm_solver, 2), ("Heun", heun, 2)):
        slopes = [response(quiet(sampler, many, times), 0)[1][-1, 0] for times in grids]
        yield close(f"{name}, steps to infinity: the slope of the flow", np.sqrt(v_t / v_T), _limit(slopes, order), 1e-5, "Richardson")
    for kind in ("small", "large"):
        ends = [response(noisy(ddpm, many, times, variance=kind), len(times) - 1)[1][-1] for times in grids]
        var = _limit([float((end**2).sum()) for end in ends], 1)
        yield close(f"ancestral, {kind} variance, steps to infinity: Var[x_t]", v_t, var, 1e-4, "Richardson")


def _limit(values: list[float], order: int) -> float:
    """The limit of values at n, 2n and 4n steps, whose errors have a term in n^-order and one in n^-(order + 1)."""
    a, b = ((2**order * two - one) / (2**order - 1) for one, two in pairwise(values))
    return (2 ** (order + 1) * b - a) / (2 ** (order + 1) - 1)


def _cosines(times: list[int]) -> float:
    """Slope of DDIM: that of the flow times cos(theta_t - theta_s) of each step, so few steps always give too little variance."""
    theta = np.arctan2(np.sqrt(1 - ABAR[times]), np.sqrt(VAR * ABAR[times]))
    return float(np.sqrt(VAR / (ABAR[8] * VAR + 1 - ABAR[8])) * np.prod(np.cos(np.diff(theta))))


def _companion(times: list[int]) -> float:
    """Slope of 2M: the product of its 2 x 2 matrices on (x_t, x_0-hat of the step before), both minus their values on the mean path."""
    state, before = np.array([1.0, 0.0]), None
    for t, s in pairwise(times):
        b = np.sqrt(ABAR[t]) * VAR / (ABAR[t] * VAR + 1 - ABAR[t])  # slope of x_0-hat
        kept = np.sqrt((1 - ABAR[s]) / (1 - ABAR[t]))
        c = np.sqrt(ABAR[s]) - kept * np.sqrt(ABAR[t])
        h = np.log(RATIO[t] / RATIO[s]) if s > 0 else np.inf
        w = 0.0 if before is None or s == 0 else 1 / (2 * before / h)
        state, before = np.array([[kept + c * (1 + w) * b, -c * w], [b, 0.0]]) @ state, h
    return float(state[0])


def _two_rates(times: list[int]) -> float:
    """Slope of Heun's rule for d(y - m) = k (y - m) d sigma, k = sigma / (s^2 + sigma^2), y = x / signal."""
    product = 1 / np.sqrt(ABAR[times[0]])
    for t, s in pairwise(times):
        (k_t, k_s), h = (RATIO[i] / (VAR + RATIO[i] ** 2) for i in (t, s)), RATIO[s] - RATIO[t]
        product *= 1 + h * k_t if s == 0 else 1 + h / 2 * (k_t + k_s * (1 + h * k_t))
    return float(product)


@equation(
    "solvers", "strided", "skipping times: fewer steps of the same process", function="minidiff.ddpm",
    source="Improved DDPM, Nichol & Dhariwal 2021, Eq. 19",
    formula=r"\beta_{S_i}=1-\frac{\bar\alpha_{S_i}}{\bar\alpha_{S_{i-1}}},\quad\tilde\beta_{S_i}=\frac{1-\bar\alpha_{S_{i-1}}}{1-\bar\alpha_{S_i}}"
    r"\beta_{S_i},\quad\epsilon_\theta(x,S_i)",
)  # fmt: skip
def strided() -> Iterator[Check]:
    """Skipping times against a schedule of its own with these betas, whose network is told the old times; exact kernels at any stride."""
    n, x = len(UNEVEN) - 1, column(np.linspace(-1.5, 2.5, 9))
    old = np.array(UNEVEN[::-1])  # old time of each new one, 0..n
    respaced = Schedule.from_betas(1 - ABAR[old[1:]] / ABAR[old[:-1]])
    yield close("alpha_bar of the respaced schedule", respaced.alpha_bar, ABAR[old], 1e-12, "products of alphas")
    here = Says(SHORT, "eps", lambda x, t: 0.8 * np.sin(x + 0.1 * t))
    there = Says(respaced, "eps", lambda x, i: 0.8 * np.sin(x + 0.1 * old[i]))
    z = generator(41).standard_normal((n, 9, 1))
    for kind in ("small", "large"):
        ours, other = (_path(ddpm(d, x, g, _played(z), variance=kind)) for d, g in ((here, UNEVEN), (there, range(n, -1, -1))))
        yield close(f"ancestral, {kind} variance: all of the way", ours, other, 1e-12, "respaced schedule")
    for name, sampler in (("DDIM", ddim), ("2M", dpm_solver), ("Heun", heun)):
        ours, other = (_path(sampler(d, x, g)) for d, g in ((here, UNEVEN), (there, range(n, -1, -1))))
        yield close(f"{name}: all of the way", ours, other, 1e-12, "respaced schedule")
    ours, other = (_path(ddim(d, x, g, _played(z), eta=0.5)) for d, g in ((here, UNEVEN), (there, range(n, -1, -1))))
    yield close("DDIM, eta = 0.5: all of the way", ours, other, 1e-12, "respaced schedule")
    watched = Watched(here, [])
    last(ddpm(watched, x, UNEVEN, _played(z)))
    yield close("the network is told the old times", watched.asked, UNEVEN[:-1], 0, "count")

    v, kernel = ABAR * VAR + 1 - ABAR, np.zeros(9)
    for t, s in pairwise(UNEVEN):
        kernel[t] = (1 - ABAR[t] / ABAR[s]) * v[s] / v[t]
    _, gains = response(noisy(ddpm, ExactDenoiser(gaussian_data(), SHORT), UNEVEN, variance=kernel), n - 1)
    var = gains[:, 0] ** 2 * v[8] + (gains[:, 1:] ** 2).sum(1)
    exact = [*v[UNEVEN[:-1]], ABAR[1] * VAR**2 / v[1]]  # the end is E[x_0 | x_1]
    yield close("Gaussian data, start and kernels true: Var[x_t], any stride", exact, var, 1e-12, "law of x_t")


def _path(steps: Iterator[Step]) -> Float:
    return np.array([step.x_t for step in steps])


def _played(noises: Float) -> Draw:
    """A draw that plays these noises one after another."""
    left = iter(noises)
    return lambda _: next(left)
