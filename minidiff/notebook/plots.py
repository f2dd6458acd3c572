"""The figures that several notebooks draw, in one style. Each returns its Figure; nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def panel(columns: int = 1, rows: int = 1, width: float = 4.2, height: float = 3.2) -> tuple[Figure, Any]:
    """A figure of rows x columns axes; `axes` is one Axes for a single panel, otherwise a flat array."""
    fig, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    return fig, axes[0, 0] if rows == columns == 1 else axes.ravel()


def images(x: Any, columns: int = 8, scale: float = 0.8, title: str | None = None, labels: Sequence[str] | None = None) -> Figure:
    """A grid of pictures: grey (N, 1, H, W) or (N, H, W), colour (N, 3, H, W); NumPy or torch, values in [-1, 1] (clipped for display)."""
    x = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x, dtype=float)
    if x.ndim == 4:
        x = x[:, 0] if x.shape[1] == 1 else (x.transpose(0, 2, 3, 1) + 1) / 2
    low = -1 if x.ndim == 3 else 0
    rows = -(-len(x) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(scale * columns, scale * rows + (0.35 if title else 0)), squeeze=False)
    for i, ax in enumerate(axes.ravel()):
        ax.axis("off")
        if i < len(x):
            ax.imshow(np.clip(x[i], low, 1), vmin=-1, vmax=1, cmap="gray")
            if labels is not None:
                ax.set_title(labels[i], fontsize=8)
    if title:
        fig.suptitle(title)
    return fig


def points(sets: Mapping[str, Any], limit: float = 1.3, size: float = 3.0, width: float = 3.0) -> Figure:
    """Scatter plots side by side: a title -> points (n, 2) for each panel, all on the same square."""
    fig, axes = plt.subplots(1, len(sets), figsize=(width * len(sets), width + 0.3), squeeze=False)
    for ax, (title, x) in zip(axes[0], sets.items(), strict=True):
        x = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
        ax.scatter(x[:, 0], x[:, 1], s=size, alpha=0.5, linewidths=0)
        square(ax, limit)
        ax.set_title(title)
    return fig


def square(ax: Axes, limit: float) -> None:
    """Equal axes from -limit to limit."""
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")


def curves(ax: Axes, x: Any, ys: Mapping[str, Any], xlabel: str, ylabel: str, title: str = "", log: str = "") -> None:
    """Labelled lines over one axis; log: any of "x", "y", "xy"."""
    for label, y in ys.items():
        ax.plot(x, y, label=label)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if "x" in log:
        ax.set_xscale("log")
    if "y" in log:
        ax.set_yscale("log")
    if len(ys) > 1:
        ax.legend()
