"""Notebook 11: digits drawn from the same noise with and without guidance; what a classifier reads, and how far apart they lie."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from minidiff.nn.classifier import Judge
from minidiff.notebook.widgets import Explorer, explorer, patient, slider
from minidiff.prediction import Denoiser
from minidiff.run.conditions import label as told
from minidiff.sample import dpm_solver, last
from minidiff.wrappers import Clipped, Guided

DRAWN = 8  # digits in a row: few enough for a slider, and a warning that 8 of 8 is no accuracy
WRONG = "C1"


class Row(NamedTuple):
    """Digits and what the judge says of them: x (B, 1, H, W), the digit read of each, how sure it is of the one asked, their spread."""

    x: Tensor
    read: list[int]
    sure: float
    spread: float


def guided_digits(denoiser: Denoiser, label: int, scale: float, seed: int, steps: int) -> Tensor:
    """DRAWN digits of one class by `dpm_solver`, always from the same noise for one seed; two calls a step unless scale is 1."""
    x = torch.randn((DRAWN, 1, 28, 28), generator=torch.Generator().manual_seed(seed))
    inner = denoiser if scale == 1 else Guided(denoiser, scale)
    times = denoiser.schedule.times(steps)
    return last(dpm_solver(Clipped(inner), x, times, told(torch.full((DRAWN,), label)))).clamp(-1, 1)


@torch.no_grad()
def judged(judge: Judge, x: Tensor, label: int) -> Row:
    """What the judge reads. sure: the mean probability of `label`; spread: the mean distance of two of them in the judge's features."""
    says = judge(x)
    return Row(x, says.argmax(1).tolist(), float(says.softmax(1)[:, label].mean()), float(torch.pdist(judge.features(x)).mean()))


def digit_explorer(denoiser: Denoiser, judge: Judge, x: Tensor, y: Tensor) -> Explorer:
    """Label, scale, seed and steps: real digits, digits at scale 1, and the same noise at the scale chosen.

    denoiser: told a label (`run.conditions.label`) or nothing. judge: a classifier with `features`. x (N, 1, 28, 28) in [-1, 1] and labels
    y (N,): real digits, at least DRAWN of each class, ValueError otherwise. Checked by tests/test_guidance_widgets.py.
    """
    least = int(torch.bincount(y, minlength=10).min())
    if least < DRAWN:
        raise ValueError(f"real digits to compare with: at least {DRAWN} of each of ten classes; got one class with {least}")

    @lru_cache(maxsize=64)
    def drawn(label: int, scale: float, seed: int, steps: int) -> Row:
        return judged(judge, guided_digits(denoiser, label, scale, seed, steps), label)

    @lru_cache(maxsize=10)
    def real(label: int) -> tuple[Row, float]:
        mine = x[y == label]
        return judged(judge, mine[:DRAWN], label), judged(judge, mine, label).spread

    def rows(label: int, scale: float, seed: int, steps: int) -> dict[str, Row]:
        at = {f"scale {s:g}": drawn(label, s, seed, steps) for s in (1.0, scale)}
        return {"real": real(label)[0], **at}

    def update(label: int, scale: float, seed: int, steps: int) -> Figure:
        return digits_figure(rows(label, scale, seed, steps), label)

    def readout(label: int, scale: float, seed: int, steps: int) -> str:
        return digits_readout(rows(label, scale, seed, steps), label, real(label)[1])

    # A row costs a second or so: every slider waits until the hand lets go.
    return explorer(
        update, readout, label=patient(slider(7, 0, 9)), scale=patient(slider(4.0, 0.0, 8.0, 0.5)), seed=patient(slider(0, 0, 20)),
        steps=patient(slider(8, 1, 20)),
    )  # fmt: skip


def digits_figure(rows: dict[str, Row], label: int) -> Figure:
    """A row of pictures for each, with what is read above each picture; in colour where it is not what was asked."""
    fig = Figure(figsize=(0.95 * DRAWN, 1.2 * len(rows) + 0.3), layout="constrained")
    for ax, (name, row) in zip(fig.subplots(len(rows), squeeze=False)[:, 0], rows.items(), strict=True):
        pictures = F.pad(row.x[:, 0], (2, 2), value=torch.nan)  # nan is drawn as nothing: a gap
        ax.imshow(torch.cat(list(pictures), dim=1).numpy(), vmin=-1, vmax=1, cmap="gray")
        ax.xaxis.tick_top()
        wide = pictures.shape[2]
        ax.set(ylabel=name, yticks=[], xticks=[(i + 0.5) * wide - 0.5 for i in range(len(row.read))], xticklabels=row.read)
        ax.tick_params(length=0, pad=1, labelsize=9)
        ax.spines[:].set_visible(False)
        ax.grid(False)
        for tick, read in zip(ax.get_xticklabels(), row.read, strict=True):
            tick.set_color("black" if read == label else WRONG)
    fig.suptitle(f"asked for {label}; above each, what is read", fontsize=10)
    return fig


def digits_readout(rows: dict[str, Row], label: int, spread: float) -> str:
    """A line for each row; spread relative to that of all real digits of this class."""
    lines = [f"{'':10s}read as {label}   sure of {label}   spread"]
    for name, row in rows.items():
        lines.append(f"{name:10s}{row.read.count(label):4d} of {len(row.read)}{row.sure:12.2f}{row.spread / spread:9.2f}")
    return "\n".join(lines)
