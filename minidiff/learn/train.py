"""Training as a generator: one step, then a small record; plotting, saving and stopping are the caller's `for` loop.

The randomness of step k is a function of (seed, k) alone. A run that is stopped and resumed therefore draws the same
batches, times and noise as one that was not, and on a CPU ends in the same weights, bit for bit. Under torchrun, or with
`accumulate`, the same batch is worked on in parts: see distributed.py.
"""

from __future__ import annotations

import copy
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from minidiff.learn import distributed
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.loss import simple_loss
from minidiff.learn.times import TimeSampler, UniformTimes

Batch = Callable[[torch.Generator], tuple[Tensor, Any]]
Loss = Callable[..., Tensor]
Objective = Callable[[torch.Generator], Tensor | Iterable[Tensor]]


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
    trained at; uniform by default, `LossAwareTimes(T)` for the bound. accumulate: the batch is worked on in so many parts, one after
    the other, for the memory of one. precision: "bfloat16" lets the network compute under torch's autocast; weights and losses stay
    as they are. compile: by torch.compile. weight_decay: of AdamW, for classifiers. betas: the decays of its averages. seconds: spent
    on all steps so far, if the caller keeps count. Raises ValueError for values out of range. Checked by tests/test_learn.py and
    tests/test_distributed.py.
    """

    model: NetworkDenoiser | nn.Module
    steps: int
    lr: float = 1e-3
    warmup: int = 200
    ema: float = 0.999
    seed: int = 0
    step: int = 0
    times: TimeSampler | None = None
    accumulate: int = 1
    precision: str = "float32"
    compile: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    seconds: float = 0.0
    average: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    called: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.lr > 0 or not 0 <= self.ema < 1 or self.accumulate < 1:
            got = f"{self.steps}, {self.lr}, {self.ema}, {self.accumulate}"
            raise ValueError(f"needed: steps >= 1, lr > 0, 0 <= ema < 1, accumulate >= 1; got {got}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f'precision must be "float32" or "bfloat16"; got {self.precision!r}')
        if isinstance(self.model, NetworkDenoiser):
            self.times = self.times or UniformTimes(self.model.schedule.T)
            if self.times.T != self.model.schedule.T:
                raise ValueError(f"the times must be those of the schedule, 1..{self.model.schedule.T}; got times in 1..{self.times.T}")
        self.average = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.lr, betas=self.betas, weight_decay=self.weight_decay)
        self.called = Bfloat16(self.network) if self.precision == "bfloat16" else self.network
        if self.compile:
            self.called = torch.compile(self.called)  # type: ignore[assignment]

    @property
    def network(self) -> nn.Module:
        """The module whose weights are trained."""
        return self.model.network if isinstance(self.model, NetworkDenoiser) else self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are; the parts of a batch are moved there."""
        return next(self.network.parameters()).device

    def working(self) -> Any:
        """The model as the steps call it: the same weights, compiled or in bfloat16 where that was asked for."""
        if self.called is self.network:
            return self.model
        return replace(self.model, network=self.called) if isinstance(self.model, NetworkDenoiser) else self.called

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
    FloatingPointError when the loss is not finite: the weights of the last good step are kept. Under torchrun every process draws
    the whole batch and works on its rows; ValueError if there are too few. Checked by tests/test_learn.py and test_distributed.py.
    """
    denoiser, times = training.working(), training.times
    if not isinstance(denoiser, NetworkDenoiser) or times is None:
        raise TypeError(f"fit trains a NetworkDenoiser; for a {type(denoiser).__name__} use descend with its own objective")

    came_out: list[tuple[Tensor, Tensor]] = []

    def objective(rng: torch.Generator) -> Iterator[Tensor]:
        x_0, cond = batch(rng)
        t, weight = times.sample(len(x_0), rng)
        eps = torch.randn(x_0.shape, generator=rng, dtype=x_0.dtype)
        kept = []
        for rows in distributed.shares(len(x_0), training.accumulate):
            x, e, c = (distributed.part(value, rows, training.device) for value in (x_0, eps, cond))
            losses = loss(denoiser, x, t[rows], e, c)
            kept.append(losses.detach())
            yield (weight[rows].to(losses) * losses).sum() / len(x_0) / x[0].numel()
        came_out[:] = [(t, distributed.gathered(torch.cat(kept), len(x_0)))]

    # The times learn when the step is certain: a step that is broken off is made again, and must draw the same times.
    return descend(training, objective, clip, then=lambda: times.update(*came_out[0]))


def descend(training: Training, objective: Objective, clip: float = 1.0, then: Callable[[], None] | None = None) -> Iterator[TrainStep]:
    """The optimisation loop of every training here: objective(generator of this step) -> a scalar to go down on, or its parts.

    Parts are scalars that add up to the objective, over all processes; each is made when the one before has left its gradient. A
    single scalar is for one process and accumulate = 1: otherwise ValueError, as for a network with batch normalisation, whose
    answer for one row depends on the others. then(): called as the last piece of each step. Ctrl-C leaves a step undone or whole.
    Raises FloatingPointError, on all processes, before a step along a loss or a gradient that is not finite.
    """
    network = training.network
    network.train()
    if distributed.size() * training.accumulate > 1 and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()):
        raise ValueError("batch normalisation looks at the whole batch, so it cannot be divided: leave out torchrun and train.accumulate")
    while training.step < training.steps:
        k = training.step + 1
        training.optimizer.zero_grad(set_to_none=True)
        value = _slope(training, objective(step_generator(training.seed, k)))
        if not torch.isfinite(value):
            raise FloatingPointError(
                f"the loss of step {k} is {value.item()}: try a smaller train.lr or a longer train.warmup, and look for NaN in the data"
            )
        lr = training.lr_at(k)
        for group in training.optimizer.param_groups:
            group["lr"] = lr
        norm = nn.utils.clip_grad_norm_(network.parameters(), clip)
        if not torch.isfinite(norm):  # a finite loss may have an infinite slope; a step along it would spoil every weight
            raise FloatingPointError(f"the gradient of step {k} is {norm.item()}: try a smaller train.lr or a longer train.warmup")
        with uninterrupted():
            training.optimizer.step()
            ema_update(training.average, network, min(training.ema, (1 + k) / (10 + k)))
            training.step = k
            if then is not None:
                then()
        yield TrainStep(k, value.item(), lr, norm.item())


def _slope(training: Training, parts: Tensor | Iterable[Tensor]) -> Tensor:
    """The objective's value; its gradient is left in the parameters. Both are sums over all parts, of all processes."""
    if isinstance(parts, Tensor):
        if distributed.size() * training.accumulate > 1:
            raise ValueError("an objective of one scalar cannot be divided: yield its parts, or leave out torchrun and train.accumulate")
        parts = [parts]
    values = []
    for value in parts:
        value.backward()  # type: ignore[no-untyped-call]
        values.append(value.detach())
    summed = values[0] if len(values) == 1 else torch.stack(values).sum()
    weights = [p for p in training.network.parameters() if p.requires_grad]
    if distributed.size() > 1:
        for p in weights:  # what no row of mine has touched, another's may have
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        distributed.total([summed, *[p.grad for p in weights if p.grad is not None]])
    return summed


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for the end of the block, and is heard there: what the block does is done whole or not begun.

    Only the main thread hears Ctrl-C, and only where nobody switched it off; elsewhere the block runs as it is.
    """
    heed = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or heed in (None, signal.SIG_IGN):
        yield
        return
    came: list[int] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heed)
        if came:
            signal.raise_signal(signal.SIGINT)


class Bfloat16(nn.Module):
    """A network that computes in bfloat16 where torch's autocast knows it to be safe; its answer has the dtype of its input."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, *others: Any) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16):
            out: Tensor = self.network(x, *others)
        return out.to(x)


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
