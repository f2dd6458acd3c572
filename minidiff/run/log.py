"""The log of a training: a row of log.csv for each step, and a figure of it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minidiff.learn.checkpoint import FileError, replacing

COLUMNS = ("step", "loss", "lr", "grad_norm", "seconds", "images_seen")


@contextmanager
def step_log(path: Path, step: int) -> Iterator[Callable[[tuple[Any, ...]], None]]:
    """A function that appends one row to the CSV file at path and flushes it. FileError if it cannot be written.

    Columns: step, loss (per feature), lr, grad_norm (before it is cut), seconds (of training, over all runs), images_seen. Rows after
    `step`, of a run that was killed and makes those steps again, are dropped first.
    """
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [row for row in csv.reader(old) if len(row) == len(COLUMNS) and row[0].isdigit() and int(row[0]) <= step]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator="\n").writerows([COLUMNS, *rows])
    with path.open("ab", buffering=0) as raw:
        writer = csv.writer(SimpleNamespace(write=lambda text: raw.write(text.encode())), lineterminator="\n")

        def log(row: tuple[Any, ...]) -> None:
            try:
                writer.writerow(row)
            except OSError as e:
                raise FileError(f"cannot write {path}: {e.strerror}; the same command goes on from the last state saved") from e

        yield log


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
