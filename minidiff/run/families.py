"""Six contestants on equal terms: the same parameters, batches, optimiser and seconds for every family of generative models.

    it = contestant("flow", world("ring"), seconds=12)
    for step in it.steps(): ...
    it.sample(1000, rng), it.nats(test, rng)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from minidiff.arrays import normal
from minidiff.bound import decoder_term, density_term, variational_bound
from minidiff.families import Autoregressive, Gan, Vae
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.train import Training, TrainStep, descend, fit
from minidiff.likelihood import flow_log_prob
from minidiff.nn.perceptron import free_parameters
from minidiff.prediction import Denoiser
from minidiff.process import marginal
from minidiff.reverse import optimal_variance
from minidiff.run.family_networks import FAMILIES
from minidiff.run.recipes import checked
from minidiff.run.worlds import World, dequantised, per_level
from minidiff.sample import dpm_solver, last
from minidiff.schedule import Schedule
from minidiff.toy import quantise
from minidiff.wrappers import Clipped

CALLS = 100  # of the network, for a sample of diffusion: with 25, one point in nine of the ring lies between its modes
GUESSES = 100  # of z, for the importance-weighted bound of a VAE


def sized(build: Callable[[int], nn.Module], parameters: int) -> nn.Module:
    """The network whose number of free weights is nearest to `parameters`, found by its width. Weights are from torch's global state."""
    low, high = 1, 2
    while free_parameters(build(high)) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if free_parameters(build(middle)) < parameters else (low, middle)
    best = min((low, high), key=lambda width: abs(free_parameters(build(width)) - parameters))
    return build(best)


@dataclass
class Timed(Training):
    """A training that lasts `budget` seconds in place of steps; its learning rate falls to 0 over them."""

    budget: float = math.inf

    def lr_at(self, k: int) -> float:
        """Linear warm-up over steps; then a half cosine over the seconds, or over the steps if there is no budget."""
        if math.isinf(self.budget):
            return super().lr_at(k)
        return self.lr * min(1.0, k / max(1, self.warmup)) * 0.5 * (1 + math.cos(math.pi * min(1.0, self.seconds / self.budget)))


@dataclass
class Contestant:
    """A model of one family on one data set. `steps` trains it; `sample` and `nats` use the averaged weights."""

    name: str
    data: World
    training: Timed
    batch: int

    def steps(self, clock: Callable[[], float] = time.process_time) -> Iterator[TrainStep]:
        """Steps until the budget or their number is reached. Only what passes inside a step, by `clock`, is counted."""
        training = self.training
        made = fit(training, lambda rng: (self._batch(rng), None)) if self.name == "diffusion" else descend(training, self._objective)
        while training.seconds < training.budget and training.step < training.steps:
            start = clock()
            step = next(made)
            training.seconds += clock() - start
            yield step

    def sample(self, n: int, rng: torch.Generator) -> Tensor:
        """n samples, (n, dims); on the 256 levels where the data are."""
        model = self._answers()
        if self.name == "diffusion":
            noise = torch.randn(n, self.data.dims, generator=rng)
            x = last(dpm_solver(model, noise, model.schedule.times(CALLS)))
        else:
            x = model.sample(n, rng)
        return torch.from_numpy(quantise(x.double().numpy())).float() if self.data.eight_bit else x

    @torch.no_grad()
    def nats(self, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """-log p(x), nats an example, (B,), or bounds above it, by name; the one to judge by is the last. A GAN has none: empty."""
        model, data = self._answers(), self.data
        if isinstance(model, Gan):
            return {}
        if self.name == "diffusion":
            return self._by_diffusion(model, x, rng)
        if isinstance(model, Autoregressive):
            return {"exact": -model.log_prob(x)}
        more = per_level(data.dims) if data.eight_bit else 0.0
        x = dequantised(x, rng) if data.eight_bit else x
        if isinstance(model, Vae):
            noise = torch.randn(GUESSES, len(x), model.latent, generator=rng)
            return {"bound": more - model.bound(x, noise[0]), "importance": more - model.importance(x, noise)}
        return {"bound" if data.eight_bit else "exact": more - model.log_prob(x)}

    def _answers(self) -> Any:
        """The model with averaged weights; a denoiser of levels keeps its guesses within their range, as those of pictures do."""
        model = self.training.averaged()
        return Clipped(model) if self.name == "diffusion" and self.data.eight_bit else model

    def _batch(self, rng: torch.Generator) -> Tensor:
        return self.data.batch(self.batch, rng)

    def _objective(self, rng: torch.Generator) -> Tensor:
        model: Any = self.training.network
        x = self._batch(rng)
        return model.objective(dequantised(x, rng) if self.data.eight_bit and not isinstance(model, Autoregressive) else x, rng)

    def _by_diffusion(self, model: Denoiser, x: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        """The variational bound with the best variances, measured on training examples; of densities also the exact one of the ODE."""
        some = self.data.batch(2000 if self.data.dims < 10 else 300, rng)
        variance = optimal_variance(model.schedule, _errors(model, some, rng))
        decoder = decoder_term if self.data.eight_bit else density_term
        found = {"bound": variational_bound(model, x, normal(rng), variance, decoder=decoder).total}
        return found if self.data.eight_bit else found | {"exact": -flow_log_prob(model, x)}


@torch.no_grad()
def _errors(denoiser: Denoiser, x_0: Tensor, rng: torch.Generator) -> np.ndarray:
    """The mean square of x_0 minus what the network says of it, at each t, (T + 1,): an mmse_t, as far as the network reaches it."""
    out = np.zeros(denoiser.schedule.T + 1)
    for t in range(1, len(out)):
        x_t = marginal(denoiser.schedule, x_0, t).sample(torch.randn(x_0.shape, generator=rng))
        out[t] = float(((denoiser(x_t, t).x_0 - x_0) ** 2).mean())
    return out


def contestant(name: str, data: World, *, seconds: float = math.inf, steps: int = 10**9, seed: int = 0, batch: int = 256) -> Contestant:
    """A fresh contestant of this name, for so many CPU seconds or steps; ValueError for an unknown name, or if neither is given.

    The batches of step k are the same for all, and depend on the seed alone. Checked by tests/test_run_families.py.
    """
    family = FAMILIES[checked("family", name, FAMILIES)]
    if math.isinf(seconds) and steps == 10**9:
        raise ValueError("a contestant needs an end: give seconds or steps; got neither")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = sized(lambda width: family.build(data.dims, data.eight_bit, width), data.parameters)
    model = NetworkDenoiser(network, _schedule(data), "v") if name == "diffusion" else network
    lr = family.lr if data.dims < 10 else family.lr / 4  # a network ten times as large takes smaller steps
    training = Timed(model, steps, lr, warmup=50, ema=0.995, seed=seed, betas=family.betas, budget=seconds)
    return Contestant(name, data, training, batch)


def _schedule(data: World) -> Schedule:
    """For points the betas of the recipes `toy-*`; for digits the cosine."""
    return Schedule.linear(200, 5e-4, 0.1) if data.dims < 10 else Schedule.cosine(200)
