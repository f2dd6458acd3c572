"""What a denoiser may be told besides x_t and t: a label vector, text tokens, a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Condition:
    """vector (B, D): a label. tokens: for cross-attention, ids of words (B, L) or vectors (B, L, D). image (B, C, H, W): joined on.

    Whatever is absent is None. `drop` and `null` make the empty condition of classifier-free guidance: zeros in place of
    the value, so the shapes a network sees do not change.
    """

    vector: Tensor | None = None
    tokens: Tensor | None = None
    image: Tensor | None = None

    def drop(self, mask: Tensor) -> Condition:
        """The same condition, empty for the examples where mask (B,), bool, is True."""
        if mask.dtype != torch.bool or mask.ndim != 1:
            raise ValueError(f"mask must be bool of shape (B,); got {mask.dtype} {tuple(mask.shape)}")
        return self._map(lambda x: torch.where(mask.reshape(-1, *[1] * (x.ndim - 1)), torch.zeros_like(x), x))

    def null(self) -> Condition:
        """The empty condition for every example."""
        return self._map(torch.zeros_like)

    def crop(self, top: int, left: int, size: int) -> Condition:
        """The same for a window of the canvas: of the picture that part, of what has no place everything."""
        image = None if self.image is None else self.image[..., top : top + size, left : left + size]
        return Condition(self.vector, self.tokens, image)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        return Condition(*[None if x is None else change(x) for x in (self.vector, self.tokens, self.image)])
