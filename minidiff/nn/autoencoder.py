"""Autoencoders: a picture to a smaller map of numbers, and back. KL-regularised and vector-quantised, of the same convolutions.

The factor is f = H / h = W / w: a picture (3, 32, 32) becomes a latent z (c, 32 / f, 32 / f). Source: Rombach et al. 2022, section 3.1.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.gaussian import Gaussian
from minidiff.nn.blocks import Downsample, Upsample

FOLD = 2  # the body works on tiles of 2 x 2 pixels, as the U-Net does: the finest map is by far the dearest


class Reconstruction(NamedTuple):
    """What an autoencoder says of x in training: x again (B, C, H, W), and its regulariser, (B,), summed over the latent."""

    x: Tensor
    regulariser: Tensor


class ConvBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))): a residual block that is told nothing. (B, c_in, H, W) -> (B, c_out, H, W)."""

    def __init__(self, c_in: int, c_out: int, groups: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(groups, c_in), nn.SiLU(), nn.Conv2d(c_in, c_out, 3, padding=1),
            nn.GroupNorm(groups, c_out), nn.SiLU(), nn.Conv2d(c_out, c_out, 3, padding=1),
        )  # fmt: skip
        self.skip = nn.Conv2d(c_in, c_out, 1) if c_in != c_out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.skip(x) + self.body(x)
        return out


def levels(factor: int) -> int:
    """How many resolutions the body has: one for f = 1 and 2, one more for each halving beyond. ValueError unless f is 1, 2, 4, ..."""
    if factor < 1 or factor & (factor - 1):
        raise ValueError(f"factor must be a power of two, 1, 2, 4, 8, ...; got {factor}")
    return max(1, factor.bit_length() - 1)


class Encoder(nn.Module):
    """Fold, convolve, halve, convolve, ...: (B, in_channels, H, W) -> (B, out_channels, H / factor, W / factor)."""

    def __init__(self, factor: int, in_channels: int, out_channels: int, channels: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.unfold = max(1, FOLD // factor)  # f = 1 keeps the size of the picture: what was folded is unfolded again
        layers: list[nn.Module] = [nn.PixelUnshuffle(FOLD), nn.Conv2d(in_channels * FOLD**2, channels[0], 3, padding=1)]
        c = channels[0]
        for i, width in enumerate(channels):
            layers += [Downsample(c)] if i else []
            for _ in range(blocks):
                layers.append(ConvBlock(c, width))
                c = width
        layers += [nn.GroupNorm(8, c), nn.SiLU(), nn.Conv2d(c, out_channels * self.unfold**2, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = F.pixel_shuffle(self.layers(x), self.unfold)
        return out


class Decoder(nn.Module):
    """The way back, with one block more at each resolution: (B, z_channels, h, w) -> (B, out_channels, factor h, factor w)."""

    def __init__(self, factor: int, z_channels: int, out_channels: int, channels: tuple[int, ...], blocks: int) -> None:
        super().__init__()
        self.fold = max(1, FOLD // factor)
        c = channels[-1]
        layers: list[nn.Module] = [nn.Conv2d(z_channels * self.fold**2, c, 3, padding=1)]
        for i, width in reversed(list(enumerate(channels))):
            for _ in range(blocks + 1):
                layers.append(ConvBlock(c, width))
                c = width
            layers += [Upsample(c)] if i else []
        layers += [nn.GroupNorm(8, c), nn.SiLU(), nn.Conv2d(c, out_channels * FOLD**2, 3, padding=1), nn.PixelShuffle(FOLD)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.layers(F.pixel_unshuffle(z, self.fold))
        return out


class Autoencoder(nn.Module):
    """The KL-regularised one: encode(x) is a Gaussian over z, decode(z) a picture; a VAE whose regulariser has a tiny weight.

    factor: f, a power of two. z_channels: c. channels: width of each resolution of the body, finest first, max(1, log2 f) of them.
    blocks: residual blocks a resolution. Shapes: x (B, C, H, W), H and W multiples of the factor (of 2 for f = 1), <-> z (B, c, H/f, W/f).
    Raises ValueError for a shape that does not fit. Checked by tests/test_autoencoder.py and `minidiff verify` (latent).
    """

    def __init__(
        self, factor: int = 4, z_channels: int = 4, channels: tuple[int, ...] = (64, 128), blocks: int = 2, in_channels: int = 3
    ) -> None:
        super().__init__()
        if len(channels) != levels(factor):
            raise ValueError(f"f = {factor} has {levels(factor)} resolution(s), each with a width; got channels {channels}")
        self.factor, self.z_channels, self.in_channels = factor, z_channels, in_channels
        self.encoder = Encoder(factor, in_channels, self.told(z_channels), channels, blocks)
        self.decoder = Decoder(factor, z_channels, in_channels, channels, blocks)

    @staticmethod
    def told(z_channels: int) -> int:
        """How many numbers a place of the latent map the encoder answers: a mean and a log-variance for each channel."""
        return 2 * z_channels

    def encode(self, x: Tensor) -> Gaussian:
        """q(z | x) = N(mean, exp(log var)); the log-variance is kept within -30..20."""
        mean, log_var = self.encoder(self._checked(x)).chunk(2, dim=1)
        return Gaussian(mean, log_var.clamp(-30.0, 20.0).exp())

    def decode(self, z: Tensor) -> Tensor:
        """The picture at z, around [-1, 1] but not clipped to it."""
        if z.ndim != 4 or z.shape[1] != self.z_channels:
            raise ValueError(f"z must be (B, {self.z_channels}, h, w); got {tuple(z.shape)}")
        out: Tensor = self.decoder(z)
        return out

    def forward(self, x: Tensor, noise: Tensor) -> Reconstruction:
        q = self.encode(x)
        prior = Gaussian(torch.zeros_like(q.mean), 1.0)
        return Reconstruction(self.decode(q.sample(noise)), q.kl(prior).flatten(1).sum(1))

    def latent_shape(self, x: Tensor) -> tuple[int, ...]:
        """The shape of z for pictures x: (B, c, H / f, W / f)."""
        return (x.shape[0], self.z_channels, x.shape[2] // self.factor, x.shape[3] // self.factor)

    def _checked(self, x: Tensor) -> Tensor:
        multiple, got = max(self.factor, FOLD), tuple(x.shape)
        if x.ndim != 4 or got[1] != self.in_channels or got[2] % multiple or got[3] % multiple:
            raise ValueError(f"x must be (B, {self.in_channels}, H, W) with H and W multiples of {multiple}; got {got}")
        return x


class Codebook(nn.Module):
    """K vectors of c numbers, one of which stands for each place of a latent map.

    use: how often each is taken of late, (K,); 1 is its fair share.
    """

    use: Tensor

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.zeros(codes, width))
        self.register_buffer("use", torch.zeros(codes))

    def nearest(self, z: Tensor) -> Tensor:
        """The index of the nearest code at each place: (B, c, h, w) -> (B, h, w). Source: van den Oord et al. 2017, Eq. 1-2."""
        places = z.movedim(1, -1)
        squares = (self.codes**2).sum(1) - 2 * places @ self.codes.T  # |z - e|^2 without |z|^2, which is the same for every e
        return squares.argmin(-1)

    def forward(self, index: Tensor) -> Tensor:
        return self.codes[index].movedim(-1, 1)

    @torch.no_grad()
    def count(self, index: Tensor) -> None:
        """Let `use` follow how often the codes are taken: a running mean over some hundred batches."""
        taken = torch.bincount(index.flatten(), minlength=len(self.use))
        self.use.lerp_(taken * len(self.use) / index.numel(), 0.01)

    @torch.no_grad()
    def revive(self, z: Tensor, rng: torch.Generator, least: float = 0.03) -> None:
        """Put codes that are hardly ever taken where latents are: without it most of a codebook dies in the first hundred steps.

        All are dead to begin with, so the first call places the whole codebook. Source: Dhariwal et al. 2020 (Jukebox), "random restarts".
        """
        dead = (self.use < least).nonzero().flatten()
        places = z.detach().movedim(1, -1).flatten(0, -2)
        chosen = torch.randint(0, len(places), (len(dead),), generator=rng).to(z.device)
        self.codes[dead] = places[chosen]
        self.use[dead] = 1.0


def straight_through(z: Tensor, z_q: Tensor) -> Tensor:
    """The value of z_q with the gradient of z: z + sg(z_q - z). The step from z to its code has no slope of its own."""
    return z + (z_q - z).detach()


def vq_loss(z: Tensor, z_q: Tensor, beta: float = 0.25) -> Tensor:
    """|sg(z) - e|^2 + beta |z - sg(e)|^2, (B,): codes move to what they stand for; the encoder commits itself to its codes.

    Source: van den Oord et al. 2017, Eq. 3, second and third term. Checked by `minidiff verify` (latent) with finite differences.
    """
    codebook, commitment = (z.detach() - z_q) ** 2, (z - z_q.detach()) ** 2
    return (codebook + beta * commitment).flatten(1).sum(1)


class VQAutoencoder(Autoencoder):
    """The vector-quantised one: each place of the map is replaced by the nearest of `codes` vectors on its way into the decoder.

    encode(x) is a point mass at the map *before* it is quantised, and decode quantises: so a diffusion model works on a continuous space
    (Rombach et al. 2022, section 3.1: the quantisation is a layer of the decoder). Otherwise as `Autoencoder`.
    """

    def __init__(
        self, factor: int = 4, z_channels: int = 4, channels: tuple[int, ...] = (64, 128), blocks: int = 2, in_channels: int = 3,
        codes: int = 512,
    ) -> None:  # fmt: skip
        super().__init__(factor, z_channels, channels, blocks, in_channels)
        self.codebook = Codebook(codes, z_channels)

    @staticmethod
    def told(z_channels: int) -> int:
        """One number for each channel: no variance."""
        return z_channels

    def encode(self, x: Tensor) -> Gaussian:
        """A point mass at the encoder's answer."""
        return Gaussian(self.encoder(self._checked(x)), 0.0)

    def decode(self, z: Tensor) -> Tensor:
        """The picture of the codes nearest to z."""
        return super().decode(self.codebook(self.codebook.nearest(z)))

    def forward(self, x: Tensor, noise: Tensor) -> Reconstruction:
        z = self.encode(x).mean
        z_q = self.codebook(self.codebook.nearest(z))
        return Reconstruction(Autoencoder.decode(self, straight_through(z, z_q)), vq_loss(z, z_q))
