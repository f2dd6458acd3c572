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
from minidiff.sample import Step


def with_progress(steps: Iterable[Step], n: int) -> Tensor:
    """Run a sampler to its end under a progress bar (silent when not on a terminal)."""
    x: Any = None
    for step in tqdm(steps, total=n + 1, unit="step", disable=None):
        x = step.x_t
    return torch.as_tensor(x)


def write(path: Path, x: Tensor) -> None:
    """Pictures (N, 1 or 3, H, W) in [-1, 1] as one grid in a .png; points (N, D) as a .csv; with .npz the numbers themselves, as `samples`.

    ValueError for another ending.
    """
    wanted = ".png" if x.ndim == 4 else ".csv"
    if path.suffix not in (wanted, ".npz"):
        raise ValueError(f"these samples are written as {wanted} or .npz; got {path}")
    with replacing(path) as temporary:
        if path.suffix == ".npz":
            with temporary.open("wb") as f:
                np.savez_compressed(f, samples=x.numpy())
        elif x.ndim == 4:
            Image.fromarray(grid(x.numpy())).save(temporary, format="PNG")
        else:
            np.savetxt(temporary, x.numpy(), delimiter=",", fmt="%.6f")


def grid(x: Any, border: int = 2) -> Any:
    """(N, 1, H, W) or (N, 3, H, W) in [-1, 1] -> one uint8 picture, grey or RGB, as square a grid as N allows, two-fold enlarged."""
    N, C, H, W = x.shape
    columns = math.ceil(math.sqrt(N))
    rows = math.ceil(N / columns)
    sheet = np.full((rows * (H + border) + border, columns * (W + border) + border, C), 128, np.uint8)
    for i in range(N):
        top, left = (i // columns) * (H + border) + border, (i % columns) * (W + border) + border
        sheet[top : top + H, left : left + W] = np.clip(np.round((x[i].transpose(1, 2, 0) + 1) * 127.5), 0, 255)
    return (sheet[:, :, 0] if C == 1 else sheet).repeat(2, axis=0).repeat(2, axis=1)
