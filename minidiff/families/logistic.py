"""Mixtures of logistic laws, one for each number: as a density, or as 256 masses for 8-bit data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

HALF_BIN = 1 / 255  # half the distance between neighbouring levels k / 127.5 - 1


@dataclass(frozen=True, eq=False)
class Logistics:
    """For each number a mixture over K of the law with distribution function sigmoid((x - mean) / scale).

    params: (..., 3K), K weights before their softmax, K means, K logarithms of scales. Checked by `minidiff verify` (families logistics).
    """

    params: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """log density, elementwise: log sum_k w_k sigmoid(u) sigmoid(-u) / scale_k, u = (x - mean_k) / scale_k."""
        log_w, mean, log_scale = self._parts()
        u = (x[..., None] - mean) * torch.exp(-log_scale)
        return torch.logsumexp(log_w + F.logsigmoid(u) + F.logsigmoid(-u) - log_scale, -1)

    def sample(self, rng: torch.Generator) -> Tensor:
        """One number each: a component by its weight, then the inverse distribution function of a uniform number."""
        log_w, mean, log_scale = self._parts()
        k = torch.multinomial(log_w.exp().flatten(0, -2), 1, generator=rng).reshape(*log_w.shape[:-1], 1)
        u = torch.rand(k.shape, generator=rng, dtype=mean.dtype).clamp(1e-6, 1 - 1e-6)
        return (mean.gather(-1, k) + log_scale.gather(-1, k).exp() * torch.logit(u)).squeeze(-1)

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        logits, mean, raw = self.params.chunk(3, -1)
        return F.log_softmax(logits, -1), mean, -2 + 5 * torch.tanh((raw + 2) / 5)  # no step may make a law infinitely narrow


class EightBit(Logistics):
    """The same mixture, asked for the mass of each level's bin; the end bins reach to infinity. Source: Salimans et al. 2017, Eq. 2.

    With a and b the edges in units of scale, sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): nothing cancels.
    """

    def log_prob(self, x: Tensor) -> Tensor:
        """log mass of the bin (x - 1/255, x + 1/255), elementwise, for x on the levels k / 127.5 - 1; 256 masses sum to 1."""
        log_w, mean, log_scale = self._parts()
        x, rate = x[..., None], torch.exp(-log_scale)
        a, b = (x - HALF_BIN - mean) * rate, (x + HALF_BIN - mean) * rate
        inner = F.logsigmoid(b) + F.logsigmoid(-a) + torch.log(-torch.expm1(a - b))
        lowest, highest = x < -1 + HALF_BIN, x > 1 - HALF_BIN
        mass = torch.where(lowest, F.logsigmoid(b), torch.where(highest, F.logsigmoid(-a), inner))
        return torch.logsumexp(log_w + mass, -1)

    def sample(self, rng: torch.Generator) -> Tensor:
        """The nearest level: what falls beyond an end is that end, as in `log_prob`."""
        x = super().sample(rng)
        return ((x + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
