"""The latent space: a frozen autoencoder with the one number that brings its latents to unit standard deviation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from minidiff.gaussian import Gaussian


@runtime_checkable
class FirstStageModel(Protocol):
    """What a latent space needs of an autoencoder: encode(x) -> Gaussian over z, decode(z) -> x, and f = H / h."""

    @property
    def factor(self) -> int: ...

    def encode(self, x: Tensor) -> Gaussian: ...

    def decode(self, z: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class LatentSpace:
    """z = scale * E(x) and x = D(z / scale), with a scale that was *measured*, so that no bare 0.18215 stands in a script.

    The schedule of a diffusion model takes its data to have about unit variance: with latents of standard deviation s the signal-to-noise
    ratio is off by s^2, at every t (equations: `minidiff verify`, latent). Source: Rombach et al. 2022, appendix G. The autoencoder is
    frozen: no gradient reaches it. Raises ValueError for a scale that is not a number > 0. Checked by tests/test_latent.py.
    """

    autoencoder: FirstStageModel
    scale: float

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"scale must be a number > 0, one over the latents' standard deviation; got {self.scale}")
        if isinstance(self.autoencoder, nn.Module):
            self.autoencoder.eval().requires_grad_(False)

    @classmethod
    def measure(cls, autoencoder: FirstStageModel, pictures: Iterable[Tensor], rng: torch.Generator) -> LatentSpace:
        """The space in which latents of these pictures, drawn from q(z | x), have standard deviation 1 (about their common mean)."""
        n, total, squares = 0, 0.0, 0.0
        with torch.no_grad():
            for x in pictures:
                q = autoencoder.encode(x)
                z = q.sample(torch.randn(q.mean.shape, generator=rng).to(q.mean)).double()
                n, total, squares = n + z.numel(), total + z.sum().item(), squares + z.square().sum().item()
        if n < 2:
            raise ValueError("a standard deviation needs at least two numbers; no pictures were given")
        return cls(autoencoder, float((squares / n - (total / n) ** 2) ** -0.5))

    @torch.no_grad()
    def encode(self, x: Tensor) -> Gaussian:
        """The law of the scaled latent of each picture: draw from it, or take its mean, and say which."""
        return self.autoencoder.encode(x).push(self.scale, 0.0)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        """The pictures at scaled latents."""
        return self.autoencoder.decode(z / self.scale)
