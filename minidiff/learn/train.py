"""Training as a generator: one step, then a small record; plotting, saving and stopping are the caller's `for` loop.

The randomness of step k is a function of (seed, k) alone. A run that is stopped and resumed therefore draws the same
batches, times and noise as one that was not, and on a CPU ends in the same weights, bit for bit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.loss import simple_loss
from minidiff.learn.times import TimeSampler, UniformTimes

Batch = Callable[[torch.Generator], tuple[Tensor, Any]]
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class TrainStep:
    """What is known after a step: its number (1 is the first), loss per feature, learning rate, norm of the gradient."""

    step: int
    loss: float
    lr: float
    grad_norm: float


@dataclass
class Training:
    """All that a run is made of: the model, its running average, the optimiser, and the number of steps done.

    model: a NetworkDenoiser, or any module (a classifier, an autoencoder). steps: the length of the whole run; the learning
    rate rises linearly for `warmup` steps and falls to 0 as a half cosine at `steps`. ema: decay of the average, itself
    warmed up as min(ema, (1 + k) / (10 + k)), so that a short run does not average over its start. times: which t a denoiser is
    trained at; uniform by default, `LossAwareTimes(T)` for the bound.
    """

    model: NetworkDenoiser | nn.Module
    steps: int
    lr: float = 1e-3
    warmup: int = 200
    ema: float = 0.999
    seed: int = 0
    step: int = 0
    times: TimeSampler | None = None
    average: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.lr > 0 or not 0 <= self.ema < 1:
            raise ValueError(f"needed: steps >= 1, lr > 0, 0 <= ema < 1; got {self.steps}, {self.lr}, {self.ema}")
        if isinstance(self.model, NetworkDenoiser):
            self.times = self.times or UniformTimes(self.model.schedule.T)
            if self.times.T != self.model.schedule.T:
                raise ValueError(f"the times must be those of the schedule, 1..{self.model.schedule.T}; got times in 1..{self.times.T}")
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.lr, weight_decay=0.0)

    @property
    def network(self) -> nn.Module:
        """The module whose weights are trained."""
        return self.model.network if isinstance(self.model, NetworkDenoiser) else self.model

    def averaged(self) -> Any:
        """The model with the averaged weights: the one to sample from, evaluate and publish."""
        average = self.average.eval()
        return replace(self.model, network=average) if isinstance(self.model, NetworkDenoiser) else average

    def lr_at(self, k: int) -> float:
        """Learning rate of step k (1 is the first): linear warm-up, then a half cosine to 0 at `steps`."""
        rise = min(1.0, k / max(1, self.warmup))
        return self.lr * rise * 0.5 * (1 + math.cos(math.pi * min(1.0, (k - 1) / self.steps)))


def fit(training: Training, batch: Batch, loss: Loss = simple_loss, clip: float = 1.0) -> Iterator[TrainStep]:
    """Algorithm 1 of DDPM, from training.step to training.steps; yields a TrainStep after each completed step.

    batch(generator) -> (x_0, cond): draws a batch with the generator it is given. loss(denoiser, x_0, t, eps, cond) -> (B,).
    t comes from training.times: uniform on 1..T, both ends included, by default. The gradient's norm is cut at `clip`. Raises
    FloatingPointError when the loss is not finite: the weights of the last good step are kept.
    """
    denoiser, times = training.model, training.times
    if not isinstance(denoiser, NetworkDenoiser) or times is None:
        raise TypeError(f"fit trains a NetworkDenoiser; for a {type(denoiser).__name__} use descend with its own objective")

    came_out: list[tuple[Tensor, Tensor]] = []

    def objective(rng: torch.Generator) -> Tensor:
        x_0, cond = batch(rng)
        t, weight = times.sample(len(x_0), rng)
        eps = torch.randn(x_0.shape, generator=rng, dtype=x_0.dtype).to(x_0.device)
        losses = loss(denoiser, x_0, t, eps, cond)
        came_out[:] = [(t, losses.detach())]
        return (weight.to(losses) * losses).mean() / x_0[0].numel()

    for step in descend(training, objective, clip):
        times.update(*came_out[0])  # once the step is whole: a step that is broken off is made again, and must draw the same times
        yield step


def descend(training: Training, objective: Callable[[torch.Generator], Tensor], clip: float = 1.0) -> Iterator[TrainStep]:
    """The optimisation loop of every training here: objective(generator of this step) -> a scalar to go down on."""
    network = training.network
    network.train()
    while training.step < training.steps:
        k = training.step + 1
        value = objective(step_generator(training.seed, k))
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"the loss of step {k} is {value.item()}: try a smaller train.lr or a longer train.warmup, and look for NaN in the data"
            )
        lr = training.lr_at(k)
        for group in training.optimizer.param_groups:
            group["lr"] = lr
        training.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(network.parameters(), clip)
        if not torch.isfinite(norm):  # a finite loss may have an infinite slope; a step along it would spoil every weight
            raise FloatingPointError(f"the gradient of step {k} is {norm.item()}: try a smaller train.lr or a longer train.warmup")
        training.optimizer.step()
        ema_update(training.average, network, min(training.ema, (1 + k) / (10 + k)))
        training.step = k
        yield TrainStep(k, value.item(), lr, norm.item())


def step_generator(seed: int, k: int) -> torch.Generator:
    """The generator of step k of the run with this seed; streams of different (seed, k) do not overlap in practice."""
    return torch.Generator().manual_seed((seed * 1_000_003 + k) * 2_654_435_761 % 2**63)


@torch.no_grad()
def ema_update(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * network, parameter by parameter. Closed form: tests/test_learn.py."""
    for a, p in zip(average.parameters(), network.parameters(), strict=True):
        a.lerp_(p, 1 - decay)
    for mine, theirs in zip(average.buffers(), network.buffers(), strict=True):
        mine.copy_(theirs)
