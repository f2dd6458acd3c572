"""Attention: the formula, self-attention between the places of a picture, cross-attention from places to tokens."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attention_weights(q: Tensor, k: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d)): how much query n looks at key m, the softmax over the keys and d the width of one head.

    mask: bool, True where a key may be looked at, of a shape that broadcasts to (..., N, M); one key at least must be left for each query.
    Source: Vaswani et al. 2017, Eq. 1. Shapes: q (..., N, d), k (..., M, d) -> (..., N, M), rows that sum to 1.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return torch.softmax(scores, dim=-1)


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V: a mean of values, weighted by `attention_weights`.

    Source: Vaswani et al. 2017, Eq. 1; Rombach et al. 2022, section 3.3.
    Shapes: q (..., N, d), k (..., M, d), v (..., M, e) -> (..., N, e).
    Checked by tests/test_nn.py against explicit loops and against torch's fused kernel.
    """
    return attention_weights(q, k, mask) @ v


def zero_(layer: nn.Conv2d) -> None:
    """Set weights and bias of a layer to zero, so that a new block changes nothing."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class SelfAttention(nn.Module):
    """Every place of a feature map looks at every other: x + W_o attention(W_q h, W_k h, W_v h), h = norm(x).

    Shapes: (B, C, H, W) -> (B, C, H, W). The output projection starts at zero, so a new layer changes nothing.
    """

    def __init__(self, channels: int, heads: int = 4, groups: int = 8) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels must be a multiple of heads; got {channels} and {heads}")
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        zero_(self.out)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        qkv = self.qkv(self.norm(x)).reshape(B, 3, self.heads, C // self.heads, H * W).transpose(-2, -1)
        q, k, v = qkv.unbind(1)  # each (B, heads, H*W, d)
        # The fused kernel computes `attention(q, k, v)` without storing the weights; a test holds the two together.
        h = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(h.transpose(-2, -1).reshape(B, C, H, W))
        return x + out


class CrossAttention(nn.Module):
    """Every place of a feature map looks at the tokens of a condition: x + W_o attention(W_q h, W_k c, W_v c), h = norm(x).

    Q comes of the picture; K and V of the condition, whose number of tokens and width are its own.
    Source: Rombach et al. 2022, section 3.3. Shapes: x (B, C, H, W), context (B, M, context_dim), mask (B, M) bool, True where there is a
    token -> (B, C, H, W). The output projection starts at zero, so a new layer changes nothing. Checked by tests/test_cross_attention.py.
    """

    def __init__(self, channels: int, context_dim: int, heads: int = 4, groups: int = 8) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels must be a multiple of heads; got {channels} and {heads}")
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Linear(context_dim, channels, bias=False)
        self.v = nn.Linear(context_dim, channels, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)
        zero_(self.out)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        q, k = self._queries(x), self._per_head(self.k(context))
        # The fused kernel computes `attention(q, k, v, mask)` without storing the weights; a test holds the two together.
        h = F.scaled_dot_product_attention(q, k, self._per_head(self.v(context)), None if mask is None else mask[:, None, None])
        out: Tensor = self.out(h.transpose(-2, -1).reshape(x.shape))
        return x + out

    def weights(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """Which place looks at which token: (B, heads, H, W, M), sums over M to 1."""
        seen = attention_weights(self._queries(x), self._per_head(self.k(context)), None if mask is None else mask[:, None, None])
        return seen.reshape(len(x), self.heads, *x.shape[2:], context.shape[1])

    def _queries(self, x: Tensor) -> Tensor:
        return self.q(self.norm(x)).flatten(2).reshape(len(x), self.heads, -1, x.shape[2] * x.shape[3]).transpose(-2, -1)

    def _per_head(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)
