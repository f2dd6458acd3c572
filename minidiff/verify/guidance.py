"""Classifier-free guidance on Gaussian classes: what it does at one t, and what its samplers draw.

The library's scale is s = 1 + w: w is the number of Ho & Salimans, w = 0 the plain class, w = -1 all data. In the limits T is infinite and
alpha_bar_T is 0; there data are N(M_U, S_U), of which a class is N(M_C, S_C): tilted, ODE and ancestral draw three different Gaussians.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidiff import ClassDenoiser, ExactDenoiser, GaussianMixture, Guided, Label, Prediction, Schedule, ddim, ddpm, heun, last
from minidiff.arrays import normal
from minidiff.verify.mixture import PLANE
from minidiff.verify.probes import fine, limit, linear_response, moments
from minidiff.verify.registry import Check, at_most, close, equation, generator, monte_carlo
from minidiff.verify.routes import ABAR, BETAS, MIXTURE, SHORT, Float, column, eq_11_mean, gaussian_data, grid, normal_log, quad

M_U, S_U, M_C, S_C, W = -0.2, 0.64, 0.9, 0.16, 1.5  # means and variances; S_C / S_U = 1/4
R = S_C / S_U
TOLD = Label(0)


@dataclass(frozen=True)
class ByLabel:
    """The ideal denoiser of a Gaussian class when told a label, of Gaussian data when not.

    No ClassDenoiser: its data are a blend of finitely many classes, Gaussian only if all classes are alike. Such data do exist: the class
    is narrower than the data, so some of them can carry its label; the density of the rest is no mixture, and nobody asks for it.
    """

    schedule: Schedule
    one: GaussianMixture
    all: GaussianMixture

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        law = self.all if cond is None or cond.index is None else self.one
        return ExactDenoiser(law, self.schedule)(x_t, t)


def guided(schedule: Schedule, w: float = W, var: float = S_C) -> Guided:
    """The class N(M_C, var) in data N(M_U, S_U), guided with w."""
    return Guided(ByLabel(schedule, gaussian_data(M_C, var), gaussian_data(M_U, S_U)), 1 + w)


def _log(x: Any, law: GaussianMixture, abar: float) -> Any:
    """log q(x_t) of a mixture with full covariances, by hand, for complex x (B, D)."""
    total = 0.0
    for w, m, c in zip(law.weights, law.means, law.covs, strict=True):
        V, d = abar * c + (1 - abar) * np.eye(len(m)), x - np.sqrt(abar) * m
        total = total + w * np.exp(-0.5 * (d * np.linalg.solve(V, d.T).T).sum(1)) / np.sqrt(np.linalg.det(2 * np.pi * V))
    return np.log(total)


def _guided_score(x: Float, classes: Sequence[GaussianMixture], weights: Sequence[float], k: int, w: float, abar: float) -> Float:
    """The gradient of (1 + w) log p(x_t | k) - w log p(x_t), by complex steps; p(x_t) is the sum over classes."""
    columns = []
    for e in np.eye(x.shape[1]):
        z = x + 1e-20j * e
        blend = np.log(sum(p * np.exp(_log(z, c, abar)) for p, c in zip(weights, classes, strict=True)))
        columns.append(((1 + w) * _log(z, classes[k], abar) - w * blend).imag / 1e-20)
    return np.stack(columns, 1)


@equation(
    "guidance", "6", "guidance at one t: the score of a tilted density", function="minidiff.Guided", source="Ho & Salimans 2022, Eq. 6",
    formula=r"\tilde\epsilon=(1+w)\,\epsilon(x_t,c)-w\,\epsilon(x_t)=-\sqrt{1-\bar\alpha_t}\,\nabla\log\big[p(x_t"
    r"\mid c)^{1+w}\,p(x_t)^{-w}\big],\qquad s=1+w",
)  # fmt: skip
def one_time() -> Iterator[Check]:
    """Guided eps of an exact classifier-free denoiser against complex steps through densities summed by hand; both ends of the scale."""
    tilt = GaussianMixture(np.ones(1), np.array([[-0.5, -0.9]]), np.array([[[0.5, -0.2], [-0.2, 0.3]]]))
    line = (MIXTURE, gaussian_data(1.7, 0.3)), (0.35, 0.65), column(np.linspace(-2.5, 2.5, 11))
    plane = (PLANE, tilt), (0.7, 0.3), generator(6).standard_normal((9, 2))
    for name, (classes, weights, x) in (("1-D", line), ("2-D", plane)):
        inner = ClassDenoiser(classes, weights, SHORT)
        for t, k, w in ((2, 0, 1.5), (5, 1, -0.4), (8, 0, 6.5)):
            ours = Guided(inner, 1 + w)(x, t, Label(k))
            eps = -np.sqrt(1 - ABAR[t]) * _guided_score(x, classes, weights, k, w, ABAR[t])
            yield close(f"guided eps, {name}, class {k}, w = {w:g}, t = {t}", ours.eps, eps, 1e-11, "complex step")
            x_0 = (x - np.sqrt(1 - ABAR[t]) * eps) / np.sqrt(ABAR[t])
            yield close(f"guided x_0, {name}, class {k}, w = {w:g}, t = {t}", ours.x_0, x_0, 1e-10, "complex step")
        for w, end in ((0.0, "scale 1: the class alone"), (-1.0, "scale 0: all data")):
            eps = -np.sqrt(1 - ABAR[4]) * _guided_score(x, classes, weights, 1, w, ABAR[4])
            yield close(f"{end}, {name}", Guided(inner, 1 + w)(x, 4, Label(1)).eps, eps, 1e-11, "complex step")


@equation(
    "guidance", "tilted", "the law that guidance seems to promise", function="minidiff.Guided",
    source="this ledger; the usual reading of Ho & Salimans 2022, Eq. 6",
    formula=r"\frac{p_c^{1+w}}{p_u^w}\propto\mathcal N\Big(m_u+\frac{1+w}{1+w(1-r)}(m_c-m_u),\ \frac{s_c^2}{1+w"
    r"(1-r)}\Big),\qquad r=\frac{s_c^2}{s_u^2}",
)  # fmt: skip
def tilted() -> Iterator[Check]:
    """The guided score at each level is that of the tilted density there, by quadrature; but tilting does not commute with noising."""
    mean, var = tilted_moments()
    for t in (1, 4, 8):
        law = _guided_law(SHORT, t)
        yield from moments(f"the law tilted at level t = {t}", law, _tilt(ABAR[t]), 1e-10, "grid")
        if t == 4:
            noised = ABAR[t] * var + 1 - ABAR[t]
            yield at_most(f"its variance is not that of the noised tilted law, t = {t}", 0.05, abs(noised - law[1]), 0.0, "algebra")
    yield from moments("the law tilted at t = 0", (mean, var), _tilt(1.0), 1e-10, "grid")
    near = [_guided_law(Schedule(np.array([1.0, 1 - b])), 1) for b in (4e-3, 2e-3, 1e-3)]
    yield from moments("the guided score as t goes to 0", (mean, var), limit(near), 1e-6, "Richardson")


def tilted_moments(w: float = W, var: float = S_C) -> tuple[float, float]:
    """Mean and variance of p_c^(1+w) / p_u^w."""
    shrink = 1 + w * (1 - var / S_U)
    return M_U + (1 + w) / shrink * (M_C - M_U), var / shrink


def _guided_law(schedule: Schedule, t: int) -> tuple[float, float]:
    """Mean and variance of the Gaussian whose score is the guided one, a line seen at two points."""
    at_0, at_1 = -guided(schedule)(column([0.0, 1.0]), t, TOLD).eps[:, 0] / schedule.scales(t)[1]
    return float(at_0 / (at_0 - at_1)), float(1 / (at_0 - at_1))


def _tilt(abar: float) -> tuple[float, float]:
    """Mean and variance of p(x_t | c)^(1+w) p(x_t)^(-w), normalised on a grid."""
    x, _ = grid(-6, 8, 4001)
    c, u = (normal_log(x, np.sqrt(abar) * m, abar * s + 1 - abar) for m, s in ((M_C, S_C), (M_U, S_U)))
    p = np.exp((1 + W) * c - W * u)
    mean = p @ x / p.sum()
    return float(mean), float(p @ (x - mean) ** 2 / p.sum())


@equation(
    "guidance", "ODE", "what guided DDIM draws", function="minidiff.ddim", source="this ledger, from the ODE of DDIM Eq. 14",
    formula=r"x_0\sim\mathcal N\big(m_u+\kappa(m_c-m_u),\ s_c^2r^w\big),\quad\kappa=\frac{1+w}{2\sqrt{1-r}}\int_r^1"
    r"\frac{z^{w/2}}{\sqrt{z-r}}\,dz",
)  # fmt: skip
def ode() -> Iterator[Check]:
    """DDIM and Heun through the guided denoiser, a line in x_T, extrapolated to T = infinity; the tilted law is another."""
    root = np.sqrt(1 - R)
    kappa = (1 + W) / root * quad(lambda q: float((R + q * q) ** (W / 2)), 0.0, float(root))  # z = r + q^2
    closed = M_U + kappa * (M_C - M_U), S_C * R**W
    flow = limit([_flow(ddim, n) for n in (40, 80, 160, 320)])
    yield from moments("ddim, eta = 0", closed, flow, 1e-5, "Richardson")
    yield from moments("heun", closed, limit([_flow(heun, n) for n in (40, 80, 160, 320)], 2), 1e-5, "Richardson")
    yield at_most("distances to the tilted mean and variance", 0.05, np.abs(flow - tilted_moments()), 0.0, "algebra")
    for name, w, var in (("w = 0: the class itself", 0.0, S_C), ("w = -1: all data", -1.0, S_C), ("r = 1: the class moved on", W, S_U)):
        law = tilted_moments(w, var)
        yield from moments(f"{name}", law, limit([_flow(ddim, n, w, var) for n in (40, 80, 160, 320)]), 1e-5, "Richardson")


def _flow(sampler: Any, n: int, w: float = W, var: float = S_C) -> Float:
    """Mean and variance of what a deterministic sampler makes of N(0, 1): it is a line, seen at two points."""
    schedule = fine(n)
    at_0, at_1 = last(sampler(guided(schedule, w, var), column([0.0, 1.0]), schedule.times(n + 1), cond=TOLD))[:, 0]
    return np.array([at_0, (at_1 - at_0) ** 2])


@equation(
    "guidance", "ancestral", "what guided DDPM draws", function="minidiff.ddpm", source="this ledger, from the reverse SDE",
    formula=r"x_0\sim\mathcal N\Big(m_u+\frac{1-r^{1+w}}{1-r}(m_c-m_u),\ s_c^2\frac{1-r^{2w+1}}{(2w+1)(1-r)}\Big)\quad(T\to\infty)",
)  # fmt: skip
def ancestral() -> Iterator[Check]:
    """Ancestral sampling of the guided denoiser: exactly at T = 8, with draws, and extrapolated to T = infinity; a third Gaussian."""
    exact = _recursion()
    yield from moments("T = 8", exact, _ancestral(SHORT), 1e-12, "linear response")
    draw = normal(generator(5))
    x = last(ddpm(guided(SHORT), draw(np.zeros((100_000, 1))), SHORT.times(8), draw, TOLD))
    yield monte_carlo("T = 8, 100,000 draws: mean", exact[0], x)
    yield monte_carlo("T = 8, 100,000 draws: variance", exact[1], (x - exact[0]) ** 2)
    kappa, share = (1 - R ** (1 + W)) / (1 - R), (1 - R ** (2 * W + 1)) / ((2 * W + 1) * (1 - R))
    closed = np.array([M_U + kappa * (M_C - M_U), S_C * share])
    for kind in ("small", "large"):
        seen = limit([_ancestral(fine(n), kind) for n in (40, 80, 160, 320)])
        yield from moments(f"T to infinity, {kind} variance", closed, seen, 1e-4, "Richardson")
    yield at_most("distances to the tilted mean and variance", 0.02, np.abs(seen - tilted_moments()), 0.0, "algebra")
    for name, w, var in (("w = 0: the class itself", 0.0, S_C), ("r = 1: the class moved on", W, S_U)):
        law = tilted_moments(w, var)
        seen = limit([_ancestral(fine(n), "large", w, var) for n in (20, 40, 80, 160)])
        yield from moments(f"{name}", law, seen, 1e-3, "Richardson")


def _ancestral(schedule: Schedule, kind: str = "small", w: float = W, var: float = S_C) -> Float:
    denoiser, times = guided(schedule, w, var), schedule.times(schedule.T)
    mean, cov = linear_response(lambda x, draw: last(ddpm(denoiser, x, times, draw, TOLD, kind)))
    return np.array([mean[0], cov[0, 0]])


def _recursion() -> tuple[float, float]:
    """Mean and variance of guided Algorithm 2 on the short schedule, small variance, by hand: Eq. 6 into Eq. 11 of DDPM."""
    m, v = 0.0, 1.0
    for t in range(8, 0, -1):
        a, noise = ABAR[t], np.sqrt(1 - ABAR[t])
        line = [(1 + W) * noise * (x - np.sqrt(a) * M_C) / (a * S_C + 1 - a) - W * noise * (x - np.sqrt(a) * M_U) / (a * S_U + 1 - a)
                for x in (0.0, 1.0)]  # fmt: skip
        at_0, at_1 = (eq_11_mean(x, eps, t) for x, eps in zip((0.0, 1.0), line, strict=True))
        m, v = at_0 + (at_1 - at_0) * m, (at_1 - at_0) ** 2 * v + BETAS[t - 1] * (1 - ABAR[t - 1]) / (1 - a)  # 0 at t = 1
    return float(m), float(v)
