"""Latent diffusion: the autoencoder, its regularisers and its discriminator (so it may import minidiff.nn)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minidiff import Gaussian
from minidiff.verify.latent import PAPER
from minidiff.verify.registry import Check, at_most, close, equation, generator
from minidiff.verify.routes import Float, normal_log, quad


@equation(
    "latent", "factor", "the size of a latent", function="minidiff.nn.autoencoder.Autoencoder", source=PAPER + "section 3.1",
    formula=r"f=\frac Hh=\frac Ww=2^m,\qquad\frac{3HW}{chw}=\frac{3f^2}{c}",
)  # fmt: skip
def factor() -> Iterator[Check]:
    """Shapes that networks answer, counted; 256 x 256 at f = 8, c = 4 is 32 x 32 x 4, 48 times fewer numbers."""
    import torch

    from minidiff.nn.autoencoder import Autoencoder, levels

    for f in (1, 2, 4, 8):
        model = Autoencoder(f, 3, (8,) * levels(f), 1)
        x = torch.zeros(1, 3, 16, 32)
        z = model.encode(x).mean
        yield close(f"f = {f}: the shape of z", (1, 3, 16 // f, 32 // f), tuple(z.shape), 0, "count")
        yield close(f"f = {f}: the picture's shape again", tuple(x.shape), tuple(model.decode(z).shape), 0, "count")
        yield close(f"f = {f}: numbers in x over numbers in z", 3 * f**2 / 3, x.numel() / z.numel(), 0, "count")
    eight = Autoencoder(8, 4, (8, 8, 8), 1).latent_shape(torch.empty(1, 3, 256, 256))
    yield close("f = 8, c = 4", (1, 4, 32, 32), eight, 0, "count")
    yield close("3 f^2 / c", 3 * 8**2 / 4, 3 * 256**2 / np.prod(eight), 0, "count")


@equation(
    "latent", "KL", "the KL regulariser", function="minidiff.nn.autoencoder.Autoencoder", source=PAPER + "appendix G",
    formula=r"\tfrac12\sum(\mu^2+\sigma^2-1-\log\sigma^2)",
)  # fmt: skip
def kl_regulariser() -> Iterator[Check]:
    """Quadrature of KL(q(z | x) || N(0, 1)); what an autoencoder reports is this sum over its latent."""
    import torch

    from minidiff.nn.autoencoder import Autoencoder

    mean, log_var = np.array([0.0, -1.2, 0.4]), np.array([0.0, -3.0, 0.9])
    closed = Gaussian(mean, np.exp(log_var)).kl(Gaussian(np.zeros(3), 1.0))
    for m, s, ours in zip(mean, np.exp(0.5 * log_var), closed, strict=True):

        def integrand(z: float, m: float = m, s: float = s) -> float:
            log_q = normal_log(z, m, s * s)
            return float(np.exp(log_q) * (log_q - normal_log(z, 0.0, 1.0)))

        yield close(f"N({m}, {s:.2f}^2)", ours, quad(integrand, m - 12 * s, m + 12 * s, [m]), 1e-11, "quadrature")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Autoencoder(2, 2, (8,), 1).double()
        x = torch.randn(3, 3, 4, 4, dtype=torch.float64)
    numbers = model.encoder(x).detach().numpy().reshape(3, 2, -1)
    by_hand = 0.5 * (numbers[:, 0] ** 2 + np.exp(numbers[:, 1]) - 1 - numbers[:, 1]).sum(1)
    reported = model(x, torch.zeros(3, 2, 2, 2, dtype=torch.float64)).regulariser.detach()
    yield close("of an autoencoder, summed over its latent", by_hand, reported, 1e-10, "the formula by hand")


@equation(
    "latent", "VQ", "nearest codes and their gradients", function="minidiff.nn.autoencoder.vq_loss",
    source="van den Oord et al. 2017 (VQ-VAE), Eq. 1-3",
    formula=r"\|\mathrm{sg}(z)-e\|^2+\beta\|z-\mathrm{sg}(e)\|^2,\quad e=e_k,\ k=\arg\min_j\|z-e_j\|",
)  # fmt: skip
def vector_quantisation() -> Iterator[Check]:
    """A brute-force search; the straight-through gradient; each term's gradient against finite differences, and who gets none."""
    import torch

    from minidiff.nn.autoencoder import Codebook, straight_through, vq_loss

    rng = generator(63)
    book = Codebook(7, 3).double()
    book.codes.data = torch.from_numpy(rng.standard_normal((7, 3)))
    z = torch.from_numpy(rng.standard_normal((2, 3, 4, 5))).requires_grad_()
    brute = np.array([[[min(range(7), key=lambda k: sum((z[b, c, i, j].item() - book.codes[k, c].item()) ** 2 for c in range(3)))
                        for j in range(5)] for i in range(4)] for b in range(2)])  # fmt: skip
    index = book.nearest(z)
    yield close("the nearest code at each place", brute, index, 0, "loops")
    z_q = book(index)
    weight = torch.from_numpy(rng.standard_normal(z.shape))
    through = straight_through(z, z_q)
    yield close("straight-through: the value is the code's", z_q.detach(), through.detach(), 1e-15, "algebra")
    (slope,) = torch.autograd.grad((weight * through).sum(), z, retain_graph=True)
    yield close("straight-through: the gradient of z is that of z_q", weight, slope, 0, "algebra")
    beta = 0.25
    to_z, to_codes = torch.autograd.grad(vq_loss(z, z_q, beta).sum(), [z, book.codes])
    assigned, held = z.detach().numpy().copy(), book.codes.detach().numpy()
    picked = lambda codes: codes[brute].transpose(0, 3, 1, 2)  # noqa: E731
    numeric_z = _slopes(lambda a: beta * ((a - picked(held)) ** 2).sum(), assigned)
    numeric_codes = _slopes(lambda a: ((assigned - picked(a)) ** 2).sum(), held)
    yield close("the encoder feels the commitment alone", numeric_z, to_z, 1e-6, "finite differences")
    yield close("the codes feel their own term alone", numeric_codes, to_codes, 1e-6, "finite differences")


def _slopes(f: Any, at: Float, h: float = 1e-5) -> Float:
    """Central differences of a scalar function of an array."""
    out = np.zeros_like(at)
    for i in np.ndindex(*at.shape):
        step = np.zeros_like(at)
        step[i] = h
        out[i] = (f(at + step) - f(at - step)) / (2 * h)
    return out


@equation(
    "latent", "25", "one scalar for two players", function="minidiff.nn.discriminator.fooled",
    source=PAPER + "Eq. 25 (numbering unconfirmed), with the hinge of Lim & Ye 2017",
    formula=r"\min_{\mathcal E,\mathcal D}\max_\psi\ L_{\text{rec}}-D_\psi(x')+\min(0,D_\psi(x)-1)+\min(0,-1-D_\psi(x'))",
)  # fmt: skip
def two_players() -> Iterator[Check]:
    """Gradients of the sum of both: the picture's from the first alone, the discriminator's from the second; and the hinge's optimum."""
    import torch

    from minidiff.nn.discriminator import PatchDiscriminator, fooled, hinge

    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = PatchDiscriminator(8).double()
        real, made = torch.randn(2, 2, 3, 8, 8, dtype=torch.float64)
    made.requires_grad_()
    psi = list(judge.parameters())
    both = torch.autograd.grad((fooled(judge, made) + hinge(judge, real, made)).sum(), [made, *psi])
    (picture,) = torch.autograd.grad(-judge(made).flatten(1).mean(1).sum(), made)
    scores = torch.relu(1 - judge(real)) + torch.relu(1 + judge(made))
    its_own = torch.autograd.grad(scores.flatten(1).mean(1).sum(), psi)
    yield close("the picture's gradient: -D's alone", picture, both[0], 1e-14, "autograd")
    yield close("the discriminator's: the hinge's alone", _flat(its_own), _flat(both[1:]), 1e-14, "autograd")
    p, q = np.array([0.9, 0.5, 0.2]), np.array([0.1, 0.5, 0.3])  # densities of real and made at three points
    values = np.linspace(-3, 3, 6001)
    losses = p[:, None] * np.maximum(0, 1 - values) + q[:, None] * np.maximum(0, 1 + values)
    best = losses.min(1)
    yield close("least hinge loss at a point: 2 min(p, q)", 2 * np.minimum(p, q), best, 1e-12, "search")
    yield at_most("which no score outside -1..1 beats", best, losses[:, np.abs(values) > 1].min(1), 1e-12, "search")


def _flat(gradients: Any) -> Float:
    return np.concatenate([np.asarray(g).ravel() for g in gradients])
