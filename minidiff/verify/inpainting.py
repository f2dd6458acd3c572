"""Inpainting by replacement, its bias in closed form, resampling, and editing from a picture.

Data are a pair (a, b) of unit variances and correlation RHO; a = A_0 is given. The right answer is N(RHO a, 1 - RHO^2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy import stats

from minidiff import ExactDenoiser, GaussianMixture, Schedule, ddim, ddpm, heun, inpaint, last, start_from
from minidiff.arrays import normal
from minidiff.process import posterior_variance
from minidiff.verify.mixture import PLANE
from minidiff.verify.probes import fine, limit, linear_response, moments
from minidiff.verify.registry import Check, at_most, close, equation, generator, monte_carlo
from minidiff.verify.routes import ABAR, MEAN, SHORT, VAR, Float, gaussian_data, grid, quad

RHO, A_0 = 0.8, 1.3
RIGHT = RHO * A_0, 1 - RHO**2
P, N_T = 2.1, 0.7  # a picture, and the (1 - alpha_bar) / alpha_bar from which it is edited
MASK = np.array([[True, False]])
SOLID = GaussianMixture(
    np.array([0.6, 0.4]), np.array([[0.3, -0.5, 0.2], [-0.6, 0.4, 0.1]]),
    np.array([[[0.5, 0.2, -0.1], [0.2, 0.4, 0.1], [-0.1, 0.1, 0.3]], [[0.3, -0.1, 0.0], [-0.1, 0.6, 0.2], [0.0, 0.2, 0.5]]]),
)  # fmt: skip


def pair(rho: float = RHO) -> GaussianMixture:
    """Two numbers of mean 0, variance 1 and correlation rho."""
    return GaussianMixture(np.ones(1), np.zeros((1, 2)), np.array([[[1.0, rho], [rho, 1.0]]]))


def replace(denoiser: ExactDenoiser, x: Float, draw: Callable[[Any], Any], resample: int = 1, sampler: Any = ddpm) -> Float:
    """minidiff's inpaint with a = A_0 given, over all times; the value of b in `known` is NaN, as nobody may look at it."""
    known = np.tile([A_0, np.nan], (len(x), 1))
    times = denoiser.schedule.times(denoiser.schedule.T)
    return last(inpaint(denoiser, x, times, draw, known, np.repeat(MASK, len(x), 0), resample=resample, sampler=sampler))


def law_of_b(schedule: Schedule, rho: float = RHO, resample: int = 1, sampler: Any = ddpm) -> Float:
    """Mean and variance of the b that inpaint draws, exactly."""
    mean, cov = linear_response(lambda x, draw: replace(ExactDenoiser(pair(rho), schedule), x, draw, resample, sampler), 2)
    return np.array([mean[1], cov[1, 1]])


def recursion(abar: Float, variance: Float, rho: float = RHO, resample: int = 1) -> tuple[float, float]:
    """The same by hand: b is Gaussian, and independent of the fresh a_t that stands beside it, at every t.

    mu_theta = (x - beta V^-1 x) / sqrt(alpha), for eps = noise * V^-1 x with V the covariance of x_t (Eq. 11 of DDPM).
    """
    m, v = 0.0, 1.0
    for t in range(len(abar) - 1, 0, -1):
        alpha, c = abar[t] / abar[t - 1], rho * abar[t]
        from_b = (1 - (1 - alpha) / (1 - c * c)) / np.sqrt(alpha)
        from_a = (1 - alpha) * c / (1 - c * c) / np.sqrt(alpha)
        for again in range(resample if t > 1 else 1):
            if again:
                m, v = np.sqrt(alpha) * m, alpha * v + 1 - alpha
            m = from_a * np.sqrt(abar[t]) * A_0 + from_b * m
            v = from_a**2 * (1 - abar[t]) + from_b**2 * v + (variance[t] if t > 1 else 0.0)
    return float(m), float(v)


def betas(abar: Float) -> Float:
    """The large variances of a table, from their definition."""
    return np.concatenate([[0.0], 1 - abar[1:] / abar[:-1]])


def _small(schedule: Schedule) -> Float:
    t = np.arange(1, schedule.T + 1)
    return np.concatenate([[0.0], posterior_variance(schedule, t - 1, t)])


@equation(
    "inpainting", "exact", "the law of the unknown part given the known one", function="minidiff.GaussianMixture.conditional",
    source="this ledger", formula=r"p(b\mid a)=\frac{p(a,b)}{\int p(a,b')\,db'};\qquad\text{Gaussian: }\mathcal N(\rho a,\,1-\rho^2)",
)  # fmt: skip
def exact() -> Iterator[Check]:
    """`conditional` against Bayes' rule on a grid: mixtures with full covariances in 2-D and 3-D, every choice of what is known."""
    answer = pair().conditional([0], A_0)
    yield from moments("b given a, Gaussian", RIGHT, (answer.mean()[0], answer.covs[0, 0, 0]), 1e-12, "algebra")
    for law, known, value in (
        (PLANE, [0], [0.9]), (PLANE, [1], [-0.4]), (SOLID, [2, 0], [0.7, -0.3]), (SOLID, [0, 1], [1.1, 0.2]), (SOLID, [1], [-0.8]),
    ):  # fmt: skip
        free = [i for i in range(law.dims) if i not in known]
        axis, step = grid(-6, 6, 2401 if len(free) == 1 else 161)
        points = np.stack(np.meshgrid(*[axis] * len(free), indexing="ij"), -1).reshape(-1, len(free))
        full = np.zeros((len(points), law.dims))
        full[:, known], full[:, free] = value, points
        joint = sum(w * stats.multivariate_normal(m, c).pdf(full) for w, m, c in zip(law.weights, law.means, law.covs, strict=True))
        density = joint / joint.sum() / step[0] ** len(free)
        ours = np.exp(law.conditional(known, value).log_prob(points))
        yield close(f"density of the rest given {known}, {law.dims}-D", ours, density, 1e-9, "grid")


@equation(
    "inpainting", "replacement", "replacing the known part is not conditioning", function="minidiff.inpaint",
    source="this ledger; the method: Song et al. 2021, Lugmayr et al. 2022 Eq. 8 (numbering unconfirmed)",
    formula=r"b\sim\mathcal N\Big(\frac{1-\sqrt{1-\rho^2}}{\rho}\,a,\ (1-\rho^2)\frac{\operatorname{artanh}\rho}{\rho"
    r"}\Big)\ (T\to\infty)\quad\text{instead of}\quad\mathcal N(\rho a,\,1-\rho^2)",
)  # fmt: skip
def replacement() -> Iterator[Check]:
    """`inpaint` at T = 8 against a recursion by hand, exactly and with draws; its limit in T; the bias that no T removes."""
    small = _small(SHORT)
    law = recursion(ABAR, small)
    yield from moments("T = 8", law, law_of_b(SHORT), 1e-12, "linear response")
    draw = normal(generator(1))
    x = replace(ExactDenoiser(pair(), SHORT), draw(np.zeros((100_000, 2))), draw)
    yield close("the known part comes back as it was", x[:, 0], A_0, 0, "count")
    yield monte_carlo("T = 8, 100,000 draws: mean", law[0], x[:, 1])
    yield monte_carlo("T = 8, 100,000 draws: variance", law[1], (x[:, 1] - law[0]) ** 2)
    steps = law_of_b(SHORT, sampler=partial(ddim, eta=1.0))
    yield from moments("the steps made by ddim, eta = 1", law, steps, 1e-12, "linear response")
    root = np.sqrt(1 - RHO**2)
    closed = A_0 * (1 - root) / RHO, root**2 * np.arctanh(RHO) / RHO
    laws = np.array([law_of_b(fine(n), sampler=partial(ddpm, variance="large")) for n in (40, 80, 160)])
    yield from moments("T to infinity", closed, limit(laws), 2e-3, "Richardson")
    yield from moments("T to infinity, by recursion", closed, _limit(1, RHO), 1e-5, "Richardson")
    yield at_most("the mean falls short by this, at 40, 80 and 160 steps", 0.35, RIGHT[0] - laws[:, 0], 0.0, "linear response")


def _limit(resample: int, rho: float) -> Float:
    """Mean and variance of b for T to infinity, from the recursion, which is `inpaint`."""
    tables = [fine(n).alpha_bar for n in (200, 400, 800, 1600)]
    return np.asarray(limit([recursion(abar, betas(abar), rho, resample) for abar in tables]))


@equation(
    "inpainting", "resampling", "making each step U times (RePaint)", function="minidiff.inpaint",
    source="this ledger; the method: Lugmayr et al. 2022, Algorithm 1",
    formula=r"\mathbb E\,b\to U\rho a\,(1-\rho^2)^{U/2}\int_0^1\frac{z^U\,dz}{(1-\rho^2z^2)^{U/2+1}},\quad\mathrm{Var}\,b\to(2U-1)(1-"
    r"\rho^2)^U\int_0^1\frac{z^{2U-2}\,dz}{(1-\rho^2z^2)^U}\quad(T\to\infty)",
)  # fmt: skip
def resampling() -> Iterator[Check]:
    """The recursion of U tries a step against `inpaint`; its limit in T for each U; the bias falls like 1 / U."""
    for resample, kind in ((2, "two tries"), (5, "five tries")):
        law = recursion(ABAR, _small(SHORT), resample=resample)
        yield from moments(f"T = 8, {kind}", law, law_of_b(SHORT, resample=resample), 1e-12, "linear response")
    draw = normal(generator(2))
    x = replace(ExactDenoiser(pair(), SHORT), draw(np.zeros((40_000, 2))), draw, 5)[:, 1]
    yield monte_carlo("T = 8, five tries, 40,000 draws: mean", law[0], x)
    yield monte_carlo("T = 8, five tries, 40,000 draws: variance", law[1], (x - law[0]) ** 2)
    for U in (2, 4):
        yield from moments(f"T to infinity, U = {U}", repainted(U), _limit(U, RHO), 1e-5, "Richardson")
    bias = np.array([np.array(RIGHT) - repainted(U) for U in (1, 2, 4, 8, 16, 32, 64)])
    yield at_most("each doubling of U leaves less of the bias", np.abs(bias[1:]), np.abs(bias[:-1]), 0.0, "quadrature")
    far = limit([repainted(U) for U in (8, 16, 32, 64, 128)])
    yield from moments("U to infinity: the right answer", RIGHT, far, 1e-4, "Richardson")


def repainted(U: int, rho: float = RHO) -> Float:
    """Mean and variance of b for T to infinity with U tries a step: the closed forms of `resampling`, by quadrature.

    Each level of noise is crossed by U steps of the reverse SDE and U - 1 of the forward one. With z = alpha_bar the mean and variance obey
    z m' = m / 2 - U (m - rho z^(3/2) a) / (1 - rho^2 z^2) and z V' = V - 2 U V / (1 - rho^2 z^2) + 2 U - 1; these are their solutions.
    """
    left = 1 - rho**2
    mean = U * rho * A_0 * quad(lambda z: float(z**U * (left / (1 - (rho * z) ** 2)) ** (U / 2) / (1 - (rho * z) ** 2)), 0.0, 1.0)
    return np.array([mean, (2 * U - 1) * quad(lambda z: float(z ** (2 * U - 2) * (left / (1 - (rho * z) ** 2)) ** U), 0.0, 1.0)])


@equation(
    "inpainting", "last step", "tries without end at a fixed T: right, if the steps add enough noise", function="minidiff.inpaint",
    source="this ledger", formula=r"U\to\infty:\quad b\sim\mathcal N(\rho a,\ 1-\rho^2)+O(\beta)\ \ (\sigma_t^2=\beta_t),\qquad\tfrac34(1-"
    r"\rho^2)\ \ (\sigma_t^2=\tilde\beta_t,\ \beta_1=\beta_2)",
)  # fmt: skip
def last_step() -> Iterator[Check]:
    """The pair (2, 1) made until nothing changes, then one step to 0: beta_t is the true variance up to O(beta^2), beta-tilde is not."""
    for kind, var in (("large", 1 - RHO**2), ("small", 0.75 * (1 - RHO**2))):
        one = partial(ddpm, variance=kind)
        laws = [law_of_b(Schedule(np.array([1.0, 1 - b, (1 - b) ** 2])), RHO, int(6 * (1 - RHO**2) / b), one) for b in (0.08, 0.04, 0.02)]
        yield from moments(f"two pairs of times, beta to 0, {kind} variance", (RHO * A_0, var), limit(laws), 5e-3, "Richardson")


@equation(
    "inpainting", "independent", "replacement is right only for parts that do not depend on each other", function="minidiff.inpaint",
    source="this ledger", formula=r"\mathbb E\,b=\rho a\iff\rho=0,\qquad\mathbb E\,b\to\tfrac12\rho a\ \ (\rho\to0)",
)  # fmt: skip
def independent() -> Iterator[Check]:
    """At rho = 0, b is what the sampler makes of b alone; near it, half of the right mean, and U / (U + 1) with U tries."""
    alone = linear_response(lambda x, draw: last(ddpm(ExactDenoiser(gaussian_data(0.0, 1.0), SHORT), x, SHORT.times(8), draw)))
    yield from moments("rho = 0: b as without a", (alone[0][0], alone[1][0, 0]), law_of_b(SHORT, 0.0), 1e-12, "linear response")
    yield from moments("rho = 0, T to infinity: N(0, 1)", (0.0, 1.0), _limit(1, 0.0), 1e-5, "Richardson")
    for U in (1, 2, 3):
        share = _limit(U, 1e-3)[0] / (1e-3 * A_0)
        yield close(f"share of the right mean, rho = 0.001, U = {U}", U / (U + 1), share, 1e-5, "Richardson")
    correlations = np.array([-0.95, -0.5, -0.1, 0.1, 0.5, 0.95])
    biases = [(r * A_0 - _limit(1, float(r))[0]) / (r * A_0) for r in correlations]
    yield at_most("the mean falls short by this share, six values of rho from -0.95 to 0.95", 0.2, biases, 0.0, "Richardson")


@equation(
    "inpainting", "sdedit", "starting from a picture", function="minidiff.start_from",
    source="this ledger; the method: SDEdit, Meng et al. 2022, section 3",
    formula=r"\mathbb E\,x_0'=m+\kappa\,(p-m),\qquad\kappa=\frac{\bar\alpha_ts^2}{v_t}\text{ (ancestral)},\quad\sqrt{\frac{\bar"
    r"\alpha_ts^2}{v_t}}\text{ (ODE)}",
)  # fmt: skip
def sdedit() -> Iterator[Check]:
    """The start from a picture p, and what the samplers make of it for Gaussian data: a share kappa of p - m is kept."""
    for strength, t in ((0.5, 4), (1.0, 8), (0.13, 1)):
        rest = start_from(SHORT, np.zeros((1, 1)), SHORT.times(8), strength, np.zeros_like)[1]
        yield close(f"times left, strength {strength}", rest, range(t, -1, -1), 0, "count")
        mean, cov = linear_response(partial(_noised, strength))
        law = np.sqrt(ABAR[t]) * P, 1 - ABAR[t]
        yield from moments(f"x_{t} from the picture", law, (mean[0], cov[0, 0]), 1e-12, "linear response")
    ratio = VAR / (VAR + N_T)  # alpha_bar_t s^2 / v_t
    for name, kappa, var in (("ddpm", ratio, VAR * (1 - ratio**2)), ("heun", np.sqrt(ratio), VAR * (1 - ratio))):
        closed = MEAN + kappa * (P - MEAN), var
        seen = limit([_edited(name, n, P, 0.0) for n in (20, 40, 80, 160)])
        yield from moments(f"one picture through {name}, from SNR 1/0.7", closed, seen, 1e-4, "Richardson")
        seen = limit([_edited(name, n, MEAN, np.sqrt(VAR)) for n in (20, 40, 80, 160)])
        yield from moments(f"all data through {name}: data again", (MEAN, VAR), seen, 1e-4, "Richardson")


def _noised(strength: float, x: Float, draw: Any) -> Any:
    return start_from(SHORT, 0 * x + P, SHORT.times(8), strength, draw)[0]


def _edited(name: str, n: int, mean: float, std: float) -> Float:
    """Mean and variance after editing N(mean, std^2): half of 2n equal steps of log SNR, from (1 - alpha_bar) / alpha_bar = N_T on."""
    low, high = np.log(1e-6), np.log(N_T)
    schedule = Schedule(np.concatenate([[1.0], 1 / (1 + np.exp(low + (high - low) * np.arange(2 * n) / (n - 1)))]))

    def edit(x: Float, draw: Any) -> Any:
        denoiser = ExactDenoiser(gaussian_data(), schedule)
        x_t, times = start_from(schedule, mean + std * x, schedule.times(2 * n), 0.5, draw)
        return last(ddpm(denoiser, x_t, times, draw, variance="large") if name == "ddpm" else heun(denoiser, x_t, times))

    at, cov = linear_response(edit)
    return np.array([at[0], cov[0, 0]])
