"""Latent diffusion: the loss in a latent space, its scale, the condition, attention (so it may import minidiff.nn and minidiff.learn)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidiff import Gaussian, GaussianMixture, Prediction, from_output
from minidiff.verify.registry import Check, close, equation, generator, monte_carlo
from minidiff.verify.routes import ABAR, MIXTURE, SHORT, Float, mixture_grid, normal_grid, normal_log, product, quad

COV = np.array([[1.3, 0.5], [0.5, 0.4]])  # of the data in the plane
TURN = np.array([[0.6, -0.8], [0.8, 0.6]])  # an orthogonal encoder: z = TURN x
PAPER = "Rombach et al. 2022 (latent diffusion), "


@dataclass(frozen=True)
class Turned:
    """The encoder z = TURN x + N(0, var I) and its decoder, with the protocol of an autoencoder; tensors (B, 2)."""

    var: float = 0.0
    factor: int = 1

    def encode(self, x: Any) -> Gaussian:
        """q(z | x)."""
        return Gaussian(x @ x.new_tensor(TURN.T), self.var)

    def decode(self, z: Any) -> Any:
        """TURN^{-1} z."""
        return z @ z.new_tensor(TURN)


@dataclass(frozen=True)
class Best:
    """The best eps for Gaussian data N(0, cov): eps = sqrt(1 - abar) V_t^{-1} x_t, V_t = abar cov + (1 - abar) I, by linear algebra."""

    cov: Float
    schedule: Any = SHORT

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        abar = ABAR[int(np.max(t))]
        line = np.sqrt(1 - abar) * np.linalg.inv(abar * self.cov + (1 - abar) * np.eye(2))
        return from_output("eps", x_t @ x_t.new_tensor(line), x_t, *self.schedule.scales(t))


def _least(cov: Float, t: int) -> float:
    """tr(I - (1 - abar) V_t^{-1}): the mean square of eps that no function of x_t explains."""
    return float(np.trace(np.eye(2) - (1 - ABAR[t]) * np.linalg.inv(ABAR[t] * cov + (1 - ABAR[t]) * np.eye(2))))


@equation(
    "latent", "1-2", "the loss in a latent space", function="minidiff.learn.LatentSpace", source=PAPER + "Eq. 1-2, appendix G",
    formula=r"L_{\text{LDM}}=\mathbb E_{\mathcal E(x),\epsilon,t}\|\epsilon-\epsilon_\theta(z_t,t)\|^2,\quad z=s\,\mathcal E(x)",
)  # fmt: skip
def latent_loss() -> Iterator[Check]:
    """simple_loss of the best denoiser: turning the data changes nothing, scaling them changes all; the scale is measured, not given."""
    import torch

    from minidiff.learn import LatentSpace, simple_loss

    rng = generator(61)
    x = torch.from_numpy(rng.multivariate_normal(np.zeros(2), COV, 40_000))
    space = LatentSpace(Turned(), 1.0)
    for t in (2, 6):
        eps = torch.from_numpy(rng.standard_normal((40_000, 2)))
        for name, data, cov in (("pixels", x, COV), ("latents", space.encode(x).mean, TURN @ COV @ TURN.T)):
            yield monte_carlo(f"best loss at t = {t}, {name}", _least(COV, t), simple_loss(Best(cov), data, t, eps))
    measured = LatentSpace.measure(Turned(0.3), x.split(1000), torch.Generator().manual_seed(0))
    std = np.sqrt(np.trace(COV) / 2 + 0.3)
    yield close("scale: one over the standard deviation, that of q(z | x) included", 1 / std, measured.scale, 0.02, "40,000 pictures")
    z = measured.encode(x)
    draws = z.sample(torch.from_numpy(rng.standard_normal((40_000, 2))))
    yield close("standard deviation of the scaled latents", 1, float(draws.std()), 0.02, "40,000 pictures")
    yield close("decode undoes encode, whatever the scale", x, measured.decode(z.mean), 1e-12, "algebra")
    for s in (1.0, 0.2):  # latents of variance s^2 have least loss abar s^2 / v_t; scaled, abar
        eps = torch.from_numpy(rng.standard_normal((40_000, 2)))
        data = torch.from_numpy(s * rng.standard_normal((40_000, 2)))
        scaled = LatentSpace.measure(Turned(), [data], torch.Generator().manual_seed(0)).encode(data).mean
        raw = 2 * ABAR[4] * s**2 / (ABAR[4] * s**2 + 1 - ABAR[4])
        yield monte_carlo(f"best loss of latents of deviation {s}, not scaled", raw, simple_loss(Best(s**2 * np.eye(2)), data, 4, eps))
        yield monte_carlo(f"the same, scaled to 1: {s}", 2 * ABAR[4], simple_loss(Best(np.eye(2)), scaled, 4, eps))


@equation(
    "latent", "frozen", "no gradient reaches the first stage", function="minidiff.learn.LatentSpace", source=PAPER + "section 3.2",
    formula=r"\nabla_{\mathcal E,\mathcal D}\,L_{\text{LDM}}=0",
)  # fmt: skip
def frozen() -> Iterator[Check]:
    """Gradients that a loss of latents leaves in an autoencoder, and what a loss of its own leaves there."""
    import torch

    from minidiff.learn import LatentSpace
    from minidiff.nn.autoencoder import Autoencoder

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(2, 2, (8,), 1)
        x = torch.randn(2, 3, 4, 4).requires_grad_()
    out = model(x, torch.randn(2, 2, 2, 2, generator=torch.Generator().manual_seed(1)))
    (out.x.square().sum() + out.regulariser.sum()).backward()
    yield close("weights with a gradient, of a loss of its own", len(list(model.parameters())), _with_gradient(model), 0, "count")
    model.zero_grad()
    space = LatentSpace(model, 1.0)
    z = space.encode(x)
    yield close("latents that ask for a gradient", 0, int(z.mean.requires_grad) + int(space.decode(z.mean).requires_grad), 0, "count")
    yield close("weights that ask for one", 0, sum(p.requires_grad for p in model.parameters()), 0, "count")


def _with_gradient(model: Any) -> int:
    return sum(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())


@equation(
    "latent", "3", "what a condition is worth", function="minidiff.ClassDenoiser", source=PAPER + "Eq. 3, for Gaussian classes",
    formula=r"\min L-\min L_{|y}=\mathrm{SNR}_t\;\mathbb E\,\mathrm{Var}_y\big(\mathbb E[x_0\mid x_t,y]\big)",
)  # fmt: skip
def conditional_loss() -> Iterator[Check]:
    """Quadrature of simple_loss of the exact denoisers, told the class and not, against the spread of the classes' answers."""
    import torch

    from minidiff.learn import simple_loss
    from minidiff.mixture import ExactDenoiser

    def loss(data: GaussianMixture, t: int) -> float:
        (x_0, eps), w = product(mixture_grid(data), normal_grid(121))
        return float(w @ simple_loss(ExactDenoiser(data, SHORT), torch.from_numpy(x_0), t, torch.from_numpy(eps)).numpy())

    classes = [GaussianMixture(np.ones(1), MIXTURE.means[[k]], MIXTURE.covs[[k]]) for k in range(2)]
    for t in (1, 4, 8):
        told = sum(weight * loss(part, t) for weight, part in zip(MIXTURE.weights, classes, strict=True))
        worth = ABAR[t] / (1 - ABAR[t]) * quad(lambda x, abar=float(ABAR[t]): _spread(x, abar), -8, 8, [-2, -1, 0, 1, 2])  # type: ignore[misc]
        yield close(f"least loss without y minus with y, t = {t}", loss(MIXTURE, t) - told, worth, 1e-9, "quadrature")


def _spread(x: float, abar: float) -> float:
    """q(x_t) Var_y(E[x_0 | x_t, y]) by Bayes' rule for two Gaussian classes."""
    m, v = MIXTURE.means[:, 0], MIXTURE.covs[:, 0, 0]
    joint = MIXTURE.weights * np.exp(normal_log(x, np.sqrt(abar) * m, abar * v + 1 - abar))
    answers = m + np.sqrt(abar) * v * (x - np.sqrt(abar) * m) / (abar * v + 1 - abar)
    p = joint / joint.sum()
    return float(joint.sum() * (p @ answers**2 - (p @ answers) ** 2))


@equation(
    "latent", "attention", "queries, keys and values", function="minidiff.nn.attention.attention", source=PAPER + "section 3.3",
    formula=r"\mathrm{Attention}(Q,K,V)=\mathrm{softmax}\Big(\frac{QK^\top}{\sqrt d}\Big)V",
)  # fmt: skip
def attention_formula() -> Iterator[Check]:
    """Explicit loops; the order of the tokens; a single token; scores whose exponentials overflow."""
    import torch

    from minidiff.nn.attention import attention

    rng = generator(62)
    q, k, v = (rng.standard_normal((2, 3, n, d)) for n, d in ((4, 6), (5, 6), (5, 7)))  # 2 pictures, 3 heads, d = 6 a head
    ours = attention(*(torch.from_numpy(a) for a in (q, k, v))).numpy()
    slow = np.zeros((2, 3, 4, 7))
    for b, h, i in np.ndindex(2, 3, 4):
        scores = np.array([sum(q[b, h, i, d] * k[b, h, j, d] for d in range(6)) / 6**0.5 for j in range(5)])
        weights = np.exp(scores) / np.exp(scores).sum()
        for j in range(5):
            slow[b, h, i] += weights[j] * v[b, h, j]
    yield close("loops over pictures, heads, queries and keys", slow, ours, 1e-12, "loops")
    order = rng.permutation(5)
    shuffled = attention(*(torch.from_numpy(a) for a in (q, k[:, :, order], v[:, :, order]))).numpy()
    yield close("tokens in another order", ours, shuffled, 1e-12, "permutation")
    one = attention(*(torch.from_numpy(a) for a in (q, k[:, :, :1], v[:, :, :1]))).numpy()
    yield close("one token: every place gets its value", np.broadcast_to(v[:, :, :1], one.shape), one, 1e-12, "algebra")
    huge = attention(*(torch.from_numpy(a) for a in (1e3 * q, 1e3 * k, v))).numpy()
    winner = np.take_along_axis(v, (q @ k.swapaxes(2, 3)).argmax(-1)[..., None], 2)
    yield close("scores of a million: the best key alone", winner, huge, 1e-12, "argmax")


@equation(
    "latent", "cross-attention", "tokens that a picture looks at", function="minidiff.nn.attention.CrossAttention",
    source=PAPER + "section 3.3",
    formula=r"Q=W_Q\,\varphi(z_t),\quad K=W_K\,\tau_\theta(y),\quad V=W_V\,\tau_\theta(y)",
)  # fmt: skip
def cross_attention() -> Iterator[Check]:
    """The layer by loops over places, heads and tokens; padding that is not looked at; its gradient by differences."""
    import torch

    from minidiff.nn.attention import CrossAttention

    rng = generator(63)
    with torch.random.fork_rng():
        torch.manual_seed(63)
        layer = CrossAttention(8, 5, heads=2, groups=2).double().requires_grad_(False)
        layer.out.weight.normal_()
    x, tokens = rng.standard_normal((1, 8, 2, 3)), rng.standard_normal((1, 4, 5))

    def ours(x: Any, tokens: Any, there: Any = None) -> Any:
        return layer(torch.from_numpy(x), torch.from_numpy(tokens), None if there is None else torch.tensor([there])).numpy()

    weights = {name: getattr(layer, name).weight.reshape(8, -1).numpy() for name in ("q", "k", "v", "out")}
    bias = layer.get_parameter("q.bias").numpy()
    h = layer.norm(torch.from_numpy(x)).numpy()[0]
    slow = x.copy()
    for row, column in np.ndindex(2, 3):
        query, mixed = weights["q"] @ h[:, row, column] + bias, np.zeros(8)
        for head in (slice(0, 4), slice(4, 8)):
            scores = np.array([query[head] @ (weights["k"] @ one)[head] / 4**0.5 for one in tokens[0, :3]])
            for share, one in zip(np.exp(scores) / np.exp(scores).sum(), tokens[0, :3], strict=True):
                mixed[head] += share * (weights["v"] @ one)[head]
        slow[0, :, row, column] += weights["out"] @ mixed
    masked = [True, True, True, False]
    yield close("loops over places, heads and the three tokens that are there", slow, ours(x, tokens, masked), 1e-12, "loops")
    yield close("the fourth token cut off instead of masked", ours(x, tokens, masked), ours(x, tokens[:, :3]), 1e-12, "algebra")
    variable, step = torch.from_numpy(tokens).requires_grad_(), 1e-6
    (gradient,) = torch.autograd.grad(layer(torch.from_numpy(x), variable).square().sum(), variable)
    numeric = np.zeros_like(tokens)
    for i in np.ndindex(*tokens.shape):
        up, down = tokens.copy(), tokens.copy()
        up[i], down[i] = up[i] + step, down[i] - step
        numeric[i] = ((ours(x, up) ** 2).sum() - (ours(x, down) ** 2).sum()) / (2 * step)
    yield close("gradient of |output|^2 by the tokens, which trains tau_theta", numeric, gradient.numpy(), 1e-6, "central differences")
