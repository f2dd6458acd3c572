"""Autoregressive models: the chain rule, one law for each number given all before it, in one pass of a masked network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from minidiff.families.family import points
from minidiff.nn.perceptron import Masks, Perceptron


class Law(Protocol):
    """The law of each number, (B, D) of them, as the network's answer describes it."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log density or log mass, elementwise, (B, D)."""
        ...

    def sample(self, rng: torch.Generator) -> Tensor:
        """One number each, (B, D)."""
        ...


class Autoregressive(nn.Module):
    """log p(x) = sum_i log p(x_i | x_1, ..., x_{i-1}).

    net: x (B, D) -> (B, D P), the P parameters of each number's law, of which those of x_i depend on x_1..x_{i-1} alone (`made` makes
    one). law: parameters (B, D, P) -> a `Law`, such as `logistic.Logistics` or `logistic.EightBit`.
    Source: Germain et al. 2015 (MADE), Eq. 1-3. Checked by `minidiff verify` (families chain): a table by brute force, gradients.
    """

    def __init__(self, dims: int, net: nn.Module, law: Callable[[Tensor], Law]) -> None:
        super().__init__()
        self.dims, self.net, self.law = dims, net, law

    def laws(self, x: Tensor) -> Law:
        """The law of every number of x (B, dims), given those before it. ValueError for another shape."""
        return self.law(self.net(points(x, self.dims)).unflatten(1, (self.dims, -1)))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), nats, (B,): all laws in one pass."""
        return self.laws(x).log_prob(x).sum(1)

    def objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """-log p(x) per feature: nothing is drawn."""
        return -self.log_prob(x).mean() / self.dims

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """(n, dims): one number after the other, so as many passes as there are numbers."""
        like = next(self.net.parameters(), torch.empty(0))
        x = torch.zeros(n, self.dims, dtype=like.dtype)
        for i in range(self.dims):
            x[:, i] = self.laws(x).sample(rng)[:, i]
        return x


def masks(dims: int, outputs: int, width: int) -> Masks:
    """Which units may see which, so that output i of `dims`, each of `outputs` numbers, sees x_1..x_{i-1} only: strictly less.

    Each hidden unit has a degree m in 1..dims-1: it sees inputs of number <= m, and hidden units of degree <= m; an output of number i sees
    hidden units of degree < i. Source: Germain et al. 2015, Eq. 8-9, with degrees dealt out evenly.
    """
    number = torch.arange(1, dims + 1)
    degree = 1 + torch.arange(width) % max(1, dims - 1)
    out = number.repeat_interleave(outputs)
    return degree[:, None] >= number[None], degree[:, None] >= degree[None], out[:, None] > degree[None]


def made(dims: int, outputs: int, width: int, depth: int = 2) -> Perceptron:
    """A masked perceptron (B, dims) -> (B, dims * outputs), for laws of `outputs` parameters each."""
    return Perceptron(dims, dims * outputs, width, depth, masks(dims, outputs, width))


def spread(net: Perceptron, dims: int, components: int) -> Perceptron:
    """The net, its mixtures begun with their means side by side over [-1, 1] and scales of a tenth: equal components would stay equal."""
    with torch.no_grad():
        bias = net.last.bias.reshape(dims, 3, components)
        bias[:, 1] = torch.linspace(-0.8, 0.8, components)
        bias[:, 2] = -2.3
    return net
