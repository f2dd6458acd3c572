"""Steps that samplers take, right and wrong: each a mean and a variance for x_s, given x_t and what the network said.

The right ones are the package's own functions; the wrong ones are the slips of the literature, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from minidiff.doctor.patient import Float
from minidiff.doctor.steps import Heard
from minidiff.process import posterior_variance, posterior_weights
from minidiff.sample import ode_step
from minidiff.schedule import Schedule


@dataclass(frozen=True)
class Form:
    """A way to step: its defect ("" if it is right), what it is in code, and whether its variance is meant to be 0."""

    defect: str
    what: str
    still: bool = False


@dataclass(frozen=True)
class Pair:
    """The numbers of a pair (s, t), by the names of the papers: a_s, a_t and a_next (of t + 1) are alpha_bar; a, beta of the step."""

    a_s: float
    a_t: float
    a_next: float

    @property
    def a(self) -> float:
        """alpha of the step, alpha_bar_t / alpha_bar_s."""
        return self.a_t / self.a_s

    @property
    def beta(self) -> float:
        """1 - alpha."""
        return 1 - self.a

    @property
    def small(self) -> float:
        """beta-tilde."""
        return (1 - self.a_s) / (1 - self.a_t) * self.beta


SMALL, LARGE = Form("", "ancestral (beta-tilde)"), Form("", "ancestral (beta)")
BETWEEN = Form("", "ancestral (between beta-tilde and beta)")
DDIM = Form("", "DDIM", still=True)
CLIPPED, CLIPPED_DDIM = Form("clipping", "ancestral, x_0 clipped"), Form("clipping", "DDIM, x_0 clipped", still=True)
CLIPS = (CLIPPED, CLIPPED_DDIM)  # right where no data lie beyond the ends
CLIPPED_MEAN = Form("clipping", "the mean of the step is clipped, not x_0")
ETA = Form("", "DDIM with eta")
MULTISTEP = Form("", "two-step solver", still=True)
SLIPS: dict[tuple[str, str], Callable[[Float, Float, Float, Pair], Float]] = {
    ("mean coefficients", "1 / sqrt(1 - alpha_bar) is missing before eps"): lambda x, x_0, e, p: (x - p.beta * e) / p.a**0.5,
    ("mean coefficients", "1 / sqrt(alpha) is missing"): lambda x, x_0, e, p: x - p.beta / (1 - p.a_t) ** 0.5 * e,
    ("mean coefficients", "sqrt(1 - alpha_bar_t) for beta_t / sqrt(1 - alpha_bar_t) before eps"): lambda x, x_0, e, p: (
        (x - (1 - p.a_t) ** 0.5 * e) / p.a**0.5
    ),
    ("mean coefficients", "sqrt(beta_t) for beta_t before eps"): lambda x, x_0, e, p: (
        (x - p.beta**0.5 / (1 - p.a_t) ** 0.5 * e) / p.a**0.5
    ),
    ("mean coefficients", "1 - alpha_bar for its root before eps"): lambda x, x_0, e, p: (x - p.beta / (1 - p.a_t) * e) / p.a**0.5,
    ("mean coefficients", "1 / alpha for 1 / sqrt(alpha)"): lambda x, x_0, e, p: (x - p.beta / (1 - p.a_t) ** 0.5 * e) / p.a,
    ("mean coefficients", "1 / sqrt(alpha_bar_t) for 1 / sqrt(alpha_t)"): lambda x, x_0, e, p: (
        (x - p.beta / (1 - p.a_t) ** 0.5 * e) / p.a_t**0.5
    ),
    ("mean coefficients", "eps with the wrong sign"): lambda x, x_0, e, p: (x + p.beta / (1 - p.a_t) ** 0.5 * e) / p.a**0.5,
    ("mean coefficients", "sqrt(alpha_bar_t) for sqrt(alpha_t) before x_t"): lambda x, x_0, e, p: (
        p.a_s**0.5 * p.beta / (1 - p.a_t) * x_0 + p.a_t**0.5 * (1 - p.a_s) / (1 - p.a_t) * x
    ),
    ("mean coefficients", "sqrt(alpha_bar_t) for sqrt(alpha_bar_s) before x_0"): lambda x, x_0, e, p: (
        p.a_t**0.5 * p.beta / (1 - p.a_t) * x_0 + p.a**0.5 * (1 - p.a_s) / (1 - p.a_t) * x
    ),
    ("mean coefficients", "alpha_bar_s for its root before x_0"): lambda x, x_0, e, p: (
        p.a_s * p.beta / (1 - p.a_t) * x_0 + p.a**0.5 * (1 - p.a_s) / (1 - p.a_t) * x
    ),
    ("mean coefficients", "1 - alpha_bar_t for 1 - alpha_bar_s before x_t"): lambda x, x_0, e, p: (
        p.a_s**0.5 * p.beta / (1 - p.a_t) * x_0 + p.a**0.5 * x
    ),
    ("mean coefficients", "the weights of x_0 and x_t are exchanged"): lambda x, x_0, e, p: (
        p.a**0.5 * (1 - p.a_s) / (1 - p.a_t) * x_0 + p.a_s**0.5 * p.beta / (1 - p.a_t) * x
    ),
    ("DDIM direction", "1 - alpha_bar_s for its root"): lambda x, x_0, e, p: p.a_s**0.5 * x_0 + (1 - p.a_s) * e,
    ("DDIM direction", "sqrt(1 - alpha_bar_t) for sqrt(1 - alpha_bar_s)"): lambda x, x_0, e, p: p.a_s**0.5 * x_0 + (1 - p.a_t) ** 0.5 * e,
    ("DDIM direction", "alpha_bar_s for its root before x_0"): lambda x, x_0, e, p: p.a_s * x_0 + (1 - p.a_s) ** 0.5 * e,
    ("DDIM direction", "x_0 is not shrunk"): lambda x, x_0, e, p: x_0 + (1 - p.a_s) ** 0.5 * e,
    ("DDIM direction", "sqrt(alpha_bar_t) for sqrt(alpha_bar_s) before x_0"): lambda x, x_0, e, p: (
        p.a_t**0.5 * x_0 + (1 - p.a_s) ** 0.5 * e
    ),
}
VARIANCES: dict[tuple[str, str], Callable[[Pair], float]] = {
    ("missing noise", "the mean is returned, no noise is added"): lambda p: 0.0,
    ("variance for standard deviation", "the noise is multiplied by beta, not its root"): lambda p: p.beta**2,
    ("variance for standard deviation", "the noise is multiplied by beta-tilde, not its root"): lambda p: p.small**2,
    ("reverse variance", "the root is taken twice: the noise is multiplied by beta^(1/4)"): lambda p: p.beta**0.5,
    ("reverse variance", "the root is taken twice: the noise is multiplied by beta-tilde^(1/4)"): lambda p: p.small**0.5,
    ("reverse variance", "1 / (1 - alpha_bar_t) is missing"): lambda p: (1 - p.a_s) * p.beta,
    ("reverse variance", "the table one entry late: (1 - alpha_bar_t) / (1 - alpha_bar_{t+1})"): lambda p: (
        p.beta * (1 - p.a_t) / (1 - p.a_next)
    ),
    ("reverse variance", "1 - alpha_bar_t itself"): lambda p: 1 - p.a_t,
    ("reverse variance", "1 - alpha_bar_s itself"): lambda p: 1 - p.a_s,
    ("reverse variance", "the ratio is turned round: (1 - alpha_bar_t) / (1 - alpha_bar_s)"): lambda p: p.beta * (1 - p.a_t) / (1 - p.a_s),
    ("reverse variance", "the noise is added at full size"): lambda p: 1.0,
    ("reverse variance", "twice beta"): lambda p: 2 * p.beta,
    ("reverse variance", "half of beta-tilde"): lambda p: p.small / 2,
}


def means(h: Heard, kind: str, schedule: Schedule) -> Iterator[tuple[Form, Float, float, float]]:
    """(form, mean of x_s, least and greatest variance) of each way to step from h.t to h.s; the first are the right ones."""
    x_0, e = h.read(kind, schedule)
    low, high = (float(posterior_variance(schedule, h.s, h.t)), float(schedule.beta_ts(h.s, h.t)))
    c_0, c_t = posterior_weights(schedule, h.s, h.t)
    signal, noise = schedule.scales(h.s)
    mean = c_0 * x_0 + c_t * h.x
    yield SMALL, mean, low, low
    yield LARGE, mean, high, high
    yield BETWEEN, mean, low, high
    yield DDIM, ode_step(schedule, h.x, e, h.t, h.s), 0.0, 0.0
    rest: Float = h.x_next - signal * x_0
    along = min(max(float((rest * e).sum() / (e**2).sum()), 0.0), float(noise))  # DDIM Eq. 12: it fixes sigma
    off = 5 * float(np.sqrt(np.mean((rest - along * e) ** 2) / (e**2).sum()))
    widest, narrowest = max(0.0, along - off), along + off  # up to its standard error
    yield ETA, signal * x_0 + along * e, max(0.0, float(noise**2) - narrowest**2), float(noise**2) - widest**2
    var = float(noise**2 - along**2) ** 2
    yield Form("variance for standard deviation", "DDIM with eta: the noise is multiplied by sigma^2"), signal * x_0 + along * e, var, var
    if h.before is not None:
        step = h.x_next - ode_step(schedule, h.x, e, h.t, h.s)
        turn = x_0 - h.before
        more = float((step * turn).sum() / max((turn**2).sum(), 1e-300))
        yield MULTISTEP, ode_step(schedule, h.x, e, h.t, h.s) + more * turn, 0.0, 0.0
    cut = np.clip(x_0, *h.box)
    again = (h.x - np.sqrt(schedule.alpha_bar[h.t]) * cut) / np.sqrt(1 - schedule.alpha_bar[h.t])
    yield CLIPPED, c_0 * cut + c_t * h.x, low, high
    yield CLIPPED_DDIM, signal * cut + noise * again, 0.0, 0.0
    yield CLIPPED_DDIM, signal * cut + noise * e, 0.0, 0.0
    yield CLIPPED_MEAN, np.clip(mean, *h.box), low, high
    p = pair(h, schedule)
    for (defect, what), slip in SLIPS.items():
        still = defect == "DDIM direction"
        yield Form(defect, what, still), slip(h.x, x_0, e, p), 0.0 if still else low, 0.0 if still else high
    yield Form("DDIM direction", "- sigma^2 is missing under the root"), signal * x_0 + noise * e, low, high
    yield from _elsewhere(h, kind, schedule)


def pair(h: Heard, schedule: Schedule) -> Pair:
    """The numbers of this step; after T the table is taken to go on as it ends."""
    a = schedule.alpha_bar
    return Pair(float(a[h.s]), float(a[h.t]), float(a[min(h.t + 1, schedule.T)]))


def _elsewhere(h: Heard, kind: str, schedule: Schedule) -> Iterator[tuple[Form, Float, float, float]]:
    """The right formulas at the wrong entries of the table."""
    others = [("sampler index", f"the step reads the table at t {d:+d}", h.s + d, h.t + d) for d in (-2, -1, 1, 2)]
    if h.earlier is not None:
        others.append(("sampler index", "the network is told s, where the step goes, not t", h.t, h.earlier))
    if h.s < h.t - 1:
        yield from _half_respaced(h, kind, schedule)
        others.append(("stride", "a step to t - 1, with the beta_t of the full chain, although times are skipped", h.t - 1, h.t))
    for defect, what, s, t in others:
        if not 0 < s < t <= schedule.T:
            continue
        c_0, c_t = posterior_weights(schedule, s, t)
        pairs = ((s, t), (h.s, h.t))  # the variance may come from either
        bounds = [float(schedule.beta_ts(*p)) for p in pairs] + [float(posterior_variance(schedule, *p)) for p in pairs]
        x_0, e = h.read(kind, schedule, t)
        yield Form(defect, what), c_0 * x_0 + c_t * h.x, min(bounds), max(bounds)
        yield Form(defect, what, still=True), ode_step(schedule, h.x, e, t, s), 0.0, 0.0


def _half_respaced(h: Heard, kind: str, schedule: Schedule) -> Iterator[tuple[Form, Float, float, float]]:
    """Mean from eps, where times are skipped, with one of alpha and beta of the full chain and the other of the pair."""
    _, e = h.read(kind, schedule)
    low, high = float(posterior_variance(schedule, h.s, h.t)), float(schedule.beta_ts(h.s, h.t))
    full, whole = float(schedule.beta[h.t]), float(schedule.beta_ts(h.s, h.t))
    for what, beta, alpha in (("alpha_t", whole, 1 - full), ("beta_t", full, 1 - whole)):
        mean = (h.x - beta / np.sqrt(1 - schedule.alpha_bar[h.t]) * e) / np.sqrt(alpha)
        yield Form("stride", f"the {what} of the full chain in the mean although times are skipped"), mean, low, high
