"""Exact mixtures against quadrature, grids and finite differences; the toy data sets."""

import numpy as np
import pytest
import scipy.stats
import torch

from minidiff import ExactDenoiser, GaussianMixture, Schedule
from minidiff.toy import TOYS, checkerboard, moons, quantise, quantised_entropy, ring, swirl

ONE = GaussianMixture([0.2, 0.5, 0.3], [[-1.5], [0.2], [2.0]], [0.1, 0.4, 0.02])
TWO = GaussianMixture([0.4, 0.6], [[-0.5, 1.0], [0.8, -0.3]], [[[0.5, 0.3], [0.3, 0.4]], [[0.2, -0.15], [-0.15, 0.6]]])
SCHEDULE = Schedule.linear(50, 0.001, 0.2)


def test_log_prob_against_scipy():
    x = np.linspace(-4, 4, 41)[:, None]
    by_hand = sum(
        w * scipy.stats.norm(m, v**0.5).pdf(x[:, 0])
        for w, m, v in zip([0.2, 0.5, 0.3], [-1.5, 0.2, 2.0], [0.1, 0.4, 0.02], strict=True)
    )
    np.testing.assert_allclose(ONE.log_prob(x), np.log(by_hand), rtol=1e-11, atol=1e-12)
    y = np.random.default_rng(0).standard_normal((20, 2))
    by_hand = sum(
        w * scipy.stats.multivariate_normal(m, c).pdf(y) for w, m, c in zip(TWO.weights, TWO.means, TWO.covs, strict=True)
    )
    np.testing.assert_allclose(TWO.log_prob(y), np.log(by_hand), rtol=1e-10)
    assert np.isfinite(ONE.log_prob(np.array([[1e4]]))).all()  # no underflow far away


@pytest.mark.parametrize("mixture", [ONE, TWO, TWO.push(0.7, 0.2)])
def test_score_by_finite_differences(mixture):
    x, h = np.random.default_rng(1).standard_normal((10, mixture.dims)), 1e-5
    for d in range(mixture.dims):
        e = h * np.eye(mixture.dims)[d]
        difference = (mixture.log_prob(x + e) - mixture.log_prob(x - e)) / (2 * h)
        np.testing.assert_allclose(mixture.score(x)[:, d], difference, rtol=1e-6, atol=1e-7)
    tensor = torch.from_numpy(x).requires_grad_()
    mixture.log_prob(tensor).sum().backward()
    np.testing.assert_allclose(mixture.score(x), tensor.grad, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("scale, var", [(0.9, 0.19), (0.3, 0.91), (1.0, 1e-3), (-0.5, 2.0)])
def test_posterior_by_quadrature_in_1d(scale, var):
    grid = np.linspace(-8, 8, 160_001)[:, None]
    density = np.exp(ONE.log_prob(grid))
    x_t = np.array([[-1.0], [0.4], [1.7]])
    mean, cov = ONE.posterior(x_t, scale, var)
    for i, y in enumerate(x_t[:, 0]):
        w = density * np.exp(-((y - scale * grid[:, 0]) ** 2) / (2 * var))
        w /= w.sum()
        first = w @ grid[:, 0]
        assert mean[i, 0] == pytest.approx(first, abs=1e-9) and cov[i, 0, 0] == pytest.approx(
            w @ (grid[:, 0] - first) ** 2, rel=1e-8
        )


def test_posterior_on_a_grid_in_2d():
    axis = np.linspace(-5, 5, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    scale, var, y = 0.8, 0.36, np.array([0.5, -0.2])
    w = np.exp(TWO.log_prob(grid) - ((y - scale * grid) ** 2).sum(1) / (2 * var))
    w /= w.sum()
    first = w @ grid
    second = np.einsum("n,ni,nj->ij", w, grid - first, grid - first)
    mean, cov = TWO.posterior(y[None], scale, var)
    np.testing.assert_allclose(mean[0], first, atol=1e-9)
    np.testing.assert_allclose(cov[0], second, atol=1e-9)
    assert abs(second[0, 1]) > 0.01


def test_push_is_the_law_of_noised_data():
    rng = np.random.default_rng(2)
    x = TWO.sample(100_000, rng)
    y = 0.8 * x + 0.6 * rng.standard_normal(x.shape)
    pushed = TWO.push(0.8, 0.36)
    exact_cov = np.einsum("k,kij->ij", pushed.weights, pushed.covs) + np.einsum(
        "k,ki,kj->ij", pushed.weights, pushed.means - pushed.mean(), pushed.means - pushed.mean()
    )
    se = np.sqrt(np.diag(exact_cov) / len(y))
    assert (np.abs(y.mean(0) - pushed.mean()) < 5 * se).all()
    se_cov = np.sqrt((exact_cov**2 + np.outer(np.diag(exact_cov), np.diag(exact_cov))) / len(y))
    assert (np.abs(np.cov(y.T) - exact_cov) < 6 * se_cov).all()
    axis = np.linspace(-7, 7, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert np.exp(pushed.log_prob(grid)).sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("mixture", [ONE, TWO, ring()])
def test_exact_denoiser_is_tweedie_and_a_row_of_times_is_a_loop(mixture):
    denoiser = ExactDenoiser(mixture, SCHEDULE)
    x = np.random.default_rng(3).standard_normal((5, mixture.dims))
    t = np.array([1, 2, 25, 49, 50])
    row = denoiser(x, t)
    for i in range(5):
        alone = denoiser(x[i : i + 1], int(t[i]))
        signal, noise = SCHEDULE.scales(int(t[i]))
        np.testing.assert_allclose(row.x_0[i], alone.x_0[0], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(row.eps[i], alone.eps[0], rtol=1e-9, atol=1e-11)
        score = mixture.push(signal, noise**2).score(x[i : i + 1])[0]
        np.testing.assert_allclose(row.eps[i], -noise * score, rtol=1e-7, atol=1e-9)
    tensor = denoiser(torch.from_numpy(x), torch.from_numpy(t))
    np.testing.assert_allclose(tensor.x_0, row.x_0, rtol=1e-11, atol=1e-13)
    single = denoiser(x.astype(np.float32), t)
    assert single.x_0.dtype == np.float32
    np.testing.assert_allclose(single.x_0, row.x_0, atol=1e-4)


def test_no_function_of_x_t_comes_closer_than_the_exact_denoiser():
    rng = np.random.default_rng(4)
    x_0 = ring().sample(20_000, rng)
    for t in (5, 25, 45):
        signal, noise = SCHEDULE.scales(t)
        x_t = signal * x_0 + noise * rng.standard_normal(x_0.shape)
        best = ExactDenoiser(ring(), SCHEDULE)(x_t, t).x_0
        error = ((x_0 - best) ** 2).sum(1)
        for other in (1.03 * best, best + 0.02, x_t / signal, 0 * best):
            gain = ((x_0 - other) ** 2).sum(1) - error
            assert gain.mean() > -5 * gain.std() / len(gain) ** 0.5
        _, cov = ring().posterior(x_t, signal, noise**2)
        trace = np.einsum("bii->b", cov)
        assert abs((error - trace).mean()) < 5 * (error - trace).std() / len(error) ** 0.5


def test_integer_points_are_not_truncated():
    whole = np.array([[0], [1], [2]])
    np.testing.assert_array_equal(ONE.log_prob(whole), ONE.log_prob(whole.astype(float)))
    np.testing.assert_array_equal(
        ExactDenoiser(ONE, SCHEDULE)(whole, 5).eps, ExactDenoiser(ONE, SCHEDULE)(whole.astype(float), 5).eps
    )
    np.testing.assert_allclose(ONE.score(torch.from_numpy(whole)), ONE.score(whole), rtol=1e-4, atol=1e-5)


def test_a_point_of_data():
    point = ExactDenoiser(GaussianMixture([1.0], [[0.3, -2.0]], [0.0]), SCHEDULE)
    x = np.random.default_rng(5).standard_normal((4, 2))
    np.testing.assert_allclose(point(x, 10).x_0, np.tile([0.3, -2.0], (4, 1)), rtol=1e-12)
    assert point.mixture.sample(3, np.random.default_rng(0)).tolist() == [[0.3, -2.0]] * 3


def test_quantise_and_its_entropy():
    x = np.random.default_rng(6).uniform(-1.5, 1.5, (1000, 2))
    q = quantise(x)
    levels = np.round((q + 1) * 127.5)
    np.testing.assert_allclose(q, levels / 127.5 - 1, atol=1e-15)
    nearest = (np.arange(256) / 127.5 - 1)[np.abs(x[..., None] - (np.arange(256) / 127.5 - 1)).argmin(-1)]
    np.testing.assert_allclose(q, nearest, atol=1e-15)
    rng = np.random.default_rng(7)
    for mixture in (GaussianMixture([0.3, 0.7], [[-0.4], [0.6]], [0.01, 0.09]), ring(3)):
        sample = np.round((quantise(mixture.sample(20_000, rng)) + 1) * 127.5)
        # -log of the mass of each sample's own cell, by scipy's distribution functions: its mean is the entropy.
        low = np.where(sample == 0, -np.inf, (sample - 0.5) / 127.5 - 1)
        high = np.where(sample == 255, np.inf, (sample + 0.5) / 127.5 - 1)
        mass = 0.0
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covs, strict=True):
            normal = scipy.stats.norm(m, np.sqrt(c[0, 0]))
            mass = mass + w * (normal.cdf(high) - normal.cdf(low)).prod(1)
        surprise = -np.log(mass)
        assert abs(surprise.mean() - quantised_entropy(mixture)) < 5 * surprise.std() / len(sample) ** 0.5


def test_data_sets():
    for name, make in TOYS.items():
        x, y = make(500, np.random.default_rng(0)), make(500, np.random.default_rng(0))
        assert x.shape == (500, 2) and x.dtype == np.float64 and np.array_equal(x, y), name
        assert np.abs(x).max() < 1.3 and x.std() > 0.2
    assert ring(5).means.shape == (5, 2) and swirl().dims == 2
    board = checkerboard(4000, np.random.default_rng(1))
    field = np.floor((board + 1) * 2).astype(int)
    assert (field.sum(1) % 2 == 0).all() and len(np.unique(field, axis=0)) == 8  # dark fields only, all of them
    assert abs(moons(20_000, np.random.default_rng(2)).mean()) < 0.02


def test_a_mixture_is_frozen():
    with pytest.raises(ValueError):
        ONE.means[0] = 3
    assert ONE.dims == 1 and ONE.mean()[0] == pytest.approx(0.2 * -1.5 + 0.5 * 0.2 + 0.3 * 2)
