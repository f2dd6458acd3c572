"""Which t the training looks at: uniformly, where the loss is large (its mean stays the same), or in the middle (it does not)."""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor


class TimeSampler(Protocol):
    """Draws times in 1..T for a batch, with the weights that keep the mean unbiased, and may learn from the losses that came out."""

    T: int

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]: ...

    def update(self, t: Tensor, losses: Tensor) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class UniformTimes:
    """t uniform on 1..T, both ends included, every weight 1: Algorithm 1 of DDPM."""

    def __init__(self, T: int) -> None:
        self.T = T

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n times and their weights, each of shape (n,)."""
        return torch.randint(1, self.T + 1, (n,), generator=rng), torch.ones(n)

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Nothing to learn."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take up; ValueError if there is something, as of a run with another choice of t."""
        if state:
            raise ValueError("uniform times keep no history of losses; this state has one, of a run with another choice of t")


class LogitNormalTimes(UniformTimes):
    """t / T = sigmoid(n), n ~ N(mean, std^2), rounded up: seldom near either end, every weight 1, so the middle counts more.

    Source: Esser et al. 2024 (Stable Diffusion 3), section 3.1. A wrong digit in a caption was found to cost most for t / T of 0.3 to 0.7,
    and next to nothing near the ends. Unlike `LossAwareTimes` this changes what is learned: the loss is no longer the simple one.
    Raises ValueError for std <= 0. Checked by tests/test_times.py.
    """

    def __init__(self, T: int, mean: float = 0.0, std: float = 1.0) -> None:
        if not std > 0:
            raise ValueError(f"std must be positive; got {std}")
        super().__init__(T)
        self.mean, self.std = mean, std

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n times and their weights, each of shape (n,)."""
        share = torch.sigmoid(self.mean + self.std * torch.randn(n, generator=rng))
        return (share * self.T).ceil().long().clamp(1, self.T), torch.ones(n)


class LossAwareTimes:
    """p_t proportional to sqrt(E[L_t^2]), each t weighted by 1 / (T p_t), so that E[weight * L_t] is the mean over 1..T as before.

    Source: Improved DDPM (Nichol & Dhariwal 2021), Eq. 18. E[L_t^2] is the mean over the last `history` losses of each t; until every t
    has that many, t is uniform. A share `uniform` of the draws always is: no weight exceeds 1 / uniform.
    Checked by `minidiff verify` (improved_ddpm 18): unbiased, and no other p has a smaller second moment.
    """

    def __init__(self, T: int, history: int = 10, uniform: float = 1e-3) -> None:
        if T < 1 or history < 1 or not 0 <= uniform < 1:
            raise ValueError(f"needed: T >= 1, history >= 1, 0 <= uniform < 1; got {T}, {history}, {uniform}")
        self.T, self.uniform = T, uniform
        self.losses = torch.zeros(T, history, dtype=torch.float64)
        self.seen = torch.zeros(T, dtype=torch.int64)

    @property
    def probabilities(self) -> Tensor:
        """p_t for t = 1..T, float64, summing to 1."""
        even = torch.full((self.T,), 1 / self.T, dtype=torch.float64)
        if (self.seen < self.losses.shape[1]).any():
            return even
        p = (self.losses**2).mean(1).sqrt()
        return even if p.sum() == 0 else (1 - self.uniform) * p / p.sum() + self.uniform * even

    def sample(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """n times and their weights 1 / (T p_t), each of shape (n,)."""
        p = self.probabilities
        i = torch.multinomial(p, n, replacement=True, generator=rng)
        return i + 1, (1 / (self.T * p[i])).float()

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Remember the losses (n,) that came out at the times t (n,), unweighted; what is not finite is not remembered."""
        for i, value in zip((t - 1).tolist(), losses.tolist(), strict=True):
            if math.isfinite(value):
                self.losses[i, self.seen[i] % self.losses.shape[1]] = value
                self.seen[i] += 1

    def state_dict(self) -> dict[str, Any]:
        """What a training state keeps, so that a resumed run draws the same times."""
        return {"losses": self.losses, "seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` kept; ValueError if it belongs to another T or history."""
        if state.keys() != {"losses", "seen"} or state["losses"].shape != self.losses.shape:
            kept = tuple(state["losses"].shape) if "losses" in state else "none"
            raise ValueError(f"a history of losses of shape {tuple(self.losses.shape)} was expected; this state has {kept}")
        self.losses, self.seen = state["losses"].clone(), state["seen"].clone()
