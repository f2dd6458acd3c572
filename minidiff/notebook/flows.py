"""Notebook 08: grids of times, a denoiser that counts its calls, and two explorers: solvers on a flow in the plane, guided laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minidiff.arrays import Array
from minidiff.mixture import ExactDenoiser
from minidiff.notebook.widgets import EXPLORERS, Explorer, canvas, choice, explorer, slider
from minidiff.prediction import Denoiser, Prediction
from minidiff.sample import Step, ddim, dpm_solver, heun, last
from minidiff.schedule import Schedule
from minidiff.toy import ring

Float = NDArray[np.float64]
GRIDS = ("trailing", "quadratic", "log SNR", "rho 7")
SOLVERS: dict[str, Callable[..., Iterator[Step]]] = {"ddim": ddim, "dpm_solver": dpm_solver, "heun": heun}


class Counted:
    """The same denoiser, with a count of its calls: what a sampler costs, whatever its number of steps is."""

    def __init__(self, inner: Denoiser) -> None:
        self.inner, self.calls = inner, 0

    @property
    def schedule(self) -> Schedule:
        """The schedule of the denoiser inside."""
        return self.inner.schedule

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Prediction:
        self.calls += 1
        return self.inner(x_t, t, cond)


def times_at(schedule: Schedule, half_log_snr: Any) -> list[int]:
    """The times whose lambda comes nearest to the given ones (rising), and 0 at the end: a grid written as noise levels, as integers.

    n values make n steps. Where two would fall on one time the later ones move on by one, so that the times fall strictly.
    Checked by tests/test_widgets.py.

    >>> schedule = Schedule.linear(1000)
    >>> times_at(schedule, schedule.half_log_snr([1000, 400, 30]))
    [1000, 400, 30, 0]
    """
    wanted, t = np.asarray(half_log_snr, dtype=np.float64), np.arange(1, schedule.T + 1)
    n = len(wanted)
    if not 1 <= n <= schedule.T or np.any(np.diff(wanted) < 0):
        raise ValueError(f"half_log_snr must be 1..{schedule.T} rising numbers, from noise to data; got {n} that do not rise or do not fit")
    room = np.arange(n)
    up = np.round(np.interp(-wanted, -schedule.half_log_snr(t), t))[::-1].astype(int)
    up = np.maximum.accumulate(np.maximum(up - room, 1)) + room  # strictly rising from at least 1
    return [int(s) for s in np.minimum(up, schedule.T - n + 1 + room)[::-1]] + [0]


def grid(schedule: Schedule, n: int, kind: str) -> list[int]:
    """n steps from T to 0. "trailing", "quadratic": `schedule.times`. "log SNR": even in lambda, down to t = 1, then 0.

    "rho 7": even in sigma^(1/7), sigma = noise / signal, down to t = 1, then 0 (Karras et al. 2022, Eq. 5).
    """
    if kind not in GRIDS:
        raise ValueError(f"the grid must be one of {', '.join(GRIDS)}; got {kind!r}")
    if kind in ("trailing", "quadratic") or n == 1:
        return schedule.times(n, "trailing" if n == 1 else kind)
    noisy, clean = schedule.half_log_snr([schedule.T, 1])
    if kind == "log SNR":
        return times_at(schedule, np.linspace(noisy, clean, n))
    root = np.linspace(np.exp(-noisy / 7), np.exp(-clean / 7), n)
    return times_at(schedule, -7 * np.log(root))


# -- solvers on a flow in the plane -------------------------------------------------------------------------------------

DATA, SCHEDULE = ring(5, radius=1.0, std=0.12), Schedule.linear(1000)
EXACT = ExactDenoiser(DATA, SCHEDULE)


@cache
def _start_and_end() -> tuple[Float, Float]:
    """Forty starts in the noise, and where the flow takes them: Heun's rule in 400 steps, more exact than a figure can show."""
    x_T = np.random.default_rng(3).standard_normal((40, 2))
    return x_T, last(heun(EXACT, x_T, SCHEDULE.times(400, "quadratic")))


@cache
def _density() -> tuple[Float, Float]:
    side = np.linspace(-2.6, 2.6, 105)
    x, y = np.meshgrid(side, side)
    return side, np.exp(DATA.log_prob(np.stack([x.ravel(), y.ravel()], 1))).reshape(x.shape)


@cache
def _walk(solver: str, steps: int, kind: str) -> tuple[list[Step], int]:
    counted = Counted(EXACT)
    return list(SOLVERS[solver](counted, _start_and_end()[0], grid(SCHEDULE, steps, kind))), counted.calls


def flow_figure(steps: int, solver: str, times: str) -> Figure:
    """Forty paths over the density, with the ends that they should have reached; and the noise levels that the steps visit."""
    path, (_, right) = _walk(solver, steps, times)[0], _start_and_end()
    fig, (a, b) = canvas(2, width=4.3, height=4.0)
    side, density = _density()
    a.contourf(side, side, density, levels=8, cmap="Blues", alpha=0.7)
    a.plot(*np.stack([step.x_t for step in path]).transpose(2, 0, 1), color="0.45", linewidth=0.7)
    a.scatter(*right.T, s=42, facecolors="none", edgecolors="black", linewidths=0.8, label="true end of the flow")
    a.scatter(*path[-1].x_t.T, s=12, color="C1", zorder=3, label="end of the solver")
    a.set(xlim=(-2.6, 2.6), ylim=(-2.6, 2.6), aspect="equal", title=f"{solver}, {steps} steps")
    a.legend(loc="upper left", fontsize=8, frameon=True)
    t = [step.t for step in path[:-1]]
    b.plot(t, np.exp(-SCHEDULE.half_log_snr(t)), "o-", markersize=4, linewidth=1)
    b.set(xlabel="t", ylabel=r"$\sigma$ = noise / signal", yscale="log", title=f"{times}: where the steps begin", xlim=(1040, -40))
    b.set_ylim(5e-3, 300)
    return fig


def flow_readout(steps: int, solver: str, times: str) -> str:
    """What it cost and how far off it is."""
    (path, calls), (_, right) = _walk(solver, steps, times), _start_and_end()
    away = np.linalg.norm(path[-1].x_t - right, axis=1)
    return f"{calls} network calls   mean distance to the true end points {away.mean():.4f}   largest {away.max():.3f}"


def flow_explorer() -> Explorer:
    """The first explorer of notebook 08."""
    return explorer(flow_figure, flow_readout, steps=slider(6, 1, 50), solver=choice(list(SOLVERS)), times=choice(GRIDS))


# -- what guidance samples ----------------------------------------------------------------------------------------------


def guided_laws(scale: float, ratio: float, shift: float = 1.0) -> dict[str, tuple[float, float]]:
    """(mean, variance) of three Gaussians for everybody N(0, 1), the class N(shift, ratio) and guidance w = scale - 1.

    tilted: the density p(x | c)^(1+w) / p(x)^w; ODE: what `ddim` and `heun` sample; ancestral: what `ddpm` samples, all in the limit of
    fine steps and alpha_bar_T = 0. Equations B5, whose powers of r = ratio are written as means over r..1 and so hold at r = 1 too:
    ODE mean (1 + w) E[(r + (1-r) u^2)^(w/2)], ancestral (1 + w) E[(r + (1-r) u)^w] and variance r E[(r + (1-r) u)^(2w)], u uniform.
    Checked by tests/test_widgets.py and notebook 08. The tilted law exists while 1 + w (1 - r) > 0.
    """
    w, r = scale - 1, ratio
    if not 0 < r <= 1 or 1 + w * (1 - r) <= 0:
        raise ValueError(f"needed: 0 < ratio <= 1 and 1 + w (1 - ratio) > 0; got ratio {ratio}, w {w}")
    nodes, weights = np.polynomial.legendre.leggauss(80)
    u, weights = (nodes + 1) / 2, weights / 2
    sharp = 1 + w * (1 - r)
    mean = {
        "tilted": (1 + w) / sharp,
        "ODE": float((1 + w) * (weights @ (r + (1 - r) * u**2) ** (w / 2))),
        "ancestral": float((1 + w) * (weights @ (r + (1 - r) * u) ** w)),
    }
    var = {"tilted": r / sharp, "ODE": r ** (1 + w), "ancestral": float(r * (weights @ (r + (1 - r) * u) ** (2 * w)))}
    return {name: (shift * mean[name], var[name]) for name in mean}


def guidance_figure(scale: float, ratio: float) -> Figure:
    """Everybody, the class, and the three laws that a guided class may mean."""
    fig, ax = canvas(1, width=7.2, height=3.4)

    def bell(mean: float, var: float) -> tuple[Float, Float]:
        x = mean + np.sqrt(var) * np.linspace(-5, 5, 301)
        return x, np.exp(-((x - mean) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var)

    ax.fill_between(*bell(0.0, 1.0), color="0.8", label="everybody")
    ax.fill_between(*bell(1.0, ratio), color="C0", alpha=0.25, label="the class")
    styles = {"tilted": ("black", "--"), "ODE": ("C1", "-"), "ancestral": ("C2", "-")}
    for name, (mean, var) in guided_laws(scale, ratio).items():
        ax.plot(*bell(mean, var), styles[name][1], color=styles[name][0], label=name)
    ax.set(xlabel="x", ylabel="density", title=f"guidance scale {scale:g} (w = {scale - 1:g})", xlim=(-3.5, 8), ylim=(0, 2.5))
    ax.legend()
    return fig


def guidance_readout(scale: float, ratio: float) -> str:
    """Mean and variance of the three laws."""
    laws = guided_laws(scale, ratio)
    return "\n".join(f"{name:10s} mean {mean:6.3f}   variance {var:.3g}" for name, (mean, var) in laws.items())


def guidance_explorer() -> Explorer:
    """The second explorer of notebook 08; scale 1 is no guidance, 0 is no condition."""
    return explorer(guidance_figure, guidance_readout, scale=slider(2.5, 0.0, 6.0, 0.25), ratio=slider(0.25, 0.05, 1.0, 0.05))


EXPLORERS["flow"] = flow_explorer
EXPLORERS["guidance"] = guidance_explorer
