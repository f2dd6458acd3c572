"""Improved DDPM: the learned range of variances and the cosine schedule (the equations that the core implements so far)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import optimize

from minidiff import Prediction, Schedule, reverse_transition
from minidiff.verify.registry import Check, close, equation
from minidiff.verify.routes import ABAR, BETAS, SHORT, VAR, column, expected_steps


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
