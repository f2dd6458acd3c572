"""Notebook 05: what a loss charges at each log SNR, how often a schedule goes there, and the product of the two."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minidiff.notebook.bit_budget import budget_schedule
from minidiff.notebook.widgets import EXPLORERS, Explorer, canvas, choice, explorer, patient, slider
from minidiff.schedule import Schedule

Float = NDArray[np.float64]
# What each loss pays for an eps error of 1, as a function of SNR: the table of notebook 05, section 6, divided by SNR.
PRICES: dict[str, Callable[[Float], Float]] = {
    "simple (eps)": np.ones_like,
    "x_0": lambda snr: 1 / snr,
    "v": lambda snr: (snr + 1) / snr,
    "score": lambda snr: snr + 1,
    "flow": lambda snr: (1 + np.sqrt(snr)) ** 2 / snr,
    "min-SNR": lambda snr: np.minimum(snr, 5) / snr,
}
BOUND = "bound"
# An error of the same kind at every t, as an eps error: squared, as a function of SNR.
ERRORS: dict[str, Callable[[Float], Float]] = {
    "of the best denoiser": lambda snr: snr / (1 + snr),
    "1 in eps": np.ones_like,
    "1 in x_0": lambda snr: snr,
}
LEVELS = (-4.0, 4.0)  # log SNR: below, noise with hardly a picture; above, a picture with hardly any noise


def weight_schedule(kind: str, T: int) -> Schedule:
    """"linear", rescaled so that any T ends in noise (notebook 04), "cosine" or "sigmoid"."""
    return Schedule.sigmoid(T) if kind == "sigmoid" else budget_schedule("rescaled" if kind == "linear" else kind, T)


def paid(loss: str, error: str, schedule: Schedule) -> tuple[Float, Float, Float]:
    """(log SNR of t = 1..T, falling; widths of the steps t = 2..T in log SNR; what `loss` pays for `error` at t = 2..T).

    "bound": the price of L_{t-1} at sigma^2 = beta-tilde, (SNR(t-1) / SNR(t) - 1) / 2 for an eps error of 1. "of the best denoiser": for
    data N(0, 1), whose E[x_0 | x_t] is off by 1 / (1 + SNR), squared. Checked by tests/test_weight_widgets.py.
    """
    log_snr = 2 * schedule.half_log_snr(np.arange(1, schedule.T + 1))
    width, snr = -np.diff(log_snr), np.exp(log_snr[1:])
    price = np.expm1(width) / 2 if loss == BOUND else PRICES[loss](snr)
    return log_snr, width, price * ERRORS[error](snr)


def shares(loss: str, error: str, schedule: Schedule) -> tuple[float, float, float]:
    """The parts of a training loss (t uniform on 2..T) that come from log SNR below -4, between, and above 4. They sum to 1."""
    log_snr, _, cost = paid(loss, error, schedule)
    low, high = (float(cost[part].sum() / cost.sum()) for part in (log_snr[1:] < LEVELS[0], log_snr[1:] > LEVELS[1]))
    return low, 1 - low - high, high


def weights_figure(loss: str, error: str, schedule: str, T: int) -> Figure:
    """Three panels over log SNR: the price of the error, the density of the schedule's times, and the density of what is paid."""
    log_snr, width, cost = paid(loss, error, weight_schedule(schedule, T))
    fig, (a, b, c) = canvas(3, width=3.9, height=3.2)
    edges = log_snr[::-1]
    for ax, height, colour in ((b, 1 / (len(width) * width), "C5"), (c, cost / cost.sum() / width, "C1")):
        ax.stairs(height[::-1], edges, fill=True, color=colour, alpha=0.35)
        ax.stairs(height[::-1], edges, color=colour, linewidth=1.2)
        ax.set(ylim=(0, 0.4))
    a.plot(log_snr[1:], cost, color="C0")
    a.set(yscale="log", ylim=(1e-5, 1e5), title=f"{loss}: price of the error")
    b.set(title=f"{schedule}: where its times lie")
    c.set(title="where the loss is paid")
    for ax in (a, b, c):
        ax.set(xlabel=r"log SNR (noise $\to$ picture)", xlim=(-21, 12))
        for level in LEVELS:
            ax.axvline(level, color="0.5", linewidth=0.8, linestyle=":")
    a.set_ylabel("loss")
    b.set_ylabel("per nat")
    return fig


def weights_readout(loss: str, error: str, schedule: str, T: int) -> str:
    """Where the times lie, and where the loss is paid."""
    made = weight_schedule(schedule, T)
    log_snr = paid(loss, error, made)[0][1:]
    times = (log_snr < LEVELS[0]).mean(), ((log_snr >= LEVELS[0]) & (log_snr <= LEVELS[1])).mean(), (log_snr > LEVELS[1]).mean()
    lines = [f"{'log SNR':14s}{'below -4':>10s}{'-4 to 4':>10s}{'above 4':>10s}"]
    for name, parts in (("times", times), ("loss paid", shares(loss, error, made))):
        lines.append(f"{name:14s}" + "".join(f"{part:>10.1%}" for part in parts))
    return "\n".join(lines)


def weights_explorer() -> Explorer:
    """The explorer of notebook 05: the loss, the error it is charged for, the schedule, and T."""
    return explorer(
        weights_figure, weights_readout, loss=choice([*PRICES, BOUND]), error=choice(list(ERRORS)),
        schedule=choice(["linear", "cosine", "sigmoid"]), T=patient(slider(1000, 50, 1000, 50)),
    )  # fmt: skip


EXPLORERS["weights"] = weights_explorer
