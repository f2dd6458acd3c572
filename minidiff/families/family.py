"""What the families have in common: something to go down on, and samples. A likelihood is what some have and some have not."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Family(Protocol):
    """A generative model of flat vectors x (B, dims), an `nn.Module`; randomness comes in as a torch.Generator.

    Beside these two, `Flow` and `Autoregressive` have log_prob(x) -> (B,), and `Vae` has bound(x, noise) -> (B,), both in nats.
    """

    dims: int

    def objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """One number to go down on for a batch, per feature: `minidiff.learn.descend` trains every family with it."""
        ...

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """n samples, (n, dims)."""
        ...


def points(x: Tensor, dims: int) -> Tensor:
    """x, if it is (B, dims); ValueError otherwise."""
    if x.ndim != 2 or x.shape[1] != dims:
        raise ValueError(f"x must be (B, {dims}); got {tuple(x.shape)}")
    return x

