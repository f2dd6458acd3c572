"""The four other families: what each can say of log p(x), and why (so it may import minidiff.nn and minidiff.families)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import optimize

from minidiff.verify.registry import Check, at_most, close, equation, generator, monte_carlo
from minidiff.verify.routes import Float, grid, hermite, normal_log, quad

SLOPE, SHIFT, NOISE_VAR = 0.9, 0.3, 0.2  # p(x | z) = N(SLOPE z + SHIFT, NOISE_VAR), z ~ N(0, 1)
POINTS = (-1.5, 0.2, 1.9)


def _told(x: Any) -> Any:
    import torch

    return torch.from_numpy(np.asarray(x, dtype=np.float64))


def _gaussian_vae(weight: float, mean: float, var: float) -> Any:
    """A VAE of one number and one latent: linear decoder as above, encoder q(z | x) = N(weight x + mean, var), in float64."""
    import torch

    from minidiff.families import Vae

    def bent(log_var: float) -> float:  # the raw number whose variance, after the softening of large ones, is the one asked for
        return float(10 * np.arctanh((log_var + 4) / 10) - 4)

    encoder, decoder = torch.nn.Linear(1, 2).double(), torch.nn.Linear(1, 2).double()
    lines = ((encoder, weight, mean, var), (decoder, SLOPE, SHIFT, NOISE_VAR))
    for layer, slope, shift, variance in lines:
        layer.weight.data, layer.bias.data = _told([[slope], [0.0]]), _told([shift, bent(np.log(variance))])
    return Vae(1, 1, encoder, decoder).requires_grad_(False)


def _true_posterior(x: float) -> tuple[float, float]:
    """p(z | x) of the linear decoder by completing the square."""
    var = 1 / (1 + SLOPE**2 / NOISE_VAR)
    return var * SLOPE * (x - SHIFT) / NOISE_VAR, var


@equation(
    "families", "VAE", "a bound, and its gap", function="minidiff.families.Vae.bound", source="Kingma & Welling 2014, Eq. 1-3 [T01, T02]",
    formula=r"\log p(x)=\underbrace{\mathbb E_q\log p(x\mid z)-\mathrm{KL}(q\,\|\,p(z))}_{\text{ELBO}}"
    r"+\mathrm{KL}\big(q(z\mid x)\,\|\,p(z\mid x)\big)",
)  # fmt: skip
def vae_bound() -> Iterator[Check]:
    """A linear-Gaussian VAE: the bound by Gauss-Hermite, log p(x) and the gap by quadrature over z; importance weights close the gap."""
    gain = _true_posterior(1.0 + SHIFT)[0]
    encoders = {"another q": (0.5, -0.2, 0.5), "the true posterior": (gain, -gain * SHIFT, _true_posterior(0.0)[1])}
    nodes, weights = hermite(40)
    for name, (weight, mean, var) in encoders.items():
        vae = _gaussian_vae(weight, mean, var)
        for x in POINTS:
            ours = float(weights @ vae.bound(_told(np.full((40, 1), x)), _told(nodes[:, None])).numpy())
            evidence = np.log(quad(lambda z, x=x: np.exp(_joint(x, z)), -9, 9, [0.0]))  # type: ignore[misc]
            gap = quad(lambda z, m=weight * x + mean, v=var, x=x: _gap(z, m, v, x), -9, 9, [weight * x + mean])  # type: ignore[misc]
            yield close(f"log p({x}) = ELBO + KL(q || p(z | x)), {name}", evidence, ours + gap, 1e-10, "quadrature")
            if name == "the true posterior":
                yield close(f"its gap at x = {x}", evidence, ours, 1e-10, "quadrature")
    yield from _many_guesses()


def _joint(x: float, z: float) -> float:
    return float(normal_log(z, 0.0, 1.0) + normal_log(x, SLOPE * z + SHIFT, NOISE_VAR))


def _gap(z: float, mean: float, var: float, x: float) -> float:
    """q(z) (log q(z) - log p(z | x)), the posterior by Bayes' rule for Gaussians."""
    log_q = normal_log(z, mean, var)
    return float(np.exp(log_q) * (log_q - normal_log(z, *_true_posterior(x))))


def _many_guesses() -> Iterator[Check]:
    vae, x = _gaussian_vae(0.5, -0.2, 0.5), POINTS[2]
    rng, n = generator(71), 20_000
    evidence = float(normal_log(x, SHIFT, SLOPE**2 + NOISE_VAR))
    noise = rng.standard_normal((50, n, 1))
    few = vae.importance(_told(np.full((n, 1), x)), _told(noise[:5])).numpy()
    many = vae.importance(_told(np.full((n, 1), x)), _told(noise)).numpy()
    yield monte_carlo("E[p-hat(x)] / p(x), five draws: importance weights have no bias", 1.0, np.exp(few - evidence))
    one = vae.bound(_told(np.full((n, 1), x)), _told(rng.standard_normal((n, 1)))).numpy()
    means = one.mean(), few.mean(), many.mean(), evidence
    yield at_most("ELBO <= bound of five draws <= of fifty <= log p", means[:3], means[1:], 0.002, "Monte Carlo")


def _densities(x: Any) -> tuple[Any, Any]:
    """log p = N(-0.5, 0.6) and log q = N(0.7, 1.2): the data and what a generator makes of noise."""
    return normal_log(x, -0.5, 0.6), normal_log(x, 0.7, 1.2)


def _expected(loss: Any, score: Any, other: bool = False) -> tuple[float, float]:
    """E over independent x ~ p, x' ~ q of both players' losses, the scores being score(x) and score(x'): trapezoids on a plane."""
    x, w = grid(-9.0, 10.0, 761)
    log_p, log_q = _densities(x)
    p, q = w * np.exp(log_q if other else log_p), w * np.exp(log_q)
    told = _told(score(x))
    both = loss(told[:, None].expand(761, 761), told[None, :].expand(761, 761))
    return tuple(float(p @ each.numpy() @ q) for each in both)  # type: ignore[return-value]


def _jsd() -> float:
    """Jensen-Shannon divergence of p and q as two KL to their middle, adaptive quadrature."""

    def integrand(x: float) -> float:
        log_p, log_q = _densities(x)
        log_m = np.logaddexp(log_p, log_q) - np.log(2)
        return float(0.5 * (np.exp(log_p) * (log_p - log_m) + np.exp(log_q) * (log_q - log_m)))

    return quad(integrand, -12, 14, [-0.5, 0.0, 0.7])


@equation(
    "families", "GAN", "the value of the game", function="minidiff.families.minimax", source="Goodfellow et al. 2014, Eq. 1, 4-6 [T06]",
    formula=r"V(D,G)=\mathbb E_p\log D+\mathbb E_{p_G}\log(1-D),\qquad V(D^*,G)=2\,\mathrm{JSD}(p\,\|\,p_G)-\log 4",
)  # fmt: skip
def gan_value() -> Iterator[Check]:
    """minimax at the best score log p - log p_G, over pairs (x, x'), against the Jensen-Shannon divergence; p = p_G; each player's part."""
    from minidiff.families import minimax, non_saturating, relativistic

    def best(x: Float) -> Float:
        log_p, log_q = _densities(x)
        return np.asarray(log_p - log_q)

    jsd = _jsd()
    judged, fooled = _expected(minimax, best)
    yield close("-V(D*, G) = log 4 - 2 JSD", np.log(4) - 2 * jsd, judged, 1e-7, "quadrature")
    yield at_most("JSD <= log 2", jsd, np.log(2), 0.0, "quadrature")
    yield close("p = p_G: V = -log 4", np.log(4), _expected(minimax, np.zeros_like, True)[0], 1e-10, "quadrature")

    def part(x: float) -> float:  # p_G log(1 - D*), D* = p / (p + p_G)
        log_p, log_q = _densities(x)
        return float(np.exp(log_q) * (log_q - np.logaddexp(log_p, log_q)))

    yield close("the generator's part, E log(1 - D*)", quad(part, -12, 14, [-0.5, 0.0, 0.7]), fooled, 1e-7, "quadrature")
    yield close("non-saturating: E -log D*", _minus_log_d(), _expected(non_saturating, best)[1], 1e-7, "quadrature")
    for which in (0, 1):
        yield close("relativistic, p = p_G: log 2", np.log(2), _expected(relativistic, np.zeros_like, True)[which], 1e-10, "quadrature")


def _minus_log_d() -> float:
    def part(x: float) -> float:
        log_p, log_q = _densities(x)
        return float(np.exp(log_q) * (np.logaddexp(log_p, log_q) - log_p))

    return quad(part, -12, 14, [-0.5, 0.0, 0.7])


@equation(
    "families", "D*", "the best discriminator", function="minidiff.families.minimax", source="Goodfellow et al. 2014, Proposition 1 [T07]",
    formula=r"D^*(x)=\frac{p(x)}{p(x)+p_G(x)}",
)  # fmt: skip
def best_discriminator() -> Iterator[Check]:
    """At each x the score that a search finds best; the same of the other losses; which way each moves its player."""
    from minidiff.families import minimax, non_saturating, relativistic

    for x in (-1.0, 0.1, 1.4):
        log_p, log_q = _densities(x)
        for name, loss in (("minimax", minimax), ("non-saturating", non_saturating)):

            def at(score: float, loss: Any = loss, p: float = float(np.exp(log_p)), q: float = float(np.exp(log_q))) -> float:
                nought = _told(-1e3), _told(1e3)  # the half of the loss that is not looked at: a sure and right answer costs nothing
                return p * float(loss(_told(score), nought[0])[0]) + q * float(loss(nought[1], _told(score))[0])

            found = optimize.minimize_scalar(at, bounds=(-12, 12), method="bounded", options={"xatol": 1e-10}).x
            closed = 1 / (1 + np.exp(log_q - log_p))
            yield close(f"D*({x}), {name}", closed, 1 / (1 + np.exp(-found)), 1e-6, "a search")
    for name, loss in (("minimax", minimax), ("non-saturating", non_saturating), ("relativistic", relativistic)):
        scores = _told([0.4, -1.1]).requires_grad_()
        for player, signs in ((0, [-1.0, 1.0]), (1, [0.0, -1.0])):
            (slope,) = _slopes(loss(scores[0], scores[1])[player], scores)
            told = np.sign(slope.numpy())
            told = told if player == 0 else told * [0, 1]
            who = ("the discriminator goes up at data, down at samples", "the generator goes up")[player]
            yield close(f"{name}: {who}", signs, told, 0, "signs of gradients")


def _slopes(value: Any, at: Any) -> Any:
    import torch

    return torch.autograd.grad(value, at)
