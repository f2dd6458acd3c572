"""A small network that says of every pixel to which digit's box it belongs, and of which colour that digit is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.classifier import Pair, stage

CLASSES, TINTS = 11, 7  # ground and ten digits; ground and six colours


class SceneJudge(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> logits (B, 11 + 7, H, W), of the map and of the tint of minidiff.run.scenes; H and W multiples of 4.

    Convolutions only, so it reads a canvas of any size by the same rule everywhere; a quarter of the size at its coarsest, where a
    place sees a whole digit.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        w = width
        self.at_full = stage(3, w, False)
        self.at_half = nn.Sequential(stage(w, 2 * w, True), Pair(2 * w))
        self.at_quarter = nn.Sequential(stage(2 * w, 4 * w, True), Pair(4 * w), Pair(4 * w))
        self.back_to_half = stage(6 * w, 2 * w, False)
        self.back_to_full = stage(3 * w, w, False)
        self.last = nn.Conv2d(w, CLASSES + TINTS, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != 3 or x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(f"the judge reads (B, 3, H, W) in [-1, 1], H and W multiples of 4; got {tuple(x.shape)}")
        full = self.at_full(x)
        half = self.at_half(full)
        h = F.interpolate(self.at_quarter(half), scale_factor=2.0, mode="nearest")
        h = F.interpolate(self.back_to_half(torch.cat([h, half], 1)), scale_factor=2.0, mode="nearest")
        out: Tensor = self.last(self.back_to_full(torch.cat([h, full], 1)))
        return out


def map_loss(logits: Tensor, maps: Tensor) -> Tensor:
    """The two cross-entropies in nats a pixel, added: logits (B, 18, H, W), maps (B, 2, H, W) of whole numbers -> a scalar."""
    return F.cross_entropy(logits[:, :CLASSES], maps[:, 0]) + F.cross_entropy(logits[:, CLASSES:], maps[:, 1])
