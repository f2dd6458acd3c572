"""The one network of all families: residual layers over flat vectors, with masks for a model that must not look ahead."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

Masks = tuple[Tensor, Tensor, Tensor]  # of the first layer, of every inner one, of the last: bool (out, in)


class Masked(nn.Linear):
    """A linear layer whose weights are 0 wherever mask (out, in) is False. Checked by tests/test_families.py (gradients)."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class Perceptron(nn.Module):
    """(B, dim) -> (B, out_dim): `nn.MLP` without a time. Residual layers h + Linear(silu(Linear(silu(h)))), `depth` of the given width.

    masks: which inputs a unit may see, as `autoregressive.masks` makes them; None for all. still: the last layer starts at 0, and so
    does the answer. Raises ValueError for x of another shape. Checked by tests/test_families.py.
    """

    def __init__(self, dim: int, out_dim: int, width: int = 128, depth: int = 2, masks: Masks | None = None, still: bool = False) -> None:
        super().__init__()
        self.dim = dim
        first, inner, last = masks or (None, None, None)
        self.first = _linear(dim, width, first)
        self.inner = nn.ModuleList([_linear(width, width, inner) for _ in range(depth)])
        self.outer = nn.ModuleList([_linear(width, width, inner) for _ in range(depth)])
        self.last = _linear(width, out_dim, last)
        if still:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"x must be (B, {self.dim}); got {tuple(x.shape)}")
        h = self.first(x)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(F.silu(inner(F.silu(h))))
        out: Tensor = self.last(F.silu(h))
        return out


def _linear(dim: int, out_dim: int, mask: Tensor | None) -> nn.Linear:
    return nn.Linear(dim, out_dim) if mask is None else Masked(mask)


def free_parameters(network: nn.Module) -> int:
    """The number of weights that can matter: all but those that a mask holds at 0. The measure by which families are made equal."""
    held = sum(int((~m.mask.bool()).sum()) for m in network.modules() if isinstance(m, Masked))
    return sum(p.numel() for p in network.parameters()) - held


__all__ = ["Masked", "Masks", "Perceptron", "free_parameters"]
