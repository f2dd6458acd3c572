"""The log of a training: a row of log.csv for each step. `minidiff.notebook.log_figure` draws it."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
