"""The two families with an exact log p(x): flows, autoregressive models (so it may import minidiff.nn and minidiff.families)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import special

from minidiff.verify.registry import Check, close, equation, generator, monte_carlo
from minidiff.verify.routes import Float, grid, joint_log, quad


def _told(x: Any) -> Any:
    import torch

    return torch.from_numpy(np.asarray(x, dtype=np.float64))


def _seeded(make: Any) -> Any:
    """make() with torch's own random numbers set, in float64, no weight at 0: what starts as the identity shall be no identity here."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(72)
        made = make().double().requires_grad_(False)
        for p in made.parameters():
            if not p.any():
                p.copy_(0.3 * torch.randn_like(p))
    return made


@equation(
    "families", "flow", "change of variables", function="minidiff.families.Flow.log_prob", source="Rezende & Mohamed 2015, Eq. 5 [T03]",
    formula=r"\log p(x)=\log p_z\big(f(x)\big)+\log\Big|\det\frac{\partial f}{\partial x}\Big|",
)  # fmt: skip
def change_of_variables() -> Iterator[Check]:
    """One dimension, where mass is known: x = sinh z, and monotone layers, against the base distribution function by quadrature."""
    import torch

    from minidiff.families import Flow, Monotone

    class Asinh(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.asinh(x), -0.5 * torch.log1p(x**2).sum(1)

    def mass(flow: Any, low: float, high: float) -> float:
        return quad(lambda x: float(flow.log_prob(_told([[x]])).exp()), low, high, [0.0])

    sinh = Flow(1, [Asinh()])
    for low, high in ((-3.0, 1.2), (-0.5, 6.0)):
        closed = special.ndtr(np.arcsinh(high)) - special.ndtr(np.arcsinh(low))
        yield close(f"P({low} < sinh z < {high})", closed, mass(sinh, low, high), 1e-11, "quadrature")
    bent = _seeded(lambda: Flow(1, [Monotone(5, 3.0), Monotone(4, 2.0)]))
    ends = bent.encode(_told([[-0.7], [0.9]]))[0].numpy().ravel()
    closed = special.ndtr(ends[1]) - special.ndtr(ends[0])
    yield close("P(-0.7 < x < 0.9), two monotone layers", closed, mass(bent, -0.7, 0.9), 1e-9, "quadrature")
    x = _told(np.linspace(-4, 4, 9)[:, None])
    yield close("monotone layers and back", x, bent.decode(bent.encode(x)[0]), 1e-9, "bisection")


@equation(
    "families", "flow affine", "couplings of straight lines", function="minidiff.families.Coupling", source="this ledger [T04]",
    formula=r"x=Az+b\ \Rightarrow\ p(x)=\mathcal N(x;\,b,\,AA^\top)",
)  # fmt: skip
def affine_flow() -> Iterator[Check]:
    """Two couplings whose networks are straight lines, in the plane: the multivariate normal by linear algebra."""
    import torch

    from minidiff.families import Coupling, Flow

    lines = ((0.7, 0.3, -0.4), (-1.1, -0.2, 0.6))  # slope and shift of the mean, log scale
    layers, A, b = [], np.eye(2), np.zeros(2)
    for k, (slope, shift, log_scale) in enumerate(lines):
        net = torch.nn.Linear(1, 2).double()
        net.weight.data, net.bias.data = _told([[slope], [0.0]]), _told([shift, 4 * np.arctanh(log_scale / 4)])
        layers.append(Coupling(torch.tensor([k == 0, k == 1]), net))
        step = np.eye(2)  # x from z of this layer: the moved number is exp(log_scale) z + slope z_kept + shift
        step[1 - k] = [np.exp(log_scale), slope] if k == 1 else [slope, np.exp(log_scale)]
        A, b = A @ step, b + A @ (shift * np.eye(2)[1 - k])
    flow = Flow(2, layers).requires_grad_(False)
    x = generator(73).standard_normal((7, 2)) * 2
    yield close("log density at seven points", [joint_log(one, b, A @ A.T) for one in x], flow.log_prob(_told(x)), 1e-12, "linear algebra")
    z = generator(74).standard_normal((5, 2))
    yield close("f^{-1}(z) = A z + b", z @ A.T + b, flow.decode(_told(z)), 1e-12, "linear algebra")


@equation(
    "families", "coupling", "the triangular Jacobian", function="minidiff.families.Coupling", source="Dinh et al. 2017, Eq. 4-8",
    formula=r"\log\Big|\det\frac{\partial z}{\partial x}\Big|=-\sum_j s_j(x_{\text{keep}})",
)  # fmt: skip
def coupling() -> Iterator[Check]:
    """Four couplings with networks: their log-determinant by autograd, the way back, and a density that integrates to 1."""
    import torch

    from minidiff.families import Flow, couplings

    for dims in (2, 5):
        flow = _seeded(lambda dims=dims: Flow(dims, couplings(dims, 4, 8)))
        x = _told(generator(75).standard_normal((6, dims)))
        z, ours = flow.encode(x)
        whole = torch.autograd.functional.jacobian(lambda a, f=flow: f.encode(a)[0].sum(0), x).movedim(1, 0)
        yield close(f"log |det| in {dims} dimensions", np.linalg.slogdet(whole.numpy())[1], ours, 1e-10, "autograd")
        yield close("data to noise and back", x, flow.decode(z), 1e-12, "algebra")
    flow = _seeded(lambda: Flow(2, couplings(2, 4, 8)))
    axis, w = grid(-14, 14, 561)
    plane = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    yield close("mass in the plane", 1, float(np.exp(flow.log_prob(_told(plane)).numpy()).sum() * w[0] ** 2), 1e-6, "trapezoids")


@equation(
    "families", "chain", "the chain rule", function="minidiff.families.Autoregressive", source="Germain et al. 2015, Eq. 1 [T05]",
    formula=r"\log p(x)=\sum_i\log p(x_i\mid x_{<i})",
)  # fmt: skip
def chain_rule() -> Iterator[Check]:
    """A table of 3 x 4 x 2 probabilities whose conditionals are summed by brute force; the masks of a network by its gradients."""
    import torch

    from minidiff.families import Autoregressive, made

    table = generator(76).dirichlet(np.full(24, 0.7)).reshape(3, 4, 2)
    every = np.stack(np.unravel_index(np.arange(24), table.shape), 1)
    model = Autoregressive(3, lambda x: _conditionals(table, x.long().numpy()), _Table)  # type: ignore[arg-type]
    yield close("log p of all 24 outcomes", np.log(table).ravel(), model.log_prob(torch.from_numpy(every)), 1e-12, "the table")
    for dims, outputs, width in ((4, 3, 7), (2, 6, 5), (1, 3, 4)):
        net = _seeded(lambda a=(dims, outputs, width): made(*a))
        x = _told(generator(77).standard_normal((1, dims)))
        seen = torch.autograd.functional.jacobian(net, x)[0, :, 0].reshape(dims, outputs, dims).abs().sum(1).numpy()
        allowed = np.tril(np.ones((dims, dims)), -1)
        yield close(f"which of {dims} inputs move the law of which", allowed, seen > 0, 0, "gradients")


class _Table:
    """The law of each number as log probabilities, (B, D, P)."""

    def __init__(self, logs: Any) -> None:
        self.logs = logs

    def log_prob(self, x: Any) -> Any:
        return self.logs.gather(-1, x[..., None].long()).squeeze(-1)


def _conditionals(table: Float, x: Any) -> Any:
    """log p(x_i = k | x_<i) for every k, (B, 3 * 4), by sums over the table; places that a number does not have are never asked for."""
    out = np.zeros((len(x), 3, 4))
    for row, (a, b, _) in enumerate(x):
        for i, part in enumerate((table.sum((1, 2)), table[a].sum(1), table[a, b])):
            out[row, i, : len(part)] = np.log(part / part.sum())
    return _told(out.reshape(len(x), 12))


@equation(
    "families", "logistics", "mixtures of logistic laws", function="minidiff.families.EightBit", source="Salimans et al. 2017, Eq. 1-2",
    formula=r"P(x)=\sum_k w_k\Big[\sigma\Big(\frac{x+\frac1{255}-\mu_k}{s_k}\Big)-\sigma\Big(\frac{x-\frac1{255}-\mu_k}{s_k}\Big)\Big]",
)  # fmt: skip
def logistics() -> Iterator[Check]:
    """Mass of the density; masses of bins by its quadrature; sums over all levels; samples against the distribution function."""
    import torch

    from minidiff.families import Autoregressive, EightBit, Logistics, made

    params = _told([0.3, -0.8, 0.1, -0.6, 0.1, 0.95, -2.0, -1.2, -2.8])  # three weights, means, log scales

    def density(x: float) -> float:
        return float(Logistics(params).log_prob(_told(x)).exp())

    yield close("mass of the density", 1, quad(density, -9, 9, [-0.6, 0.1, 0.95]), 1e-10, "quadrature")
    levels = np.arange(256) / 127.5 - 1
    mass = np.exp(EightBit(params.expand(256, 9)).log_prob(_told(levels)).numpy())
    yield close("sum of 256 masses", 1, mass.sum(), 1e-12, "sum")
    for k in (0, 7, 128, 255):
        ends = (-12.0 if k == 0 else levels[k] - 1 / 255, 12.0 if k == 255 else levels[k] + 1 / 255)
        yield close(f"mass of level {k}", mass[k], quad(density, *ends, [-0.6, 0.1, 0.95]), 1e-10, "quadrature of the density")
    net = _seeded(lambda: made(2, 6, 9))
    pairs = np.stack(np.meshgrid(levels, levels, indexing="ij"), -1).reshape(-1, 2)
    joint = Autoregressive(2, net, EightBit).log_prob(_told(pairs)).numpy()
    yield close("sum of all 65,536 masses of two numbers", 1, np.exp(joint).sum(), 1e-10, "sum")
    draws = EightBit(params.expand(40_000, 9)).sample(torch.Generator().manual_seed(int(generator(78).integers(2**31)))).numpy()
    for level in (-0.5, 0.2):
        yield monte_carlo(f"P(x <= {level}) of samples", mass[levels <= level].sum(), draws <= level + 1e-9)
