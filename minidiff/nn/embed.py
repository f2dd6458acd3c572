"""How a network is told the time: sines and cosines of many frequencies, then a small perceptron."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def sinusoidal(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal features of a time: cos(t w_i), sin(t w_i) with w_i = max_period^(-i / (dim/2)).

    Source: Vaswani et al. 2017, section 3.5; used for t by Ho et al. 2020, appendix B.
    Shapes: t (B,) of any number type -> (B, dim). `dim` must be even.
    Checked by tests/test_nn.py (frequencies at both ends, a rotation shifts t).
    """
    if dim % 2:
        raise ValueError(f"dim must be even, half cosines and half sines; got {dim}")
    half = dim // 2
    frequency = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angle = t.float()[:, None] * frequency[None, :]  # (B, dim/2)
    return torch.cat([angle.cos(), angle.sin()], dim=1)


class TimeEmbedding(nn.Module):
    """Sinusoidal features of t followed by Linear, SiLU, Linear: (B,) -> (B, out_dim)."""

    def __init__(self, out_dim: int, features: int = 64) -> None:
        super().__init__()
        self.features = features
        self.net = nn.Sequential(nn.Linear(features, out_dim), nn.SiLU(), nn.Linear(out_dim, out_dim))

    def forward(self, t: Tensor) -> Tensor:
        out: Tensor = self.net(sinusoidal(t, self.features).to(next(self.net.parameters()).dtype))
        return out
