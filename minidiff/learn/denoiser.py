"""A network as a denoiser: the one place where torch modules meet the mathematics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.learn.condition import Condition
from minidiff.prediction import KINDS, Prediction, from_output
from minidiff.schedule import Schedule


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """network(x_t, t, vector, tokens, image) -> (B, C or 2C, H, W), read as a Prediction of the given kind.

    With 2C channels the second half is var_mix (learned variance, Improved DDPM Eq. 15). The network is told the paper's t,
    1..T. Gradients flow; samplers switch them off themselves. Raises ValueError for t outside 1..T or a wrong output shape.
    """

    network: nn.Module
    schedule: Schedule
    kind: str = "eps"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}; got {self.kind!r}")

    def __call__(self, x_t: Tensor, t: Any, cond: Condition | None = None) -> Prediction:
        if not isinstance(x_t, Tensor):
            raise TypeError(f"a network denoises torch tensors; got {type(x_t).__name__} (torch.from_numpy converts)")
        steps = self.schedule.check(t, low=1)
        if steps.ndim and len(steps) != len(x_t):
            raise ValueError(f"t must be one int or one for each of the {len(x_t)} examples; got {len(steps)}")
        signal, noise = self.schedule.scales(steps)
        t_row = torch.as_tensor(steps, device=x_t.device).expand(len(x_t))
        cond = cond or Condition()
        out = self.network(x_t, t_row, cond.vector, cond.tokens, cond.image)
        C = x_t.shape[1]
        if out.shape[0] != x_t.shape[0] or out.shape[1] not in (C, 2 * C) or out.shape[2:] != x_t.shape[2:]:
            raise ValueError(
                f"the network must answer {tuple(x_t.shape)} with the same shape, or twice the channels; got {tuple(out.shape)}"
            )
        var_mix = out[:, C:] if out.shape[1] == 2 * C else None
        return from_output(self.kind, out[:, :C], x_t, signal, noise, var_mix)
