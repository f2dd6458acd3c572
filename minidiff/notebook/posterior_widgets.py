"""Notebook 03: what x_s was, once both ends are known; Bayes' rule at one time s, and the bridge over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from minidiff.gaussian import Gaussian
from minidiff.notebook.widgets import EXPLORERS, Explorer, canvas, choice, explorer, log_slider, slider
from minidiff.process import marginal, posterior, posterior_weights
from minidiff.schedule import Schedule

Float = NDArray[np.float64]
PRIOR, LIKELIHOOD, POSTERIOR = "C5", "C1", "C0"
SIDE = 4.0  # what is shown of x: -SIDE..SIDE


def bridge_schedule(kind: str, T: int) -> Schedule:
    """"linear": Ho et al.'s betas times 1000 / T, so that every T >= 25 ends in noise; "cosine", "sigmoid": as they are."""
    if kind == "linear":
        return Schedule.linear(T, 0.1 / T, 20 / T)
    return Schedule.cosine(T) if kind == "cosine" else Schedule.sigmoid(T)


def pair_of_times(T: int, t: float, back: float) -> tuple[int, int]:
    """(s, t) with 0 <= s < t <= T: the slider t, at most T, and s the slider back before it, at least 0."""
    end = min(round(t), T)
    return max(end - round(back), 0), end


def known_of(x_0: float, x_t: float, t: float, back: float, T: int, kind: str) -> dict[str, Any]:
    """The two things that are known of x_s, and both together.

    prior: q(x_s | x_0). likelihood: q(x_t | x_s) read as a function of x_s, which is N(x_t / a, beta / a^2) for a^2 =
    abar_t / abar_s and beta = 1 - a^2. posterior: q(x_s | x_t, x_0), DDPM Eq. 6-7. weights: those of x_0 and of x_t in its mean.
    Checked by tests/test_posterior_widgets.py: Bayes' rule on a grid.
    """
    schedule, (s, t) = bridge_schedule(kind, T), pair_of_times(T, t, back)
    start, end, a = np.array([x_0]), np.array([x_t]), np.sqrt(schedule.alpha_bar_ts(s, t))
    return {
        "s": s, "t": t, "beta": float(schedule.beta_ts(s, t)), "weights": posterior_weights(schedule, s, t),
        "prior": marginal(schedule, start, s), "likelihood": Gaussian(end / a, schedule.beta_ts(s, t) / a**2),
        "posterior": posterior(schedule, start, end, s, t), "schedule": schedule,
    }  # fmt: skip


def shape(law: Gaussian) -> tuple[Float, Float]:
    """A density over x, its largest value that is in view drawn as 1: widths can differ a hundredfold. A point mass is one line."""
    mean, var = float(law.mean[0]), float(law.var)
    if var == 0:
        return np.array([mean, mean]), np.array([0.0, 1.0])
    x = np.sort(np.concatenate([np.linspace(-SIDE, SIDE, 401), np.clip(mean + np.sqrt(var) * np.linspace(-5, 5, 201), -SIDE, SIDE)]))
    log_p = -((x - mean) ** 2) / (2 * var)
    return x, np.exp(log_p - log_p.max())


def posterior_figure(x_0: float, x_t: float, t: float, back: float, T: int, kind: str) -> Figure:
    """Left, Bayes' rule at s. Right, mean and two standard deviations of x_s at every s from 0 to t, with and without x_t."""
    known = known_of(x_0, x_t, t, back, T, kind)
    s, end, schedule = known["s"], known["t"], known["schedule"]
    fig, (a, b) = canvas(2, width=4.8, height=3.4)
    a.fill_between(*shape(known["prior"]), color=PRIOR, alpha=0.3, linewidth=2, label="prior $q(x_s|x_0)$")
    a.plot(*shape(known["likelihood"]), color=LIKELIHOOD, label="likelihood $q(x_t|x_s)$")
    a.plot(*shape(known["posterior"]), color=POSTERIOR, label="posterior")
    a.set(xlabel="$x_s$", title=f"Bayes' rule at s = {s}", xlim=(-SIDE, SIDE), ylim=(0, 1.5), yticks=[], ylabel="each to its own peak")
    a.legend(fontsize=8, loc="upper left")
    up, ends = np.arange(end + 1), np.ones((end + 1, 1))
    free, pinned = marginal(schedule, x_0 * ends, up), posterior(schedule, x_0 * ends[:-1], x_t * ends[:-1], up[:-1], end)
    at_t = np.append(pinned.mean[:, 0], x_t), np.append(pinned.var[:, 0], 0.0)  # at s = t nothing is open: x_t was given
    for mean, var, colour, label in (
        (free.mean[:, 0], free.var[:, 0], PRIOR, "$x_0$ known"),
        (*at_t, POSTERIOR, "$x_0$ and $x_t$ known"),
    ):
        b.fill_between(up, mean - 2 * np.sqrt(var), mean + 2 * np.sqrt(var), color=colour, alpha=0.25, linewidth=0)
        b.plot(up, mean, color=colour, label=label)
    b.plot([0, end], [x_0, x_t], "o", color="black", markersize=5)
    b.axvline(s, color="0.4", linewidth=1, linestyle="--")
    b.set(xlabel="s", ylabel="$x_s$", title=f"mean and two deviations, up to t = {end}", xlim=(-0.03 * end, 1.03 * end), ylim=(-SIDE, SIDE))
    b.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    b.legend(fontsize=8, loc="upper left", ncols=2)
    return fig


def posterior_readout(x_0: float, x_t: float, t: float, back: float, T: int, kind: str) -> str:
    """The mean as a weighted sum, and the three variances."""
    known = known_of(x_0, x_t, t, back, T, kind)
    (c_0, c_t), q = known["weights"], known["posterior"]
    ratio, c_t = float(q.var) / known["beta"], c_t + 0.0  # at s = 0 the weight of x_t is -0.0
    return (
        f"s = {known['s']}, t = {known['t']}: mean {q.mean[0]:.3f} = {c_0:.3f} x_0 + {c_t:.3f} x_t\n"
        f"variance: prior {float(known['prior'].var):.3g}, noise from s to t (beta) {known['beta']:.3g}, "
        f"posterior (beta-tilde) {float(q.var):.3g} = {ratio:.3f} beta"
    )


def posterior_explorer() -> Explorer:
    """The explorer of notebook 03: t and back count steps, and what the schedule does not have is cut off (t <= T, s >= 0)."""
    return explorer(
        posterior_figure, posterior_readout,
        x_0=slider(0.8, -2.0, 2.0, 0.1), x_t=slider(-0.5, -3.0, 3.0, 0.1), t=log_slider(500, 1, 1000), back=log_slider(1, 1, 1000),
        T=slider(1000, 25, 1000, 25), kind=choice(["linear", "cosine", "sigmoid"]),
    )  # fmt: skip


EXPLORERS["posterior"] = posterior_explorer
