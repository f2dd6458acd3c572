"""Samples as files: a grid of pictures (.png) or a table of points (.csv)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from minidiff.learn.checkpoint import replacing
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.nn.mlp import MLP
from minidiff.sample import Step


def shape_of(denoiser: NetworkDenoiser) -> tuple[int, ...]:
    """The shape of one sample: (2,) for points in the plane, (1, 28, 28) for digits."""
    return (denoiser.network.dim,) if isinstance(denoiser.network, MLP) else (1, 28, 28)


def with_progress(steps: Iterable[Step], n: int) -> Tensor:
    """Run a sampler to its end under a progress bar (silent when not on a terminal)."""
    x: Any = None
    for step in tqdm(steps, total=n + 1, unit="step", disable=None):
        x = step.x_t
    return torch.as_tensor(x)


def write(path: Path, x: Tensor) -> None:
    """Pictures (N, 1, H, W) in [-1, 1] as one grid in a .png; points (N, D) as a .csv. ValueError for another ending."""
    wanted = ".png" if x.ndim == 4 else ".csv"
    if path.suffix != wanted:
        raise ValueError(f"these samples are written as {wanted}; got {path}")
    with replacing(path) as temporary:
        if x.ndim == 4:
            Image.fromarray(grid(x.numpy())).save(temporary, format="PNG")
        else:
            np.savetxt(temporary, x.numpy(), delimiter=",", fmt="%.6f")


def grid(x: Any, border: int = 2) -> Any:
    """(N, 1, H, W) in [-1, 1] -> one uint8 picture, as square a grid as N allows, two-fold enlarged."""
    N, _, H, W = x.shape
    columns = math.ceil(math.sqrt(N))
    rows = math.ceil(N / columns)
    sheet = np.full((rows * (H + border) + border, columns * (W + border) + border), 128, np.uint8)
    for i in range(N):
        top, left = (i // columns) * (H + border) + border, (i % columns) * (W + border) + border
        sheet[top : top + H, left : left + W] = np.clip(np.round((x[i, 0] + 1) * 127.5), 0, 255)
    return sheet.repeat(2, axis=0).repeat(2, axis=1)
