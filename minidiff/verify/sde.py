"""The probability-flow ODE: continuity, exact likelihood, the stochastic divergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product as every
from typing import Any

import numpy as np
from scipy import optimize, special

from minidiff import ClassDenoiser, Denoiser, ExactDenoiser, GaussianMixture, Guided, Label, Schedule, invert, last
from minidiff.arrays import slope_along
from minidiff.likelihood import exact_divergence, flow_log_prob, hutchinson, richardson
from minidiff.sample import ode_step
from minidiff.verify.mixture import PLANE
from minidiff.verify.registry import Check, close, equation, generator, monte_carlo
from minidiff.verify.routes import (
    ABAR,
    MEAN,
    MIXTURE,
    SHORT,
    VAR,
    Float,
    column,
    gaussian_data,
    grid,
    hermite,
    linear,
    mixture_log,
    normal_log,
    product,
    vp,
)
from minidiff.verify.score import SPACE, noised, torch_density

POINTS = column([-1.6, -0.4, 0.1, 0.9, 1.6])
PLANE_POINTS = np.array([[0.3, -0.2], [-1.0, 0.6], [0.4, 1.1]])


def exact_prior(mixture: GaussianMixture, schedule: Schedule) -> Callable[[Float], Float]:
    """log q_T: what is at the end of the ODE if it starts from the data."""
    signal, noise = schedule.scales(schedule.T)
    return mixture.push(float(signal), float(noise) ** 2).log_prob


def drift(denoiser: Denoiser, x: Float, t: int) -> Float:
    """dx/du of the package's ODE at u = t / T: a central difference of one `ode_step` up and one down."""
    s, eps = denoiser.schedule, denoiser(x, t).eps
    up, down = ode_step(s, x, eps, t, t + 1), ode_step(s, x, eps, t, t - 1)
    return np.asarray((up - down) * s.T / 2)


def log_density(mixture: GaussianMixture, x: Float, u: float, later: float = 0.0) -> Float:
    """log q(x, u + later) on the schedule of `vp`, in real time."""
    u = u + later
    abar = float(np.exp(-0.1 * u - 9.95 * u**2))
    return mixture.push(abar**0.5, 1 - abar).log_prob(x) if mixture.dims > 1 else mixture_log(x[:, 0], abar, mixture)


def difference(f: Callable[[float], Float], h: float = 1e-3) -> Float:
    """f'(0) to fourth order."""
    return np.asarray((8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h))


def gradient(x: Float, u: float, mixture: GaussianMixture) -> Float:
    """grad log q(x, u) by differences, (B, D)."""

    def along(e: Float, h: float) -> Float:
        return log_density(mixture, x + h * e, u)

    return np.stack([difference(partial(along, e)) for e in np.eye(mixture.dims)], 1)


@equation(
    "sde", "13", "the probability-flow ODE", function="minidiff.sample.ode_step",
    formula=r"\frac{dx}{du}=-\tfrac12\beta(u)\big(x+\nabla\log q(x,u)\big)=f,\qquad\partial_uq=-\nabla\cdot(qf)",
)  # fmt: skip
def flow() -> Iterator[Check]:
    """The drift of ode_step against the score; it carries q(x_s) to q(x_t) (continuity); invert against the map between Gaussians."""
    T, fine = 20_000, vp(20_000)
    for mixture, x in ((MIXTURE, POINTS), (PLANE, PLANE_POINTS)):
        for u in (0.1, 0.35, 0.8):
            denoiser, D = ExactDenoiser(mixture, fine), mixture.dims
            ours, score = drift(denoiser, x, round(u * T)), gradient(x, u, mixture)
            paper = -0.5 * (0.1 + 19.9 * u) * (x + score)
            yield close(f"drift, {D}-D, u = {u}", paper, ours, 1e-6, "finite differences")
            div = exact_divergence(partial(drift, denoiser, t=round(u * T)), x)
            flux, change = -div - (ours * score).sum(1), difference(partial(log_density, mixture, x, u))
            yield close(f"d log q / du = -div f - f grad log q, {D}-D, u = {u}", flux, change, 1e-5, "finite differences")
    s, x = vp(400), column([-0.6, 0.1, 0.8, 2.0])
    codes = [last(invert(ExactDenoiser(gaussian_data(), s), x, s.times(n))) for n in (200, 400)]
    abar = s.alpha_bar[-1]
    closed = np.sqrt(abar) * MEAN + np.sqrt(abar * VAR + 1 - abar) * (x - MEAN) / np.sqrt(VAR)
    yield close("code of Gaussian data: the affine map of N(m, s^2) to q(x_T)", closed, (4 * codes[1] - codes[0]) / 3, 5e-6, "Richardson")


def _code(x_0: float, abar: float) -> float:
    """x_T on the trajectory of x_0 in one dimension: the ODE keeps ranks, so F_T(x_T) = F_0(x_0)."""

    def rank(x: float, abar: float) -> float:
        z = (x - np.sqrt(abar) * MIXTURE.means[:, 0]) / np.sqrt(abar * MIXTURE.covs[:, 0, 0] + 1 - abar)
        return float(MIXTURE.weights @ special.ndtr(z))

    return float(optimize.brentq(lambda x: rank(x, abar) - rank(x_0, 1.0), -9, 9, xtol=1e-13))


@equation(
    "sde", "39", "exact log-likelihood by the ODE", function="minidiff.likelihood.flow_log_prob",
    formula=r"\log p_0(x_0)=\log p_T(x_T)+\int_0^T\nabla\cdot\tilde f(x_t,t)\,dt",
)  # fmt: skip
def likelihood() -> Iterator[Check]:
    """Densities of mixtures, from the exact prior; the error of N(0, I) as a prior; the density of any flow integrates to 1."""
    cases = ((MIXTURE, POINTS, linear(1000)), (PLANE, PLANE_POINTS, linear(500)), (MIXTURE, POINTS, Schedule.cosine(500)))
    for mixture, x, schedule in cases:
        estimate = partial(_estimate, ExactDenoiser(mixture, schedule), x, exact_prior(mixture, schedule))
        name = "cosine" if schedule.beta[-1] > 0.9 else "linear"
        what = f"log p(x_0), {mixture.dims}-D, {name} schedule, {schedule.T} and {schedule.T // 2} steps"
        yield close(what, mixture.log_prob(x), richardson(estimate, schedule.times(schedule.T)), 1e-6, "ODE")
    errors = []
    for s in (vp(100), vp(200)):
        ours = flow_log_prob(ExactDenoiser(MIXTURE, s), POINTS, prior=exact_prior(MIXTURE, s))
        errors.append(np.abs(ours - MIXTURE.log_prob(POINTS)).sum())
    yield close("second order: the error falls fourfold when steps are halved", 4.0, errors[0] / errors[1], 0.15, "ODE")
    short = Schedule(vp(1000).alpha_bar[:401])  # ends at alpha_bar = 0.2: x_T still knows the data, and N(0, I) is not its law
    abar = short.alpha_bar[-1]
    x_T = np.array([_code(float(x), float(abar)) for x in POINTS[:, 0]])
    mismatch = normal_log(x_T, 0.0, 1.0) - mixture_log(x_T, abar)
    ours = richardson(lambda times: flow_log_prob(ExactDenoiser(MIXTURE, short), POINTS, times=times), short.times(400))
    what = "with N(0, I) as prior: off by the mismatch at x_T, alpha_bar_T = 0.2"
    yield close(what, mismatch, ours - MIXTURE.log_prob(POINTS), 1e-6, "quantiles")
    x, dx = grid(-4.5, 4.5, 181)
    guided = Guided(ClassDenoiser((MIXTURE, gaussian_data()), [0.5, 0.5], short), 2.5)  # its eps is the score of no noised density
    whole = richardson(lambda times: flow_log_prob(guided, column(x), times=times, cond=Label(1)), short.times(200))
    yield close("a guided model: whatever the field, the density integrates to 1", 1.0, np.exp(whole) @ dx, 1e-6, "quadrature")


def _estimate(denoiser: Denoiser, x: Float, prior: Callable[[Float], Float], times: Sequence[int]) -> Float:
    return np.asarray(flow_log_prob(denoiser, x, prior=prior, times=times))


@equation(
    "sde", "40", "the divergence from one random direction", function="minidiff.likelihood.hutchinson",
    source="Hutchinson 1990; Song et al. 2021, Eq. 40",
    formula=r"\nabla\cdot f=\mathbb E_z\big[z^\top(\partial f/\partial x)\,z\big],\qquad\mathbb E[zz^\top]=I",
)  # fmt: skip
def stochastic_divergence() -> Iterator[Check]:
    """All sign vectors, and Gauss-Hermite nodes: mean and variance exactly; random z within 5 SE; then the likelihood itself."""
    import torch

    rng, t = generator(40), 5
    denoiser, x = ExactDenoiser(SPACE, SHORT), noised(SPACE, t, 1, rng)

    def eps(at: Any) -> Any:
        return denoiser(at, t).eps

    density = torch_density(SPACE, float(ABAR[t])).log_prob
    J = -np.sqrt(1 - ABAR[t]) * torch.autograd.functional.hessian(density, torch.from_numpy(x[0])).numpy()
    trace, off = np.trace(J), (J**2).sum() - (np.diag(J) ** 2).sum()
    yield close("exact_divergence, 3-D", trace, exact_divergence(eps, x)[0], 1e-9, "autograd")
    signs = np.array(list(every((-1.0, 1.0), repeat=3)))
    nodes, w = product(*[hermite(5)] * 3)
    for name, z, mass, spread in (("signs", signs, np.full(8, 1 / 8), 2 * off), ("normal z", np.hstack(nodes), w, 2 * (J**2).sum())):
        f = hutchinson(z)(eps, np.repeat(x, len(z), 0))
        yield close(f"{name}: the mean is the divergence", trace, mass @ f, 1e-8, "enumeration")
        yield close(f"{name}: the variance, 2 sum of J_ij^2 (signs: only i != j)", spread, mass @ (f - trace) ** 2, 1e-7, "enumeration")
    at = np.repeat(x, 20_000, 0)
    for name, z in (("signs", rng.choice([-1.0, 1.0], at.shape)), ("normal z", rng.standard_normal(at.shape))):
        yield monte_carlo(f"{name}: mean of 20,000 estimates", trace, hutchinson(z)(eps, at))
    z = rng.standard_normal((7, 3))
    seven = noised(SPACE, t, 7, rng)
    tensor = slope_along(eps, torch.from_numpy(seven), torch.from_numpy(z)).numpy()
    yield close("z^T J z: torch's autograd and NumPy's differences", tensor, slope_along(eps, seven, z), 1e-8, "torch float64")
    yield from _with_signs(rng)


def _with_signs(rng: np.random.Generator) -> Iterator[Check]:
    """The likelihood with one z for the whole trajectory: without error in one dimension, without bias in two."""
    import torch

    s = linear(100)
    z = rng.choice([-1.0, 1.0], POINTS.shape)
    exact, one = (flow_log_prob(ExactDenoiser(MIXTURE, s), POINTS, div) for div in (exact_divergence, hutchinson(z)))
    yield close("log p(x_0), 1-D, one sign for each example: no variance at all", exact, one, 1e-9, "ODE")
    plane = ExactDenoiser(PLANE, s)
    exact = flow_log_prob(plane, PLANE_POINTS)
    mean = np.mean([flow_log_prob(plane, PLANE_POINTS, hutchinson(np.tile(z, (3, 1)))) for z in every((-1.0, 1.0), repeat=2)], 0)
    yield close("log p(x_0), 2-D: the mean over all signs", exact, mean, 1e-9, "enumeration")
    tensor = flow_log_prob(plane, torch.from_numpy(PLANE_POINTS))
    yield close("log p(x_0), 2-D, torch", exact, tensor.numpy(), 1e-8, "torch float64")
