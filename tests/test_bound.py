"""The bound: the decoder against fifty digits, the terms against joint densities, shapes, libraries and dtypes."""

import mpmath
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from minidiff import (
    Bound,
    ExactDenoiser,
    Gaussian,
    GaussianMixture,
    Prediction,
    Schedule,
    bits_per_dim,
    decoder_term,
    density_term,
    prior_term,
    step_term,
    variational_bound,
)
from minidiff.arrays import normal
from minidiff.bound import check_grid, discretised_log_prob
from minidiff.toy import quantise, ring
from tests.contracts import batch, numbers

LEVELS = np.arange(256) / 127.5 - 1
SHORT = Schedule.linear(8, 0.05, 0.4)


# -- the decoder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("std", [1e-3, 0.004, 0.05, 0.7])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1.0, -1.0, 1 - 1 / 255, 1.8, -30.0])
def test_256_masses_sum_to_one(mean, std):
    for level, m in ((LEVELS, np.full(256, mean)), (torch.from_numpy(LEVELS), torch.full((256,), mean, dtype=torch.float64))):
        total = np.exp(numbers(discretised_log_prob(Gaussian(m, std**2), level))).sum()
        assert abs(total - 1) < 1e-12
    total = torch.exp(discretised_log_prob(Gaussian(torch.full((256,), mean), std**2), torch.from_numpy(LEVELS).float())).sum()
    assert abs(float(total) - 1) < 2e-4  # float32: the edges of a bin are then known to 6e-8


def exact_mass(k, mean, std):
    """log of the mass of bin k: Gauss-Legendre in logarithms inside, erfc to fifty digits for the open ends."""
    mpmath.mp.dps = 50
    if k in (0, 255):
        edge = (mpmath.mpf(1 if k == 0 else 509) / 255 - 1 - mpmath.mpf(mean)) / mpmath.mpf(std)
        return float(mpmath.log(mpmath.erfc((-edge if k == 0 else edge) / mpmath.sqrt(2)) / 2))
    nodes, weights = np.polynomial.legendre.leggauss(80)
    return scipy.special.logsumexp(scipy.stats.norm(mean, std).logpdf(LEVELS[k] + nodes / 255) + np.log(weights / 255))


@pytest.mark.parametrize("k", [0, 1, 100, 128, 254, 255])
@pytest.mark.parametrize("mean, std", [(0.1, 0.05), (1.0, 0.01), (-0.9, 0.02), (0.0, 0.0834), (2.5, 0.5)])
def test_each_mass_by_quadrature_and_fifty_digits(k, mean, std):
    """Bins in the middle, at both ends (open to infinity) and 12 or more sigma away."""
    expected = exact_mass(k, mean, std)
    for m, x in ((np.array([mean]), LEVELS[[k]]), (torch.tensor([mean], dtype=torch.float64), torch.from_numpy(LEVELS[[k]]))):
        got = float(discretised_log_prob(Gaussian(m, std**2), x)[0])
        assert np.isfinite(got) and got == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_twelve_sigma_away_is_finite():
    std, k = 0.05, 40
    for sign in (1, -1):
        got = discretised_log_prob(Gaussian(np.array([sign * (LEVELS[k] + 12 * std)]), std**2), sign * LEVELS[[k]])[0]
        assert got == pytest.approx(exact_mass(k, LEVELS[k] + 12 * std, std), rel=1e-9)  # the naive difference of cdfs is 0
        assert got < -70
    x = torch.tensor([LEVELS[k]], dtype=torch.float32)
    assert torch.isfinite(discretised_log_prob(Gaussian(x + 100 * std, std**2), x)).all()


def test_decoder_has_gradients_everywhere():
    mean = torch.linspace(-2, 2, 256, dtype=torch.float64, requires_grad=True)
    x = torch.from_numpy(LEVELS)
    discretised_log_prob(Gaussian(mean, 0.1**2), x).sum().backward()
    h = 1e-6
    up, down = (numbers(discretised_log_prob(Gaussian(mean + d, 0.1**2), x)) for d in (h, -h))
    np.testing.assert_allclose(mean.grad, (up - down) / (2 * h), rtol=1e-5, atol=1e-6)


def test_decoder_term_is_the_sum_over_features():
    x_0, x_1 = quantise(batch((3, 2, 5), "numpy64", 1) * 0.5), batch((3, 2, 5), "numpy64", 2)
    pred = Prediction(x_0 + 0.05 * batch((3, 2, 5), "numpy64", 3), x_1)
    table = np.full(9, 0.03)
    by_hand = -discretised_log_prob(Gaussian(pred.x_0, 0.03), x_0).sum((1, 2))
    np.testing.assert_allclose(decoder_term(SHORT, pred, x_0, x_1, table), by_hand, rtol=1e-12)
    tensors = Prediction(torch.from_numpy(pred.x_0), None)
    np.testing.assert_allclose(
        decoder_term(SHORT, tensors, torch.from_numpy(x_0), torch.from_numpy(x_1), table), by_hand, rtol=1e-10
    )
    density = -scipy.stats.norm(pred.x_0, 0.03**0.5).logpdf(x_0).sum((1, 2))
    np.testing.assert_allclose(density_term(SHORT, pred, x_0, x_1, table), density, rtol=1e-12)


def test_float32_pixels_at_the_ends_are_recognised():
    ends = torch.tensor([[-1.0, 1.0]]) * (1 + 1e-7)
    wide = decoder_term(SHORT, Prediction(ends * 3, ends), ends, ends, np.full(9, 0.01))
    assert wide.item() == pytest.approx(0, abs=1e-6)  # means beyond the ends fall into the open bins


# -- prior and steps ---------------------------------------------------------------------------------------------------


def test_prior_term_by_its_formula():
    x_0 = batch((3, 2, 2), "numpy64", 1)
    a = SHORT.alpha_bar[-1]
    by_hand = [sum((a * v**2 - a - np.log(1 - a)) / 2 for v in row.ravel()) for row in x_0]
    np.testing.assert_allclose(prior_term(SHORT, x_0), by_hand, rtol=1e-12)
    np.testing.assert_allclose(prior_term(SHORT, torch.from_numpy(x_0)), by_hand, rtol=1e-12)


@pytest.mark.parametrize("variance", ["small", "large"])
def test_step_term_by_quadrature(variance):
    x_0, x_t, guess, t = 0.4, -0.3, 0.9, 5
    a_s, a_t = SHORT.alpha_bar[[4, 5]]
    b = 1 - a_t / a_s
    mean = lambda x: np.sqrt(a_s) * b / (1 - a_t) * x + np.sqrt(1 - b) * (1 - a_s) / (1 - a_t) * x_t  # noqa: E731
    q = scipy.stats.norm(mean(x_0), np.sqrt((1 - a_s) / (1 - a_t) * b))
    p = scipy.stats.norm(mean(guess), np.sqrt(b) if variance == "large" else q.std())
    kl = scipy.integrate.quad(
        lambda x: q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), q.mean() - 10, q.mean() + 10, epsabs=1e-13, points=[q.mean()]
    )[0]
    one = lambda v: np.array([[v, v]])  # noqa: E731
    got = step_term(SHORT, Prediction(one(guess), None), one(x_0), one(x_t), t - 1, t, variance)
    assert got.shape == (1,) and got[0] == pytest.approx(2 * kl, rel=1e-9)


@pytest.mark.parametrize("variance", ["small", "large", "tau"])
def test_the_mean_bound_on_gaussian_data_is_the_closed_form(variance):
    """L - H of equations B1 (B10), for every variance, by Monte Carlo within 5 SE; the gap is what a Gaussian kernel costs."""
    m, s2, T = 0.8, 0.25, 8
    a = SHORT.alpha_bar
    beta, v = SHORT.beta, a * s2 + 1 - a
    tau = np.concatenate([[np.nan], beta[1:] * v[:-1] / v[1:]])
    tilde = np.array([np.nan] + [(1 - a[t - 1]) / (1 - a[t]) * beta[t] for t in range(1, T + 1)])
    sigma = {"small": tilde.copy(), "large": beta.copy(), "tau": tau}[variance]
    if variance != "tau":
        sigma[1] = tilde[2]
    r = (tau / sigma)[1:]
    exact = 0.5 * (v[T] + a[T] * m**2 - 1 - np.log(v[T])) + 0.5 * (r - 1 - np.log(r)).sum() + 0.5 * np.log(2 * np.pi * np.e * s2)
    n, rng = 40_000, np.random.default_rng(5)
    x_0 = m + np.sqrt(s2) * rng.standard_normal((n, 1))
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[m]], [s2]), SHORT)
    bound = variational_bound(denoiser, x_0, normal(rng), sigma if variance == "tau" else variance, decoder=density_term)
    total = bound.total
    assert abs(total.mean() - exact) < 5 * total.std() / np.sqrt(n)
    assert total.std() / np.sqrt(n) < 0.02


# -- the whole ---------------------------------------------------------------------------------------------------------


class FixedNoise:
    """The same stream of noise for every library and dtype."""

    def __init__(self):
        self.rng = np.random.default_rng(11)

    def __call__(self, x):
        z = self.rng.standard_normal(tuple(x.shape))
        return torch.from_numpy(z).to(x.dtype) if isinstance(x, torch.Tensor) else z.astype(x.dtype)


def bound(kind, decoder=decoder_term, **options):
    schedule = options.pop("schedule", Schedule.linear(60))
    x_0 = quantise(ring().sample(6, np.random.default_rng(0)))
    x_0 = torch.from_numpy(x_0) if kind.startswith("torch") else x_0
    x_0 = x_0.astype(np.float32) if kind == "numpy32" else x_0.float() if kind == "torch32" else x_0
    return variational_bound(ExactDenoiser(ring(), schedule), x_0, FixedNoise(), decoder=decoder, **options)


def test_shapes_rows_and_total():
    b = bound("numpy64")
    assert b.prior.shape == b.decoder.shape == b.total.shape == (6,) and b.steps.shape == (59, 6)
    assert b.times == tuple(range(60, 1, -1)) and (b.steps >= -1e-12).all()
    np.testing.assert_allclose(b.total, [b.prior[i] + sum(b.steps[:, i]) + b.decoder[i] for i in range(6)], rtol=1e-12)


def test_rows_are_in_the_order_of_times():
    """Each row by itself: step_term at its (s, t) with the same noise."""
    b, noise, schedule = bound("numpy64", times=[60, 41, 7, 3, 0]), FixedNoise(), Schedule.linear(60)
    x_0 = quantise(ring().sample(6, np.random.default_rng(0)))
    assert b.times == (60, 41, 7) and b.steps.shape == (3, 6)
    denoiser = ExactDenoiser(ring(), schedule)
    for row, (t, s) in enumerate([(60, 41), (41, 7), (7, 3)]):
        signal, sigma = schedule.scales(t)
        x_t = signal * x_0 + sigma * noise(x_0)
        np.testing.assert_allclose(b.steps[row], step_term(schedule, denoiser(x_t, t), x_0, x_t, s, t), rtol=1e-12)
    x_t = schedule.scales(3)[0] * x_0 + schedule.scales(3)[1] * noise(x_0)
    np.testing.assert_allclose(b.decoder, decoder_term(schedule, denoiser(x_t, 3), x_0, x_t, t=3), rtol=1e-12)


@pytest.mark.parametrize("variance", ["small", "large", np.linspace(0.001, 0.03, 61)])
def test_torch_and_numpy_and_float32_agree(variance):
    exact = bound("numpy64", variance=variance)
    for kind, tolerance in (("torch64", 1e-9), ("numpy32", 1e-4), ("torch32", 1e-4)):
        b = bound(kind, variance=variance)
        assert b.total.dtype == {"torch64": torch.float64, "torch32": torch.float32, "numpy32": np.float32}[kind]
        np.testing.assert_allclose(numbers(b.total), exact.total, rtol=tolerance)
        np.testing.assert_allclose(numbers(b.prior), exact.prior, rtol=tolerance)


def test_one_step_and_two_steps():
    one = bound("torch32", schedule=Schedule.from_betas([0.5]), variance=[0, 0.1])
    assert one.steps.shape == (0, 6) and one.times == () and torch.isfinite(one.total).all()
    assert bound("numpy64", schedule=Schedule.from_betas([0.5]), variance=[0, 0.1]).total.shape == (6,)
    two = bound("numpy64", schedule=Schedule.from_betas([0.1, 0.5]))
    assert two.steps.shape == (1, 6) and two.times == (2,)
    assert bound("numpy64", times=[60, 0], variance=np.full(61, 0.1)).steps.shape == (0, 6)


def test_integer_data_and_gradient_free_predictions():
    x_0 = torch.tensor([[0, 1], [-1, 0]])
    b = variational_bound(ExactDenoiser(ring(), Schedule.linear(20)), x_0, normal(np.random.default_rng(0)), decoder=density_term)
    same = variational_bound(
        ExactDenoiser(ring(), Schedule.linear(20)), x_0.float(), normal(np.random.default_rng(0)), decoder=density_term
    )
    np.testing.assert_allclose(b.total, same.total, rtol=1e-6)
    assert not b.total.requires_grad


def test_check_grid_and_units():
    assert check_grid(Schedule.linear(3), None) == [3, 2, 1, 0] and check_grid(Schedule.linear(9), range(9, -1, -3)) == [
        9,
        6,
        3,
        0,
    ]
    nats = 3072 * 3.5 * np.log(2)
    assert bits_per_dim(nats, 3072) == pytest.approx(3.5) and bits_per_dim(torch.tensor([nats]), 3072).shape == (1,)
    part = Bound(np.ones(2), np.ones((3, 2)), np.ones(2))
    assert part.total.tolist() == [5, 5]
