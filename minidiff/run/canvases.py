"""What goes wrong on a canvas larger than those of training, as numbers: seams, a ground that changes, waves that are too weak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Numbers = NDArray[np.float64]


def seams(x: Tensor, starts: Sequence[int], axis: int = -1) -> Numbers:
    """Mean squared step from one pixel to the next across the lines where windows begin, relative to all other steps: (B, 3, H, W) -> (B,).

    1 where there are no seams. starts: the windows' first columns (axis -1) or rows (axis -2), where 0 begins no seam. ValueError if none
    is left.
    """
    inner = sorted({s for s in starts if 0 < s < x.shape[axis]})
    if not inner:
        raise ValueError(f"a seam lies between two windows: there must be a start in 1..{x.shape[axis] - 1}; got {list(starts)}")
    steps = x.diff(dim=axis).double().square().movedim(axis, -1).mean((1, 2))  # (B, length - 1): steps[s - 1] leads into s
    across = torch.zeros(steps.shape[1], dtype=torch.bool)
    across[torch.tensor(inner) - 1] = True
    out: Numbers = (steps[:, across].mean(1) / steps[:, ~across].mean(1)).numpy()
    return out


def ground_drift(x: Tensor, maps: Tensor, patch: int = 32) -> Numbers:
    """How much the mean colour of the ground differs between patches of the training size: standard deviation over patches, (B,).

    x (B, 3, H, W) in [-1, 1], maps (B, H, W), 0 where there is ground; H and W multiples of patch, more than one of them. Near 0 where a
    canvas has one ground: then only the waves of its texture and the number of pixels differ.
    """
    H, W = x.shape[-2:]
    if H % patch or W % patch or patch**2 == H * W:
        raise ValueError(f"a canvas must be made of several patches of {patch} x {patch}; got {H} x {W}")
    free = (maps == 0)[:, None].double()
    means = F.avg_pool2d(x.double() * free, patch) / F.avg_pool2d(free, patch).clamp(min=1e-9)  # (B, 3, rows, columns)
    weights = F.avg_pool2d(free, patch).flatten(2)
    means = means.flatten(2)
    middle = (means * weights).sum(-1, keepdim=True) / weights.sum(-1, keepdim=True)
    out: Numbers = ((means - middle) ** 2 * weights).sum(-1).div(weights.sum(-1)).mean(1).sqrt().numpy()
    return out


def patch_spectrum(x: Tensor, patch: int = 32) -> Numbers:
    """Mean power of waves of |k| in [b, b + 1), b = 1..15 per 32 pixels, of all patches of the training size, whatever the canvas: (15,).

    Each patch is faded out towards its borders (a Hann window) and its mean removed, so that cutting adds no waves of its own.
    """
    tiles = x.unfold(-2, patch, patch).unfold(-2, patch, patch).double()  # (B, 3, rows, columns, patch, patch)
    fade = torch.hann_window(patch, periodic=False, dtype=torch.float64)
    tiles = (tiles - tiles.mean((-2, -1), keepdim=True)) * fade[:, None] * fade
    power = torch.fft.fft2(tiles, norm="ortho").abs().square().mean((0, 1, 2, 3))
    k = torch.fft.fftfreq(patch) * patch
    radius = (k[:, None] ** 2 + k**2).sqrt().floor()
    return np.array([power[radius == b].mean().item() for b in range(1, patch // 2)])
