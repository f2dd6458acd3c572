"""A discriminator that judges patches: one score for each part of a picture, so that it sees texture and not contents."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call


class PatchDiscriminator(nn.Module):
    """(B, 3, H, W) in [-1, 1] -> scores (B, 1, H/4, W/4), high for real; each sees 22 x 22 pixels.

    Source: Isola et al. 2017 (pix2pix), section 3.2.2; here with group normalisation, which looks at each picture alone.
    """

    def __init__(self, width: int = 32, in_channels: int = 3) -> None:
        super().__init__()
        w = width
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, w, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(w, 2 * w, 4, stride=2, padding=1), nn.GroupNorm(8, 2 * w), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * w, 1, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def hinge(discriminator: nn.Module, real: Tensor, made: Tensor) -> Tensor:
    """What the discriminator goes down on: mean max(0, 1 - D(x)) + max(0, 1 + D(sg(x'))), (B,). Source: Lim & Ye 2017."""
    real_part, made_part = F.relu(1 - discriminator(real)), F.relu(1 + discriminator(made.detach()))
    return (real_part + made_part).flatten(1).mean(1)


def fooled(discriminator: nn.Module, made: Tensor) -> Tensor:
    """What the decoder goes down on: -mean D(x'), (B,); no gradient reaches the discriminator's weights.

    With `hinge` it makes the two sides of min_{E, D} max_psi out of one scalar and one optimiser (Rombach et al. 2022, Eq. 25).
    """
    frozen = {name: p.detach() for name, p in discriminator.named_parameters()}
    return -functional_call(discriminator, frozen, (made,)).flatten(1).mean(1)
