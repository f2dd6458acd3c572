"""Sliders over plain functions: `update(**values) -> Figure`.

An `Explorer` sets traits (the bytes and the words of an image, the text of a readout) and nothing else, so that a notebook with sliders
can be compared by `pytest --nbval`, and moving a slider in code, `explorer.controls.T.value = 50`, does what a hand does.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import ipywidgets as ipw
import numpy as np
from matplotlib.figure import Figure

from minidiff.bound import bits_per_dim, prior_term
from minidiff.gaussian import Gaussian
from minidiff.notebook.alternative import Picture, description
from minidiff.schedule import Schedule
from minidiff.toy import GaussianMixture

Update: TypeAlias = Callable[..., Figure]
Readout: TypeAlias = Callable[..., str]


class Explorer(ipw.VBox):
    """Controls, then the figure, then a readout; made by `explorer`. Move `controls.NAME.value`, read `text`."""

    def __init__(self, update: Update, readout: Readout | None, controls: dict[str, ipw.Widget]) -> None:
        self._update, self._readout = update, readout
        self.controls = SimpleNamespace(**controls)
        self.image, self.readout, self.text = Picture(format="png"), ipw.HTML(), ""
        super().__init__([*controls.values(), self.image, self.readout])
        for control in controls.values():
            control.observe(self._refresh, names="value")
        self._refresh()

    def values(self) -> dict[str, Any]:
        """What the controls say now: name -> value."""
        return {name: control.value for name, control in vars(self.controls).items()}

    def _refresh(self, change: Any = None) -> None:
        values = self.values()
        figure = self._update(**values)
        self.image.value, self.image.tooltip = png(figure), description(figure)
        if self._readout is not None:
            self.text = self._readout(**values)
            self.readout.value = f"<pre>{html.escape(self.text)}</pre>"


def explorer(update: Update, readout: Readout | None = None, **controls: ipw.Widget) -> Explorer:
    """Sliders over a function: `explorer(update, T=slider(50, 10, 1000))` calls update(T=50) now and again at each move.

    update: values -> Figure, built with matplotlib.figure.Figure (see `canvas`), not with pyplot. readout: values -> text.
    controls: the arguments of both, each a widget with a `value`; `slider`, `log_slider` and `choice` make the usual ones.
    """
    for name, control in controls.items():
        control.description = control.description or name
    return Explorer(update, readout, controls)


def slider(value: float, low: float, high: float, step: float | None = None, label: str = "") -> ipw.Widget:
    """An even slider from low to high; whole numbers if the value is an int."""
    if isinstance(value, int):
        return ipw.IntSlider(value=value, min=int(low), max=int(high), step=int(step or 1), description=label)
    return ipw.FloatSlider(value=value, min=low, max=high, step=step or (high - low) / 100, description=label, readout_format=".3g")


def patient(control: ipw.Widget) -> ipw.Widget:
    """The same slider, heard only when the hand lets go: for an update of more than a tenth of a second.

    A slider reports each place that it passes. Where an update is slower than the hand, the reports queue up, and the picture goes on
    changing long after the hand has stopped.
    """
    control.continuous_update = False
    return control


def log_slider(value: float, low: float, high: float, label: str = "") -> ipw.Widget:
    """A slider that moves by equal factors from low to high."""
    low, high = float(np.log10(low)), float(np.log10(high))
    return ipw.FloatLogSlider(value=value, min=low, max=high, step=0.05, description=label, readout_format=".3g")


def choice(options: Sequence[Any], value: Any = None, label: str = "") -> ipw.Widget:
    """A drop-down list; the first option unless `value` is given."""
    return ipw.Dropdown(options=list(options), value=options[0] if value is None else value, description=label)


def canvas(columns: int = 1, width: float = 3.6, height: float = 2.9) -> tuple[Figure, Any]:
    """An empty figure outside pyplot, for `update` functions; `axes` as in plots.panel.

    Its margins are fixed, with room for labels and titles: to measure them anew at each move would double the time of drawing.
    """
    wide, left, between = width * columns, 0.75, 0.75
    fig = Figure(figsize=(wide, height), layout="none")  # type: ignore[arg-type]  # documented, but not in matplotlib's types
    axes = fig.subplots(1, columns, squeeze=False)
    each = (wide - left - 0.15 - between * (columns - 1)) / columns
    fig.subplots_adjust(left / wide, 0.55 / height, 1 - 0.15 / wide, 1 - 0.4 / height, wspace=between / each)
    return fig, axes[0, 0] if columns == 1 else axes.ravel()


def png(fig: Figure) -> bytes:
    """The figure as the bytes of a PNG file, without a note of who wrote it."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


# -- the explorers of the course: a figure, a readout, and the sliders over both -----------------------------------------


def make_schedule(kind: str, T: int, beta_T: float, offset: float) -> Schedule:
    """The schedule that the sliders of notebook 02 describe; beta_T matters to "linear" only, offset to "cosine" only."""
    if kind == "linear":
        return Schedule.linear(T, beta_1=min(1e-4, beta_T / 2), beta_T=beta_T)
    return Schedule.cosine(T, offset=offset) if kind == "cosine" else Schedule.sigmoid(T)


def schedule_figure(kind: str, T: int, beta_T: float, offset: float) -> Figure:
    """Three views of one schedule over t/T: alpha_bar, signal and noise, log-SNR."""
    schedule = make_schedule(kind, T, beta_T, offset)
    t = np.arange(1, T + 1)
    signal, noise = schedule.scales(t)
    fig, (a, b, c) = canvas(3)
    a.plot(np.arange(T + 1) / T, schedule.alpha_bar)
    a.set(xlabel="t / T", title=r"$\bar\alpha_t$: signal power left", ylim=(-0.03, 1.03))
    b.plot(t / T, signal, label=r"$\sqrt{\bar\alpha_t}$")
    b.plot(t / T, noise, label=r"$\sqrt{1-\bar\alpha_t}$")
    b.set(xlabel="t / T", title="signal and noise", ylim=(-0.03, 1.03))
    b.legend()
    c.plot(t / T, 2 * schedule.half_log_snr(t))
    c.axhline(0, color="0.6", linewidth=1)
    c.set(xlabel="t / T", title="log SNR (nats)", ylim=(-20, 12))
    return fig


def schedule_readout(kind: str, T: int, beta_T: float, offset: float) -> str:
    """What is left at the end: alpha_bar_T, and L_T for data with E[x_0^2] = 1."""
    schedule = make_schedule(kind, T, beta_T, offset)
    left = schedule.alpha_bar[-1]
    cost = float(bits_per_dim(prior_term(schedule, np.ones((1, 1)))[0], 1))
    verdict = "fine: x_T is noise" if cost < 1e-3 else "x_T still knows x_0"
    return f"alpha_bar_T = {left:.3g}   L_T = {cost:.3g} bits/dim   ({verdict})"


def schedule_explorer() -> Explorer:
    """The explorer of notebook 02."""
    return explorer(
        schedule_figure, schedule_readout,
        T=slider(50, 10, 1000, 10), beta_T=log_slider(0.02, 1e-3, 0.5), offset=slider(0.008, 0.0, 0.1, 0.002),
        kind=choice(["linear", "cosine", "sigmoid"]),
    )


EXPLORERS: dict[str, Callable[[], Explorer]] = {"schedule": schedule_explorer}  # tests/test_widgets.py walks the ends of each


def two_modes(separation: float) -> GaussianMixture:
    """Two equal bumps of width 0.5 at -separation / 2 and + separation / 2, on the line."""
    return GaussianMixture(np.array([0.5, 0.5]), np.array([[-separation / 2], [separation / 2]]), np.array([0.25, 0.25]))


def both_kl(separation: float, mean: float, std: float) -> tuple[float, float]:
    """KL(p || q) and KL(q || p) in nats for p = two_modes, q = N(mean, std^2): sums over a fine grid."""
    x = np.linspace(-24, 24, 9601)
    log_p = two_modes(separation).log_prob(x[:, None])
    log_q = Gaussian(np.full_like(x, mean), std**2).log_prob(x)
    p, q = np.exp(log_p) * (x[1] - x[0]), np.exp(log_q) * (x[1] - x[0])
    return float((p * (log_p - log_q)).sum()), float((q * (log_q - log_p)).sum())


def kl_figure(separation: float, mean: float, std: float) -> Figure:
    """The two-mode density p and the Gaussian q that is to stand for it."""
    x = np.linspace(-6, 6, 601)
    fig, ax = canvas(1, width=6)
    ax.fill_between(x, np.exp(two_modes(separation).log_prob(x[:, None])), alpha=0.3, label="p: two modes")
    ax.plot(x, np.exp(Gaussian(np.full_like(x, mean), std**2).log_prob(x)), color="C1", label="q: your Gaussian")
    ax.set(xlabel="x", ylabel="density", ylim=(0, 0.85))
    ax.legend(loc="upper left")
    return fig


def kl_readout(separation: float, mean: float, std: float) -> str:
    """Both directions, in nats."""
    forward, reverse = both_kl(separation, mean, std)
    return f"KL(p || q) = {forward:.3f} nats   KL(q || p) = {reverse:.3f} nats"


def kl_explorer() -> Explorer:
    """The explorer of notebook 01."""
    return explorer(
        kl_figure, kl_readout, separation=slider(4.0, 0.0, 6.0, 0.25), mean=slider(0.0, -4.0, 4.0, 0.05), std=slider(1.0, 0.2, 4.0, 0.05)
    )


EXPLORERS["kl"] = kl_explorer
