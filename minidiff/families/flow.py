"""Normalizing flows: an invertible network carries the data to a normal law, and the change of variables gives log p exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff.families.family import points
from minidiff.gaussian import Gaussian
from minidiff.nn.perceptron import Perceptron


class Layer(Protocol):
    """One invertible map. Called on x it gives z and log |det dz/dx|, (B,); `inverse` leads back."""

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def inverse(self, z: Tensor) -> Tensor:
        """x with layer(x)[0] == z."""
        ...


class Coupling(nn.Module):
    """RealNVP's affine coupling: what is kept says how the rest is shifted and scaled, so the Jacobian is triangular.

    z_keep = x_keep, z_rest = (x_rest - shift(x_keep)) exp(-log_scale(x_keep)); log |det dz/dx| = -sum log_scale.
    Source: Dinh, Sohl-Dickstein & Bengio 2017, Eq. 4-8, here from data to noise. keep: bool (D,), neither empty nor all (ValueError).
    net: (B, kept) -> (B, 2 rest). |log_scale| stays below `limit`. Checked by `minidiff verify` (families flow) against autograd.
    """

    keep: Tensor

    def __init__(self, keep: Tensor, net: nn.Module, limit: float = 4.0) -> None:
        super().__init__()
        if not 0 < int(keep.sum()) < len(keep):
            raise ValueError(f"a coupling keeps some of its {len(keep)} dimensions and moves the rest; got {int(keep.sum())} kept")
        self.register_buffer("keep", keep.clone())
        self.net, self.limit = net, limit

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shift, log_scale = self._of(x[:, self.keep])
        return self._with(x, (x[:, ~self.keep] - shift) * torch.exp(-log_scale)), -log_scale.sum(1)

    def inverse(self, z: Tensor) -> Tensor:
        """x_rest = z_rest exp(log_scale(z_keep)) + shift(z_keep): the network is never inverted."""
        shift, log_scale = self._of(z[:, self.keep])
        return self._with(z, z[:, ~self.keep] * torch.exp(log_scale) + shift)

    def _of(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.net(kept).chunk(2, 1)
        return shift, self.limit * torch.tanh(raw / self.limit)

    def _with(self, x: Tensor, rest: Tensor) -> Tensor:
        out = x.clone()
        out[:, ~self.keep] = rest
        return out


class Monotone(nn.Module):
    """The same map in every dimension: z = exp(s) x + mean_k w_k tanh(a_k x + b_k), w_k and a_k > 0, so z rises with x.

    For one dimension, where a coupling has nothing to keep; in more dimensions it knows nothing of how they depend on each other.
    log |det dz/dx| = sum log (exp(s) + mean_k w_k a_k (1 - tanh^2)). The inverse is found by bisection, which no gradient passes.
    Checked by `minidiff verify` (families flow).
    """

    def __init__(self, units: int, steep: float = 8.0) -> None:
        super().__init__()
        self.s = nn.Parameter(torch.zeros(1))
        self.w = nn.Parameter(torch.zeros(units))
        self.a = nn.Parameter(torch.full((units,), steep))
        self.b = nn.Parameter(torch.linspace(-1.5, 1.5, units) * -steep)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        w, a = F.softplus(self.w), F.softplus(self.a)
        bend = torch.tanh(x[..., None] * a + self.b)
        slope = self.s.exp() + (w * a * (1 - bend**2)).mean(-1)
        return self.s.exp() * x + (w * bend).mean(-1), slope.log().sum(1)

    @torch.no_grad()
    def inverse(self, z: Tensor) -> Tensor:
        """Bisection between the two lines that hold z: z -+ mean w, divided by exp(s)."""
        room = F.softplus(self.w).mean()
        low, high = (z - room) / self.s.exp(), (z + room) / self.s.exp()
        for _ in range(60):
            middle = (low + high) / 2
            over = self(middle)[0] > z
            low, high = torch.where(over, low, middle), torch.where(over, middle, high)
        return (low + high) / 2


class Flow(nn.Module):
    """log p(x) = log N(f(x); 0, I) + log |det df/dx|, f the layers one after the other, from data to noise.

    Source: Rezende & Mohamed 2015, Eq. 5-7; Dinh et al. 2017, Eq. 2. layers: each a `Layer`, also one of the reader's own.
    Checked by `minidiff verify` (families flow, families flow affine): quadrature, multivariate normals, autograd.
    """

    def __init__(self, dims: int, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.dims, self.layers = dims, nn.ModuleList(layers)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f(x), (B, D), and log |det df/dx|, (B,): Jacobians multiply, so their logarithms add up."""
        z, total = points(x, self.dims), x.new_zeros(len(x))
        for layer in self.layers:
            z, log_det = layer(z)
            total = total + log_det
        return z, total

    def decode(self, z: Tensor) -> Tensor:
        """f^{-1}(z), (B, D): the layers backwards."""
        for layer in reversed(self.layers):
            z = layer.inverse(z)  # type: ignore[operator]
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x), nats, (B,). ValueError unless x is (B, dims)."""
        z, log_det = self.encode(x)
        out: Tensor = Gaussian(0 * z, 1.0).log_prob(z).sum(1) + log_det
        return out

    def objective(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """-log p(x) per feature: nothing is drawn."""
        return -self.log_prob(x).mean() / self.dims

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """f^{-1} of normal noise, (n, dims): one pass."""
        like = next(self.parameters())
        return self.decode(torch.randn(n, self.dims, generator=rng, dtype=like.dtype))


def couplings(dims: int, count: int, width: int, depth: int = 1) -> list[nn.Module]:
    """`count` couplings that begin as the identity; each pair keeps a random half and then the other one, the halves by a fixed seed."""
    layers: list[nn.Module] = []
    rng = torch.Generator().manual_seed(0)
    for k in range(count):
        if k % 2 == 0:
            half = torch.zeros(dims, dtype=torch.bool)
            half[torch.randperm(dims, generator=rng)[: dims // 2]] = True
        keep = half if k % 2 == 0 else ~half
        layers.append(Coupling(keep, Perceptron(int(keep.sum()), 2 * int((~keep).sum()), width, depth, still=True)))
    return layers
