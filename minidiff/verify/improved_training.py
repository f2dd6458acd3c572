"""Improved DDPM: the losses and the choice of t, with torch's gradients (so this file may import minidiff.learn)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy import optimize

from minidiff import Prediction, Schedule, decoder_term, density_term, from_output, variational_bound
from minidiff.verify.gaussian_data import kernel_variance
from minidiff.verify.registry import Check, at_most, close, equation, generator, monte_carlo
from minidiff.verify.routes import ABAR, BETAS, MEAN, SHORT, VAR, Float, hermite, product

THETA = np.array([0.7, -0.2, 0.3, -0.4])  # two numbers of the eps-head, two of the variance's


@dataclass(frozen=True)
class Heads:
    """eps = theta_0 sin(x_t) + theta_1 and var_mix = theta_2 cos(x_t) + theta_3: wrong, smooth, with a head of its own for the variance."""

    theta: Any
    schedule: Schedule = SHORT

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        eps = x_t.sin() * self.theta[0] + self.theta[1]
        return from_output("eps", eps, x_t, *self.schedule.scales(t), x_t.cos() * self.theta[2] + self.theta[3])


@dataclass(frozen=True)
class Line:
    """The exact denoiser of N(MEAN, VAR), written as a line, with the same var_mix everywhere."""

    var_mix: float
    schedule: Schedule = SHORT

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        signal, noise = (np.reshape(c, (-1, 1)) for c in self.schedule.scales(t))
        eps = (x_t - x_t.new_tensor(signal * MEAN)) * x_t.new_tensor(noise / (signal**2 * VAR + noise**2))
        return from_output("eps", eps, x_t, signal, noise, 0 * x_t + self.var_mix)


def _batch(stream: int, pixels: bool) -> tuple[Any, Any, Float]:
    """Three x_0 and three eps of two features, each at all eight t: (24, 2) tensors and t (24,)."""
    import torch

    rng = generator(stream)
    x_0, eps = 0.6 * rng.standard_normal((3, 2)), rng.standard_normal((3, 2))
    if pixels:
        x_0 = np.array([[0.0, 255.0], [128.0, 31.0], [200.0, 77.0]]) / 127.5 - 1  # both end bins among them
    return torch.from_numpy(np.repeat(x_0, 8, 0)), torch.from_numpy(np.repeat(eps, 8, 0)), np.tile(np.arange(1, 9), 3)


@equation(
    "improved_ddpm", "4-7", "the bound as a loss at one t", function="minidiff.learn.vlb_loss",
    formula=r"L_{\text{vlb}}=L_0+L_1+\dots+L_{T-1}+L_T,\qquad\mathbb E_{t\sim U\{1..T\}}[T\,L_{t-1}]=L_{\text{vlb}}-L_T",
)  # fmt: skip
def bound_as_loss() -> Iterator[Check]:
    """vlb_loss at every t with one eps against variational_bound with that eps; its mean for Gaussian data against the closed bound."""
    import torch

    from minidiff.learn import vlb_loss

    table = np.linspace(0.05, 0.4, 9)
    for name, decoder in (("density", density_term), ("pixels", decoder_term)):
        x_0, eps, t = _batch(4, name == "pixels")
        for kind in ("learned", "small", table):
            ours = vlb_loss(Heads(THETA), x_0, t, eps, variance=kind, decoder=decoder).reshape(3, 8)
            bound = variational_bound(Heads(THETA), x_0[::8], partial(_same, eps[::8]), kind, decoder=decoder)
            what = f"{name}, {kind if isinstance(kind, str) else 'explicit'} variance"
            yield close(f"mean over t = 1..8, {what}", ours.mean(1), bound.total - bound.prior, 1e-12, "the bound without L_T")
        terms = torch.cat([bound.decoder[None], bound.steps.flip(0)]).T
        yield close(f"each t is T times its own term, {name}", ours, 8 * terms, 1e-12, "terms of the bound")
    (z_0, z), w = product(hermite(4), hermite(4))
    x_0, eps, mass = torch.from_numpy(MEAN + np.sqrt(VAR) * z_0), torch.from_numpy(z), torch.from_numpy(w)
    small, large = BETAS * (1 - ABAR[:-1]) / (1 - ABAR[1:]), BETAS
    small[0] = small[1]  # what "small" means at t = 1
    for mix in (-0.5, 0.8):
        each = [float(mass @ vlb_loss(Line(mix), x_0, t, eps, decoder=density_term)) for t in range(1, 9)]
        v = (mix + 1) / 2
        ratio = kernel_variance(SHORT)[1:] / (large**v * small ** (1 - v))
        last = ABAR[8] * VAR + 1 - ABAR[8]
        prior = 0.5 * (ABAR[8] * (MEAN**2 + VAR) - ABAR[8] - np.log(1 - ABAR[8]))
        gap = 0.5 * (last + ABAR[8] * MEAN**2 - 1 - np.log(last)) + 0.5 * (ratio - 1 - np.log(ratio)).sum()
        closed = gap + 0.5 * np.log(2 * np.pi * np.e * VAR) - prior
        yield close(f"Gaussian data, var_mix = {mix}: entropy + closed gap - prior", closed, np.mean(each), 1e-10, "Gauss-Hermite")


def _same(eps: Any, _: Any) -> Any:
    return eps


def _gradient(loss: Callable[..., Any], *args: Any, **options: Any) -> Float:
    """The gradient with respect to THETA of the loss summed over a batch, by autograd."""
    import torch

    theta = torch.tensor(THETA, requires_grad=True)
    loss(Heads(theta), *args, **options).sum().backward()
    return np.zeros(4) if theta.grad is None else theta.grad.numpy()


def _slope(loss: Callable[..., Any], i: int, *args: Any, **options: Any) -> float:
    """The derivative of the loss with respect to THETA_i by differences of fourth order: blind to what is detached."""
    h = 1e-3
    a, b, c, d = (float(loss(Heads(THETA + k * h * np.eye(4)[i]), *args, **options).sum()) for k in (-2, -1, 1, 2))
    return (8 * (c - b) - (d - a)) / (12 * h)


@equation(
    "improved_ddpm", "16", "the hybrid loss: the bound teaches the variance only", function="minidiff.learn.hybrid_loss",
    formula=r"L_{\text{hybrid}}=L_{\text{simple}}+\lambda L_{\text{vlb}},\qquad\nabla_\mu L_{\text{hybrid}}=\nabla_\mu L_{\text{simple}},"
    r"\quad\nabla_\Sigma L_{\text{hybrid}}=\lambda\nabla_\Sigma L_{\text{vlb}}",
)  # fmt: skip
def hybrid() -> Iterator[Check]:
    """Autograd of each head against autograd of the loss it should see, and against finite differences; the value is the plain sum."""
    from minidiff.learn import hybrid_loss, simple_loss, vlb_loss

    for name, decoder in (("density", density_term), ("pixels", decoder_term)):
        x_0, eps, t = _batch(16, name == "pixels")
        where, weight = (x_0, t, eps), 0.03
        value = simple_loss(Heads(THETA), *where) + weight * vlb_loss(Heads(THETA), *where, decoder=decoder)
        ours = hybrid_loss(Heads(THETA), *where, weight=weight, decoder=decoder)
        yield close(f"its value, {name}", ours, value, 1e-13, "algebra")
        both = _gradient(hybrid_loss, *where, weight=weight, decoder=decoder)
        yield close(f"gradient of the eps-head: that of L_simple, {name}", both[:2], _gradient(simple_loss, *where)[:2], 1e-12, "autograd")
        vlb = _gradient(vlb_loss, *where, decoder=decoder)
        yield close(f"gradient of the variance-head: 0.03 times that of L_vlb, {name}", both[2:], weight * vlb[2:], 1e-12, "autograd")
        by_hand = [_slope(simple_loss, i, *where) for i in (0, 1)]
        by_hand += [weight * _slope(vlb_loss, i, *where, decoder=decoder) for i in (2, 3)]
        yield close(f"all four numbers, {name}", both, by_hand, 1e-7, "finite differences")
        pulled = [abs(_slope(hybrid_loss, i, *where, weight=weight, decoder=decoder) - both[i]) for i in (0, 1)]
        yield at_most(f"without the detached mean the eps-head would feel this much more, {name}", 0.01, pulled, 0.0, "finite differences")
        default = _gradient(hybrid_loss, *where, decoder=decoder)
        yield close(f"the weight is 0.001 unless told, {name}", default[2:], 1e-3 * vlb[2:], 1e-13, "autograd")


@equation(
    "improved_ddpm", "18", "choosing t by the size of its loss", function="minidiff.learn.LossAwareTimes",
    formula=r"L_{\text{vlb}}=\mathbb E_{t\sim p_t}\Big[\frac{L_t}{p_t}\Big],\qquad p_t\propto\sqrt{\mathbb E[L_t^2]},\qquad\sum_tp_t=1",
)  # fmt: skip
def importance() -> Iterator[Check]:
    """Uniform until every t has a history; then the p of least second moment, against a minimum over the simplex; unbiased, with draws."""
    import torch

    from minidiff.learn import LossAwareTimes, UniformTimes

    T, rng = 6, generator(18)
    even, _ = UniformTimes(T).sample(20_000, torch.Generator().manual_seed(int(rng.integers(2**31))))
    yield close("uniform t: the first and the last drawn", [even.min(), even.max()], [1, T], 0, "count")
    yield monte_carlo("uniform t: the mean", (T + 1) / 2, even.numpy())
    mean, std = np.array([0.2, 3.0, 0.5, 0.05, 1.0, 0.4]), np.array([1.5, 0.1, 0.5, 0.2, 0.0, 2.0])  # E L^2 is not (E L)^2
    times = LossAwareTimes(T, uniform=0.0)
    old, history = rng.standard_normal((7, T)) * 50, mean + std * rng.standard_normal((10, T))
    for losses in [*old, *history[:-1]]:
        times.update(torch.arange(1, T + 1), torch.from_numpy(losses))
    fresh = LossAwareTimes(T)
    for losses in history:
        fresh.update(torch.arange(1, T), torch.from_numpy(losses[:-1]))
    t, weights = fresh.sample(1000, torch.Generator().manual_seed(0))
    yield close("p while one t has no history", fresh.probabilities, 1 / T, 1e-15, "algebra")
    yield close("weights and range of t then", [*weights[:3], t.min(), t.max()], [1, 1, 1, 1, T], 1e-7, "count")
    times.update(torch.arange(1, T + 1), torch.from_numpy(history[-1]))
    second = (history**2).mean(0)

    def moment(u: Float) -> float:  # E[(weight L)^2] with p = softmax(u)
        return float(np.logaddexp.reduce(u) - np.log(T**2) + np.log((second * np.exp(-u)).sum()))

    found = optimize.minimize(moment, np.zeros(T), method="BFGS", options={"gtol": 1e-10})
    best = np.exp(found.x - np.logaddexp.reduce(found.x))
    yield close("p_t: the last ten losses of each t decide", times.probabilities, best, 1e-6, "optimiser")
    ours = (second / times.probabilities.numpy()).sum() / T**2
    yield close("second moment E[(weight L)^2] with this p: the least", ours, np.exp(found.fun), 1e-9, "optimiser")
    yield close("it is (sum of sqrt E[L^2])^2 / T^2", ours, (np.sqrt(second).sum() / T) ** 2, 1e-12, "algebra")
    yield from _draws(history, second)


def _draws(history: Float, second: Float) -> Iterator[Check]:
    """What 200,000 draws of t and of a loss from its history give, with the default share of uniform draws."""
    import torch

    from minidiff.learn import LossAwareTimes

    T, n, rng = len(second), 200_000, generator(180)
    times = LossAwareTimes(T)
    for losses in history:
        times.update(torch.arange(1, T + 1), torch.from_numpy(losses))
    t, weight = (a.numpy() for a in times.sample(n, torch.Generator().manual_seed(int(rng.integers(2**31)))))
    sample = weight.astype(float) * history[rng.integers(0, len(history), n), t - 1]
    yield monte_carlo("E[weight L_t] is the mean over t", history.mean(), sample)
    root = np.sqrt(second)
    p = 0.999 * root / root.sum() + 0.001 / T
    yield close("weights: 1 / (T p_t), a thousandth of the draws uniform", weight, 1 / (T * p[t - 1]), 1e-6, "algebra", relative=True)
    yield monte_carlo("E[(weight L_t)^2]", (second / p).sum() / T**2, sample**2)
    yield at_most("it is less than with uniform t", (sample**2).mean(), second.mean(), 0.0, "Monte Carlo")
