"""The U-Net: down to a coarse map that sees everything, up again, with the fine details handed across.

Source: Ronneberger et al. 2015; as a denoiser Ho et al. 2020, appendix B. It differs from theirs in size, and in the
`patch`: the picture is first folded into patch x patch tiles (28 x 28 x 1 -> 14 x 14 x 4 for patch = 2), so that the
most expensive stage works at half resolution. On two CPU cores this is what makes training in minutes possible.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.nn.attention import CrossAttention, SelfAttention, zero_
from minidiff.nn.blocks import Downsample, ResBlock, Upsample
from minidiff.nn.embed import TimeEmbedding


@dataclass(frozen=True)
class Conditioning:
    """What every block of one call is told: the embedding of t and label (B, E), the tokens (B, M, D) of a condition, their mask (B, M)."""

    emb: Tensor
    context: Tensor | None = None
    mask: Tensor | None = None


class Stage(nn.Module):
    """One residual block, followed where asked for by self-attention and, in a network with a tau_theta, by cross-attention."""

    def __init__(self, c_in: int, c_out: int, emb_dim: int, attend: bool, context_dim: int = 0) -> None:
        super().__init__()
        self.block = ResBlock(c_in, c_out, emb_dim)
        self.attend = SelfAttention(c_out) if attend else nn.Identity()
        self.look = CrossAttention(c_out, context_dim) if attend and context_dim else None

    def forward(self, x: Tensor, told: Conditioning) -> Tensor:
        out: Tensor = self.attend(self.block(x, told.emb))
        return out if self.look is None else self.look(out, told.context, told.mask)


@dataclass(frozen=True)
class Shape:
    """What the ways down and up have in common: the fields as `UNet` has them, and the widths of what every block is told."""

    channels: tuple[int, ...]
    blocks: int
    attention: tuple[bool, ...]
    emb: int
    context: int

    def stage(self, c_in: int, i: int, attend: bool = True) -> Stage:
        """A block of the i-th resolution."""
        return Stage(c_in, self.channels[i], self.emb, attend and self.attention[i], self.context)


def way_down(s: Shape) -> tuple[nn.ModuleList, list[int]]:
    """The layers of the way down, and the width of every map that is handed across, the input's first."""
    layers, widths, c = nn.ModuleList(), [s.channels[0]], s.channels[0]
    for i, c_out in enumerate(s.channels):
        for _ in range(s.blocks):
            layers.append(s.stage(c, i))
            c = c_out
            widths.append(c)
        if i < len(s.channels) - 1:
            layers.append(Downsample(c))
            widths.append(c)
    return layers, widths


def way_up(s: Shape, widths: list[int]) -> nn.ModuleList:
    """The layers of the way up; each block takes one of the handed-across maps, the last first."""
    layers, c, waiting = nn.ModuleList(), s.channels[-1], list(widths)
    for i, c_out in reversed(list(enumerate(s.channels))):
        for _ in range(s.blocks + 1):
            layers.append(s.stage(c + waiting.pop(), i))
            c = c_out
        if i > 0:
            layers.append(Upsample(c))
    return layers


def fourier(x: Tensor, frequencies: tuple[int, ...]) -> list[Tensor]:
    """sin(pi f x) and cos(pi f x) for each f: differences of x as small as 1/f become differences of order 1.

    Near the data a network must see noise finer than one of the 256 levels. Source: Kingma et al. 2021 (VDM), "Fourier features"
    of the input (numbering unconfirmed). Shapes: (B, C, H, W) -> 2 len(frequencies) tensors of the same shape.
    """
    return [wave(math.pi * f * x) for f in frequencies for wave in (torch.sin, torch.cos)]


class UNet(nn.Module):
    """network(x_t, t, vector, tokens, image) -> (B, out_channels, H, W).

    channels: width of each resolution, finest first; the map halves between them.
    blocks: residual blocks per resolution on the way down (one more on the way up).
    attention: for each resolution, whether its blocks are followed by self-attention.
    vector_dim: width of a condition added to the time embedding (0: none). image_channels: channels of a picture
    joined to the input (0: none). tau: a module that makes tokens of a condition, tau(tokens) -> (context (B, M, tau.width), mask);
    every block with self-attention then looks at them, too. frequencies: sin(pi f x_t) and cos(pi f x_t) of each f join the input
    (`fourier`).
    H and W must be multiples of patch * 2^(len(channels) - 1).
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        channels: tuple[int, ...] = (48, 96),
        blocks: int = 2,
        attention: tuple[bool, ...] = (False, True),
        patch: int = 2,
        vector_dim: int = 0,
        image_channels: int = 0,
        frequencies: tuple[int, ...] = (),
        tau: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if len(channels) != len(attention):
            got = f"{len(channels)} and {len(attention)} entries"
            raise ValueError(f"channels and attention speak of the same resolutions; got {got}")
        self.in_channels, self.frequencies = in_channels, frequencies
        self.patch, self.vector_dim, self.image_channels = patch, vector_dim, image_channels
        self.multiple = patch * 2 ** (len(channels) - 1)
        emb = 4 * channels[0]
        self.time = TimeEmbedding(emb)
        self.vector = nn.Linear(vector_dim, emb) if vector_dim else None
        self.tau = tau
        seen = in_channels * (1 + 2 * len(frequencies)) + image_channels
        self.first = nn.Conv2d(seen * patch**2, channels[0], 3, padding=1)

        shape = Shape(channels, blocks, attention, emb, getattr(tau, "width", 0))
        self.down, widths = way_down(shape)
        self.middle = nn.ModuleList([shape.stage(channels[-1], -1), shape.stage(channels[-1], -1, attend=False)])
        self.up = way_up(shape, widths)
        self.norm = nn.GroupNorm(8, channels[0])
        self.last = nn.Conv2d(channels[0], out_channels * patch**2, 3, padding=1)
        zero_(self.last)

    def forward(
        self, x_t: Tensor, t: Tensor, vector: Tensor | None = None, tokens: Tensor | None = None, image: Tensor | None = None
    ) -> Tensor:
        self._check(x_t, vector, tokens, image)
        emb = self.time(t)
        if vector is not None and self.vector is not None:
            emb = emb + self.vector(vector)
        told = Conditioning(emb) if self.tau is None else Conditioning(emb, *self.tau(tokens))
        x = torch.cat([x_t, *fourier(x_t, self.frequencies), *([] if image is None else [image])], dim=1)
        h = self.first(F.pixel_unshuffle(x, self.patch))
        skips = [h]
        for layer in self.down:
            h = layer(h, told) if isinstance(layer, Stage) else layer(h)
            skips.append(h)
        for layer in self.middle:
            h = layer(h, told)
        for layer in self.up:
            h = layer(torch.cat([h, skips.pop()], dim=1), told) if isinstance(layer, Stage) else layer(h)
        return F.pixel_shuffle(self.last(F.silu(self.norm(h))), self.patch)

    def _check(self, x_t: Tensor, vector: Tensor | None, tokens: Tensor | None, image: Tensor | None) -> None:
        got = tuple(x_t.shape)
        if x_t.ndim != 4 or got[1] != self.in_channels or got[2] % self.multiple or got[3] % self.multiple:
            raise ValueError(f"x_t must be (B, {self.in_channels}, H, W) with H and W multiples of {self.multiple}; got {got}")
        if (0 if vector is None else vector.shape[-1]) != self.vector_dim:
            shape = "none" if vector is None else tuple(vector.shape)
            raise ValueError(f"this network takes a vector of width {self.vector_dim} (0: none); got {shape}")
        if (0 if image is None else image.shape[1]) != self.image_channels:
            shape = "none" if image is None else tuple(image.shape)
            raise ValueError(f"this network takes an image of {self.image_channels} channels (0: none); got {shape}")
        if (tokens is None) != (self.tau is None):
            takes = "has no cross-attention, so it takes no tokens" if self.tau is None else "takes tokens, at least an empty caption"
            raise ValueError(f"this network {takes}; got {'none' if tokens is None else tuple(tokens.shape)}")
