"""DDPM Eq. 13 and what follows for pixels: the discretised decoder, units, and the exact bound of one 8-bit pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from minidiff import Prediction, Schedule, bits_per_dim, decoder_term, density_term, from_output, prior_term, variational_bound
from minidiff.arrays import normal
from minidiff.toy import quantise, quantised_entropy
from minidiff.verify.registry import Check, close, equation, generator, monte_carlo
from minidiff.verify.routes import (
    Wrong,
    column,
    eq_11_mean,
    expected_steps,
    gaussian_data,
    grid,
    normal_grid,
    normal_log,
    pixel_masses,
    quad,
)

LEVELS = np.arange(256) / 127.5 - 1
TWO = Schedule.from_betas([0.1, 0.4])
ABAR_TWO = np.array([1.0, 0.9, 0.54])


def _nats(mean: float, var: float, x_0: np.ndarray) -> np.ndarray:
    """decoder_term for a predicted mean and an explicit variance, at each x_0."""
    x = column(x_0)
    guess = Prediction(np.full_like(x, mean), np.zeros_like(x))
    return np.asarray(decoder_term(TWO, guess, x, np.zeros_like(x), np.array([0.0, var, 1.0])))


def _mass(low: float, high: float, mean: float, std: float) -> float:
    return quad(lambda x: float(np.exp(normal_log(x, mean, std**2))), low, high)


def _tail_log(low: float, high: float) -> float:
    """log of the integral of N(0, 1) over 0 < low < high, with the density at low taken out so that nothing underflows."""
    inside = quad(lambda y: float(np.exp(-0.5 * y**2 - low * y)), 0.0, min(high - low, 20.0))
    return float(-0.5 * low**2 - 0.5 * np.log(2 * np.pi) + np.log(inside))


@equation(
    "ddpm", "13", "the discretised decoder", function="minidiff.decoder_term",
    formula=r"p_\theta(x_0\mid x_1)=\prod_i\int_{\delta_-(x_0^i)}^{\delta_+(x_0^i)}\mathcal N(x;\mu_\theta^i,\sigma_1^2)\,dx,\quad"
    r"\delta_\pm(x)=x\pm\tfrac1{255},\ \delta_+(1)=\infty,\ \delta_-(-1)=-\infty",
)  # fmt: skip
def decoder_masses() -> Iterator[Check]:
    """256 masses sum to 1 wherever the mean is; bins and tails against quadrature."""
    for where, mean in (("inside", 0.123), ("at the edge", 1.0), ("outside", -1.7)):
        total = [np.exp(-_nats(mean, std**2, LEVELS)).sum() for std in (0.003, 0.1, 1.0)]
        yield close(f"sum of 256 masses, mean {where}, three variances", 1.0, total, 1e-12, "count")
    mean, std = 0.31, 0.02
    for name, k in (("middle", (150, 167, 171)), ("end", (0, 255))):
        low = np.where(LEVELS < -0.999, -4.0, LEVELS - 1 / 255)
        high = np.where(LEVELS > 0.999, 4.0, LEVELS + 1 / 255)
        sd = std if name == "middle" else 0.5
        by_quad = [_mass(low[i], high[i], mean, sd) for i in k]
        ours = np.exp(-_nats(mean, sd**2, LEVELS[list(k)]))
        yield close(f"masses of {name} bins", ours, by_quad, 1e-11, "quadrature")
    exact, rounded = (_nats(0.6, 0.25, np.array([-1.0, 1.0]) * edge) for edge in (1.0, 1 - 1e-7))
    yield close("levels -1 and 1 after a float32 rounding: still the end bins", exact, rounded, 1e-6, "algebra")
    std, x = 0.02, LEVELS[[100, 200]]
    for side in (-12, 12, -50, 50):
        below, above = ((abs(side) * std - 1 / 255) / std, (abs(side) * std + 1 / 255) / std)
        ours = [-_nats(v - side * std, std**2, np.array([v]))[0] for v in x]
        yield close(f"log mass {side:+d} standard deviations away", ours, _tail_log(below, above), 1e-9, "quadrature")
    ours = -_nats(-9.0, 0.01, np.array([1.0]))[0]
    yield close("log mass of the last bin, 100 standard deviations away", ours, _tail_log((10 - 1 / 255) / 0.1, 1e9), 1e-8, "quadrature")


@equation(
    "ddpm", "13 end to end", "the two-step model of one pixel is a normalised model, and the bound is a bound on it",
    source="DDPM, Eq. 5 and 13", function="minidiff.variational_bound",
    formula=r"\sum_{x_0}p_\theta(x_0)=1,\qquad L(x_0)+\log p_\theta(x_0)=\mathrm{KL}\big(q(x_{1:2}\mid x_0)\,"
    r"\Vert\,p_\theta(x_{1:2}\mid x_0)\big)",
)  # fmt: skip
def one_pixel() -> Iterator[Check]:
    """T = 2, a wrong network: p_theta(x_0) and the posterior of the model on a grid over (x_1, x_2)."""
    variance = np.array([0.0, 0.02, 0.3])
    x, dx = grid(-10, 10, 801)
    masses = pixel_masses(Wrong(TWO), x, variance)  # (x_1, level)
    backward = normal_log(x[:, None], eq_11_mean(x, 0.8 * np.sin(x), 2, ABAR_TWO), variance[2])  # (x_1, x_2)
    joint = np.exp(backward + normal_log(x, 0.0, 1.0)) * dx[0] ** 2
    p_x_1 = joint.sum(1)
    yield close("sum of p_theta(x_0) over 256 levels", 1.0, (p_x_1 @ masses).sum(), 1e-10, "grid")
    z, w = normal_grid(801)
    for k in (40, 200):
        x_0 = np.full((801, 1), LEVELS[k])
        bound = w @ variational_bound(Wrong(TWO), x_0, lambda _: column(z), variance).total
        p = p_x_1 @ masses[:, k]
        log_q = normal_log(x[:, None], np.sqrt(0.9) * LEVELS[k], 0.1) + normal_log(x, np.sqrt(0.6) * x[:, None], 0.4)
        log_p = backward + normal_log(x, 0.0, 1.0) + np.log(np.maximum(masses[:, k : k + 1], 1e-300)) - np.log(p)
        kl = (np.exp(log_q) * np.where(np.exp(log_q) > 1e-30, log_q - log_p, 0)).sum() * dx[0] ** 2
        yield close(f"L + log p_theta, level {k}", bound + np.log(p), kl, 1e-7, "grid")


@equation(
    "ddpm", "bits/dim", "units: nats, bits per dimension, densities and 8-bit codes", function="minidiff.bits_per_dim",
    source="DDPM, section 3.3 and Table 1",
    formula=r"\text{bits/dim}=\frac{\text{nats}}{d\log2},\qquad P(\text{level})\approx\tfrac2{255}\,p(x)",
)  # fmt: skip
def units() -> Iterator[Check]:
    """The entropy of quantised Gaussian data against its differential entropy; the decoder against the density decoder."""
    data, std = gaussian_data(0.1, 0.01), 0.1
    density = 0.5 * np.log2(2 * np.pi * np.e * (std**2 + (2 / 255) ** 2 / 12))  # a bin blurs by its own variance
    ours = bits_per_dim(quantised_entropy(data), 1)
    yield close("entropy of an 8-bit pixel: log2(127.5) more than the density's", ours, density + np.log2(127.5), 1e-5, "algebra")
    codes = np.round((quantise(data.sample(200_000, generator(24))) + 1) * 127.5).astype(int)
    edges = np.concatenate([[-np.inf], LEVELS[1:] - 1 / 255, [np.inf]])
    surprise = -np.log2(np.diff(special.ndtr((edges - 0.1) / std))[codes])
    yield monte_carlo("the same as the mean surprise of 200,000 quantised draws", ours, surprise)
    x = column(LEVELS[[60, 128, 250]])
    pred, explicit = Prediction(0 * x + 0.2, 0 * x), np.array([0.0, 0.25, 1.0])
    pixels, smooth = (f(TWO, pred, x, 0 * x, explicit) for f in (decoder_term, density_term))
    yield close("decoder_term is density_term + log 127.5 where bins are narrow", pixels, smooth + np.log(127.5), 1e-4, "algebra")
    yield close("8 bits for a uniform pixel", bits_per_dim(256 * 3 * np.log(256) / 256, 3), 8.0, 1e-12, "algebra")


@dataclass(frozen=True)
class PixelDenoiser:
    """The exact posterior mean for one pixel with probabilities p on the 256 levels."""

    schedule: Schedule
    p: np.ndarray

    def __call__(self, x_t: np.ndarray, t: int, cond: object = None) -> Prediction:
        signal, noise = self.schedule.scales(t)
        log_r = normal_log(x_t, signal * LEVELS, noise**2) + np.log(self.p)
        r = np.exp(log_r - log_r.max(1, keepdims=True))
        return from_output("x_0", (r @ LEVELS / r.sum(1))[:, None], x_t, signal, noise)


def _pixel_mmse(denoiser: PixelDenoiser) -> np.ndarray:
    """E Var(x_0 | x_t) for every t; trapezoid in x_t with two nodes for each noise scale, accurate to rounding."""
    mmse, second = np.zeros(denoiser.schedule.T + 1), denoiser.p @ LEVELS**2
    for t in range(1, denoiser.schedule.T + 1):
        signal, noise = denoiser.schedule.scales(t)
        reach = float(signal + 8 * noise)
        x, dx = grid(-reach, reach, int(4 * reach / noise) + 1)
        density = np.exp(normal_log(x[:, None], signal * LEVELS, noise**2)) @ denoiser.p
        mmse[t] = second - (dx * density) @ denoiser(column(x), t).x_0[:, 0] ** 2
    return mmse


@equation(
    "ddpm", "bound of a pixel", "the exact bound of one 8-bit pixel at T = 1000, and what each variance costs",
    source="DDPM, Eq. 5 and 13, section 3.2", function="minidiff.variational_bound",
    formula=r"L-H\ \text{in bits/dim for}\ \sigma_t^2\in\{\sigma_t^{2*},\ \beta_t,\ \beta_t\ (\sigma_1^2=\tilde"
    r"\beta_2),\ \tilde\beta_t\ (\sigma_1^2=\tilde\beta_2)\}",
)  # fmt: skip
def pixel_bound() -> Iterator[Check]:
    """Truncated Gaussian of width 0.4 on 256 levels: the exact bound by quadrature in x_1 and x_t against Monte Carlo."""
    edges = special.ndtr(np.concatenate([LEVELS - 1 / 255, [1 + 1 / 255]]) / 0.4)
    p = np.diff(edges) / (edges[-1] - edges[0])
    s = Schedule.linear()
    denoiser = PixelDenoiser(s, p)
    mmse, entropy = _pixel_mmse(denoiser), -(p * np.log(p)).sum()
    c_0, small = _posterior_by_hand()
    best = np.concatenate([[0.0], small + c_0**2 * mmse[1:]])
    best[1] = _best_first_variance(denoiser, best[1])
    prior = prior_term(s, column(np.sqrt(p @ LEVELS**2)))[0]
    x_0 = generator(28).choice(LEVELS, size=(200, 1), p=p)
    variances = {"optimal": (best, best), "beta": (s.beta, s.beta), "large": ("large", s.beta.copy()), "small": ("small", _table(small))}
    variances["large"][1][1] = small[1]  # both names mean the beta-tilde of t = 2 on the step from t = 1
    by_hand, gaps = _pixel_terms(p), {}
    for name, (variance, table) in variances.items():
        first = _expected_decoder(denoiser, variance)
        gaps[name] = bits_per_dim(prior + expected_steps(s, mmse, variance).sum() + first - entropy, 1)
        other = (by_hand(table) - entropy) / np.log(2)
        yield close(f"gap of the bound, bits/dim, {name} variance", gaps[name], other, 1e-8, "quadrature")
    # The bound minus its own surprise at x_0: the mean is the same, and the spread of x_0 no longer hides the gap.
    bound = variational_bound(denoiser, x_0, normal(generator(29)), "small").total
    surprise = -np.log(p)[np.round((x_0[:, 0] + 1) * 127.5).astype(int)]
    yield monte_carlo("gap of the bound, bits/dim, small variance", gaps["small"], bits_per_dim(bound - surprise, 1))


def _posterior_by_hand() -> tuple[np.ndarray, np.ndarray]:
    betas = np.linspace(1e-4, 0.02, 1000)
    abar = np.concatenate([[1.0], np.cumprod(1 - betas)])
    gone = 1 - abar[1:]
    return np.sqrt(abar[:-1]) * betas / gone, (1 - abar[:-1]) / gone * betas


def _table(small: np.ndarray) -> np.ndarray:
    """The small variances t = 1..T as a table for t = 0..T, with the beta-tilde of t = 2 at t = 1."""
    return np.concatenate([[0.0, small[1]], small[1:]])


def _pixel_terms(p: np.ndarray) -> Callable[[np.ndarray], float]:
    """The bound from the paper's formulas and conditional variances on finer grids, as a function of the variances."""
    betas = np.linspace(1e-4, 0.02, 1000)
    abar, (c_0, small) = np.cumprod(1 - betas), _posterior_by_hand()
    spread = np.zeros(1000)
    for i, a in enumerate(abar):
        reach = np.sqrt(a) + 8 * np.sqrt(1 - a)
        x, dx = grid(-reach, reach, int(5 * reach / np.sqrt(1 - a)) + 1)
        joint = np.exp(normal_log(x[:, None], np.sqrt(a) * LEVELS, 1 - a)) * p
        q = joint.sum(1)
        mean = joint @ LEVELS / q
        spread[i] = dx @ (((LEVELS - mean[:, None]) ** 2 * joint).sum(1))
        if i == 0:
            first = (x, joint * dx[0], mean)
    prior = 0.5 * (abar[-1] * (p @ LEVELS**2) - abar[-1] - np.log1p(-abar[-1]))
    edges = np.concatenate([[-np.inf], LEVELS[1:] - 1 / 255, [np.inf]])

    def bound(table: np.ndarray) -> float:
        sigma = table[2:]
        steps = 0.5 * (np.log(sigma / small[1:]) + (small[1:] + c_0[1:] ** 2 * spread[1:]) / sigma - 1)
        z = (edges - first[2][:, None]) / np.sqrt(table[1])
        mass = np.where(z[:, 1:] + z[:, :-1] > 0, -np.diff(special.ndtr(-z)), np.diff(special.ndtr(z)))  # in the small tail
        return float(prior + steps.sum() - (first[1] * np.log(np.maximum(mass, 1e-300))).sum())

    return bound


def _best_first_variance(denoiser: PixelDenoiser, start: float) -> float:
    """sigma_1^2 for which E[L_0] is least: below mmse_1, because the bins already blur."""

    def expected(log_ratio: float) -> float:
        return _expected_decoder(denoiser, np.full(1001, start * np.exp(log_ratio)))

    return float(start * np.exp(optimize.minimize_scalar(expected, bounds=(-4, 1), method="bounded").x))


def _expected_decoder(denoiser: PixelDenoiser, variance: object) -> float:
    """E[L_0] over all levels and a grid of x_1."""
    signal, noise = denoiser.schedule.scales(1)
    reach = float(signal + 8 * noise)
    x, dx = grid(-reach, reach, 501)
    joint = np.exp(normal_log(x[:, None], signal * LEVELS, noise**2)) * denoiser.p * dx[0]
    return float(-(joint * np.log(np.maximum(pixel_masses(denoiser, x, variance), 1e-300))).sum())
