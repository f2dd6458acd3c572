"""The network without torch as a denoiser, and Algorithm 1 of DDPM around its backward pass: all arrays are NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidiff.learn.train import TrainStep
from minidiff.nn.by_hand import Adam, HandMLP, squared_error, squared_error_backward
from minidiff.prediction import Prediction, from_output
from minidiff.process import marginal
from minidiff.schedule import Schedule

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HandDenoiser:
    """A HandMLP read as a Denoiser: it is told x_t and the paper's t, and says eps. Samplers and bounds run on it as on any other.

    x_t: NumPy, (B, dim), of any float type; computed in float64, answered in the type of x_t. t: int or (B,), in 1..T.
    Raises TypeError for torch tensors, ValueError for a condition, a t outside 1..T or a wrong shape.
    """

    network: HandMLP
    schedule: Schedule

    def __call__(self, x_t: NDArray[Any], t: Any, cond: Any = None) -> Prediction:
        if cond is not None:
            raise ValueError(f"this network takes no condition; got a {type(cond).__name__}")
        if not isinstance(x_t, np.ndarray) or not np.issubdtype(x_t.dtype, np.floating):
            got = x_t.dtype if isinstance(x_t, np.ndarray) else type(x_t).__name__
            raise TypeError(f"this network denoises NumPy arrays of floats; got {got} (x.numpy() converts a tensor)")
        steps = self.schedule.check(t, low=1)
        if steps.ndim and len(steps) != len(x_t):
            raise ValueError(f"t must be one int or one for each of the {len(x_t)} examples; got {len(steps)}")
        out = self.network.forward(x_t.astype(np.float64), np.broadcast_to(steps, len(x_t)))
        return from_output("eps", out.astype(x_t.dtype), x_t, *self.schedule.scales(steps))


def loss_and_gradients(denoiser: HandDenoiser, x_0: Float, t: Any, eps: Float) -> tuple[float, dict[str, Float]]:
    """L_simple per feature, mean ||eps - eps_theta(x_t, t)||^2 / dims, and its gradient at every parameter.

    Source: DDPM (Ho et al. 2020), Eq. 14. Shapes: x_0, eps (B, dim), t (B,) in 1..T. Checked by tests/test_by_hand.py.
    """
    x_t = marginal(denoiser.schedule, x_0, t).sample(eps)
    out = denoiser.network.forward(x_t, t)
    return squared_error(out, eps), denoiser.network.backward(squared_error_backward(out, eps))


def fit_by_hand(
    denoiser: HandDenoiser, batch: Callable[[np.random.Generator], Float], steps: int, rng: np.random.Generator, lr: float = 0.01
) -> Iterator[TrainStep]:
    """Algorithm 1 of DDPM with Adam and a half cosine of the learning rate: yields a TrainStep after each step, as `fit` does.

    batch(rng) -> x_0 (B, dim): draws a batch with the generator it is given. Each t is uniform on 1..T, both ends included. Changes
    denoiser.network.params in place. Raises FloatingPointError when the loss is not finite.
    """
    adam = Adam(denoiser.network.params, lr, steps=steps)
    for k in range(1, steps + 1):
        x_0 = batch(rng)
        t = rng.integers(1, denoiser.schedule.T + 1, size=len(x_0))
        loss, grads = loss_and_gradients(denoiser, x_0, t, rng.standard_normal(x_0.shape))
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss of step {k} is {loss}: try a smaller lr, and look for NaN in the data")
        adam.step(grads)
        norm = math.sqrt(sum(float((g**2).sum()) for g in grads.values()))
        yield TrainStep(k, loss, adam.lr_at(k), norm)
