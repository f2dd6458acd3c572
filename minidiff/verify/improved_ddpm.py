"""Improved DDPM: the learned range of variances and its optimum, the cosine schedule, and grids of fewer times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import optimize

from minidiff import (
    Denoiser,
    ExactDenoiser,
    Prediction,
    Schedule,
    ddim,
    ddpm,
    density_term,
    heun,
    last,
    marginal,
    optimal_variance,
    posterior,
    reverse_transition,
    step_term,
    variational_bound,
)
from minidiff.verify.mixture_bound import bayes_mmse
from minidiff.verify.registry import Check, at_most, close, equation, generator
from minidiff.verify.routes import (
    ABAR,
    BETAS,
    MIXTURE,
    SHORT,
    VAR,
    Float,
    Wrong,
    column,
    expected_steps,
    grid,
    mixture_grid,
    mixture_log,
    normal_grid,
    normal_log,
    product,
)


@equation(
    "improved_ddpm", "15", "learned variances: a mixture of logarithms", function="minidiff.reverse_transition",
    formula=r"\Sigma_\theta=\exp\big(v\log\beta_t+(1-v)\log\tilde\beta_t\big)",
)  # fmt: skip
def learned_variance() -> Iterator[Check]:
    """Both ends of the range, and the v that is best for Gaussian data against a numerical minimum of the bound's term."""
    x = column([0.3, -0.8])
    ends = [reverse_transition(SHORT, Prediction(x, x, 0 * x + end), x, 4, 5, "learned").var for end in (-1.0, 1.0)]
    small, large = BETAS[4] * (1 - ABAR[4]) / (1 - ABAR[5]), BETAS[4]
    yield close("v = 0 and v = 1: the small and the large variance", [e[0, 0] for e in ends], [small, large], 1e-14, "algebra")
    fill = Prediction(column(np.zeros(3)), column(np.zeros(3)), column([0.0, -3.0, 2.0]))  # v = 1/2, -1, 3/2
    inside = reverse_transition(SHORT, fill, column(np.zeros(3)), 4, 5, "learned").var[:, 0]
    means = [np.sqrt(small * large), small**2 / large, np.sqrt(large / small) * large]
    yield close("v = 1/2, -1 and 3/2: the geometric mean, and beyond both ends", inside, means, 1e-14, "algebra")
    for var in (VAR, 4.0):
        v = ABAR * var + 1 - ABAR
        mmse = var * (1 - ABAR) / v
        best = np.log(large * v[4] / v[5] / small) / np.log(large / small)  # above 1 for data wider than N(0, 1): no clamp
        found = optimize.minimize_scalar(lambda u, m=mmse: expected_steps(SHORT, m, _table(u))[3], bounds=(-1, 4), method="bounded").x
        fill = Prediction(x, x, np.full_like(x, 2 * best - 1))
        ours = reverse_transition(SHORT, fill, x, 4, 5, "learned").var[0, 0]
        yield close(f"the best variance for data of variance {var:g}, t = 5", ours, _table(found)[5], 1e-5, "optimiser")


def _table(v: float) -> np.ndarray:
    small = BETAS[4] * (1 - ABAR[4]) / (1 - ABAR[5])
    return np.full(9, BETAS[4] ** v * small ** (1 - v))


@equation(
    "improved_ddpm", "15 optimum", "the best learned variance of mixtures", function="minidiff.optimal_variance",
    source="Improved DDPM, Eq. 15, with Bao et al. 2022 (Analytic-DPM), Eq. 7 (numbering unconfirmed)",
    formula=r"\min_v\mathbb E[L_{t-1}]:\ \ \beta_t^v\tilde\beta_t^{1-v}=\tilde\beta_t+c_{0,t}^2\,\mathbb E\,\mathrm{Var}[x_0\mid x_t]",
)  # fmt: skip
def learned_optimum() -> Iterator[Check]:
    """A numerical minimum over v of the bound's terms against the table of `optimal_variance`; at one x_t, against Bayes' rule."""
    table = optimal_variance(SHORT, [0.0, *(bayes_mmse(ABAR[t]) for t in range(1, 9))])
    (x_0, eps), w = product(mixture_grid(), normal_grid())
    for t in (1, 2, 5, 8):
        x_t = marginal(SHORT, x_0, t).sample(eps)
        best = _best_variance(ExactDenoiser(MIXTURE, SHORT)(x_t, t), x_0, x_t, w, t)
        yield close(f"best variance of one v for all x_t, t = {t}", table[t], best, 1e-6, "optimiser")
    (x_0, _), t, spread = mixture_grid(), 5, []
    for x in (-1.2, 0.1, 1.4):
        w = np.exp(mixture_log(x_0, 1.0) + normal_log(x, np.sqrt(ABAR[t]) * x_0, 1 - ABAR[t]))
        at = np.full((len(x_0), 1), x)
        best = _best_variance(ExactDenoiser(MIXTURE, SHORT)(at, t), column(x_0), at, w / w.sum(), t)
        spread.append(_kernel_variance(x, t))
        yield close(f"best variance of a v for x_{t} = {x} alone: Var[x_{t - 1} | x_{t}]", spread[-1], best, 1e-6, "optimiser")
    yield at_most("these variances differ: largest less smallest", 0.01, max(spread) - min(spread), 0.0, "grid")


def _best_variance(pred: Prediction, x_0: Float, x_t: Float, w: Float, t: int) -> float:
    """The learned variance at the v that makes the mean term of the bound least."""

    def filled(v: float) -> Prediction:
        return Prediction(pred.x_0, pred.eps, np.full_like(x_t, 2 * v - 1))

    def term(v: float) -> float:
        if t == 1:
            return float(w @ density_term(SHORT, filled(v), x_0, x_t, "learned"))
        return float(w @ step_term(SHORT, filled(v), x_0, x_t, t - 1, t, "learned"))

    v = optimize.minimize_scalar(term, bounds=(-2, 3), method="bounded", options={"xatol": 1e-9}).x
    return float(reverse_transition(SHORT, filled(v), x_t, t - 1, t, "learned").var[0, 0])


def _kernel_variance(x: float, t: int) -> float:
    """Var[x_{t-1} | x_t = x] by Bayes' rule on a grid."""
    y, _ = grid(-7, 7, 1401)
    w = np.exp(mixture_log(y, ABAR[t - 1]) + normal_log(x, np.sqrt(1 - BETAS[t - 1]) * y, BETAS[t - 1]))
    mean = w @ y / w.sum()
    return float(w @ (y - mean) ** 2 / w.sum())


@equation(
    "improved_ddpm", "17", "the cosine schedule", function="minidiff.Schedule.cosine",
    formula=r"\bar\alpha_t=\frac{f(t)}{f(0)},\quad f(t)=\cos^2\Big(\frac{t/T+s}{1+s}\cdot\frac\pi2\Big),\quad\beta_t\le0.999",
)  # fmt: skip
def cosine() -> Iterator[Check]:
    """The product of the cut betas is f(t)/f(0) until the last step, which alone is cut; the table starts at 1."""
    ours, u = Schedule.cosine(), np.arange(1001) / 1000
    half = (1 + np.cos(np.pi * (u + 0.008) / 1.008)) / 2  # cos^2 by the half-angle formula
    yield close("alpha_bar, t = 0..999", ours.alpha_bar[:-1], half[:-1] / half[0], 1e-12, "algebra")
    yield close("the last step is cut to beta = 0.999", ours.alpha_bar[-1] / ours.alpha_bar[-2], 1e-3, 1e-12, "algebra")
    steepest = np.max(1 - half[1:-1] / half[:-2])
    yield close("the largest beta before the last", np.max(ours.beta[:-1]), steepest, 1e-10, "algebra")
    largest = 1 / np.sqrt(1e-3 * half[-2] / half[0])
    yield close("1 / signal at T stays near 2e4", 1 / ours.scales(1000)[0], largest, 1e-6, "algebra", relative=True)


EVEN, UNEVEN = [8, 6, 4, 2, 0], [8, 5, 4, 1, 0]


@dataclass(frozen=True)
class Recorder:
    """A denoiser that writes down which t it was asked about."""

    inner: Denoiser
    asked: list[int] = field(default_factory=list)

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser inside."""
        return self.inner.schedule

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        self.asked.append(int(t))
        return self.inner(x_t, t, cond)


@equation(
    "improved_ddpm", "19", "grids of fewer times", function="minidiff.variational_bound",
    formula=r"\beta_{S_i}=1-\frac{\bar\alpha_{S_i}}{\bar\alpha_{S_{i-1}}},\qquad\tilde\beta_{S_i}=\frac{1-\bar"
    r"\alpha_{S_{i-1}}}{1-\bar\alpha_{S_i}}\beta_{S_i}",
)  # fmt: skip
def fewer_times() -> Iterator[Check]:
    """Pairs of times against products of betas and Bayes' rule; a strided bound and sampler against those of a schedule made of ABAR[S]."""
    x, _ = grid(-9, 9, 3601)
    for times in (EVEN, UNEVEN):
        t, s = np.array(times[:-1]), np.array(times[1:])
        kept = [np.prod(1 - BETAS[b:a]) for a, b in zip(t, s, strict=True)]
        yield close(f"1 - beta_S, S = {times[:-1]}", 1 - SHORT.beta_ts(s, t), kept, 1e-14, "product")
        yield close("their product is alpha_bar_T", np.prod(1 - SHORT.beta_ts(s, t)), ABAR[8], 1e-14, "product")
        for a, b in pairwise(times[:-1]):
            keep = np.prod(1 - BETAS[b:a])
            w = np.exp(normal_log(x, np.sqrt(ABAR[b]) * 0.7, 1 - ABAR[b]) + normal_log(-0.4, np.sqrt(keep) * x, 1 - keep))
            mean = w @ x / w.sum()
            var = w @ (x - mean) ** 2 / w.sum()
            ours = posterior(SHORT, column(0.7), column(-0.4), b, a)
            yield close(f"posterior of x_{b} given x_{a} and x_0", [ours.mean[0, 0], float(ours.var)], [mean, var], 1e-10, "grid")
            ends = Prediction(column([0.7, 0.7]), column([0.0, 0.0]), column([-1.0, 1.0]))
            learned = reverse_transition(SHORT, ends, column([-0.4, -0.4]), b, a, "learned").var[:, 0]
            yield close(f"ends of the learned variance, from t = {a} to {b}", learned, [var, 1 - keep], 1e-10, "grid")
        ask = Recorder(Wrong(SHORT))
        for run in (ddpm(ask, column(0.3), times, np.ones_like), ddim(ask, column(0.3), times), heun(ask, column(0.3), times)):
            last(run)
        variational_bound(ask, column(0.3), np.ones_like, times=times, decoder=density_term)
        twice = [r for p in pairwise(times) for r in p if r > 0]  # Heun asks at both ends of a step
        yield close("the denoiser is told t itself", ask.asked, [*times[:-1] * 2, *twice, *times[:-1]], 0, "count")
    yield from _respaced()


def _respaced() -> Iterator[Check]:
    """The same from a schedule of four times. On the step to 0 "small" and "large" use the pair (t, 2t): the next one in EVEN only."""
    rng, table = generator(19), np.linspace(0.05, 0.4, 9)
    x_0, noises = rng.standard_normal((5, 1)), rng.standard_normal((4, 5, 1))

    def both(schedule: Schedule, times: list[int], variance: Any) -> tuple[Float, Float]:
        model, draws, again = Wrong(schedule), iter(noises), iter(noises)
        bound = variational_bound(model, x_0, lambda _: next(draws), variance, times, decoder=density_term)
        samples = last(ddpm(model, x_0, times, lambda _: next(again), variance=variance))
        return np.stack([bound.prior, *bound.steps, bound.decoder]), samples

    for times, kinds in ((EVEN, ("small", "large", table)), (UNEVEN, (table,))):
        for kind in kinds:
            ours = both(SHORT, times, kind)
            few = both(Schedule(ABAR[times[::-1]]), [4, 3, 2, 1, 0], kind if isinstance(kind, str) else kind[times[::-1]])
            what = f"S = {times[:-1]}, {kind if isinstance(kind, str) else 'explicit'} variance"
            yield close(f"all terms of the bound, {what}", ours[0], few[0], 1e-12, "respaced schedule")
            yield close(f"ancestral samples, {what}", ours[1], few[1], 1e-12, "respaced schedule")
