"""The log of a training as a figure: `minidiff train` leaves log.png beside log.csv."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from minidiff.learn.checkpoint import replacing
from minidiff.run.log import COLUMNS


def draw_log(source: Path, target: Path, windows: int = 100) -> None:
    """log.csv as a picture: loss and norm of the gradient, each step a dot, and medians over windows of steps as a line; learning rate.

    Medians, for the loss of one batch depends most of all on the t it happened to draw. Checked by tests/test_training_cli.py.
    """
    table = list(csv.reader(source.read_text(encoding="utf-8").splitlines()))[1:]
    if not table:
        return
    rows = np.array(table, dtype=float)
    step, windows = rows[:, 0], min(windows, len(rows))
    fig = Figure(figsize=(13, 3.6), layout="tight")
    for ax, name in zip(fig.subplots(1, 3), ("loss", "grad_norm", "lr"), strict=True):
        y = rows[:, COLUMNS.index(name)]
        ax.set(xlabel="step", title={"loss": "loss per feature", "grad_norm": "norm of the gradient", "lr": "learning rate"}[name])
        if name == "lr":
            ax.plot(step, y)
            continue
        ax.plot(step, y, ".", ms=2, alpha=0.3)
        ax.plot(*([np.median(part) for part in np.array_split(v, windows)] for v in (step, y)), label="median")
        ax.set_yscale("log")
        ax.legend()
    with replacing(target) as temporary:
        fig.savefig(temporary, format="png", dpi=120)
