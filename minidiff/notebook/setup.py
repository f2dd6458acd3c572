"""The first cell of every notebook: seeds, one thread, one style of figure; and the two profiles."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.rcsetup import cycler

from minidiff.notebook.alternative import describe_figures

T = TypeVar("T")

PROFILES = ("quick", "full")
# Blue, orange, green, purple, sand, grey: "C0" to "C5" wherever something is drawn. Any two of them differ by a CIEDE2000 of 12 or more, to
# normal eyes and to protanopes, deuteranopes and tritanopes, and all by 3:1 in contrast from white. Checked by tests/test_palette.py.
COLOURS = ["#0f71d3", "#df6309", "#2d6e44", "#98488e", "#a79067", "#6d7674"]

STYLE: dict[Any, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": cycler(color=COLOURS),
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


def profile() -> str:
    """The profile in force: "quick" (default: what is committed and tested) or "full", from MINIDIFF_PROFILE."""
    name = os.environ.get("MINIDIFF_PROFILE", "quick")
    if name not in PROFILES:
        raise ValueError(f'MINIDIFF_PROFILE must be "quick" or "full"; got {name!r}')
    return name


def budget(quick: T, full: T) -> T:
    """The size that fits the profile: `steps = budget(quick=300, full=20_000)`."""
    return quick if profile() == "quick" else full


def setup(seed: int = 0) -> np.random.Generator:
    """Seed everything, set one thread, the figure style and an alternative text for each figure; returns the notebook's NumPy generator."""
    describe_figures()
    mpl.rcParams.update(STYLE)
    torch.manual_seed(seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return np.random.default_rng(seed)
