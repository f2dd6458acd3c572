"""Exact mixtures and exact denoisers against quadrature, Bayes' rule on grids and finite differences."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from minidiff import ClassDenoiser, ExactDenoiser, GaussianMixture, Guided, Label, Schedule
from minidiff.toy import ring
from tests.contracts import DTYPES, batch, check_denoiser, numbers

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


def test_a_mixture_is_frozen():
    with pytest.raises(ValueError):
        ONE.means[0] = 3
    assert ONE.dims == 1 and ONE.mean()[0] == pytest.approx(0.2 * -1.5 + 0.5 * 0.2 + 0.3 * 2)


# -- blends and conditionals ----------------------------------------------------------------------------------------------------


def densities(mixture, x):
    """p(x) by scipy, component by component."""
    return mixture.weights @ [scipy.stats.multivariate_normal(m, c).pdf(x) for m, c in zip(mixture.means, mixture.covs, strict=True)]


def test_a_blend_is_the_weighted_sum_of_densities():
    parts, weights, x = [TWO, ring(3), ring(1, radius=0.0, std=0.5)], [0.5, 0.2, 0.3], batch((20, 2), "numpy64", 8)
    blend = GaussianMixture.blend(weights, parts)
    expected = sum(w * densities(part, x) for w, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(np.exp(blend.log_prob(x)), expected, rtol=1e-10)
    np.testing.assert_allclose(blend.mean(), sum(w * part.mean() for w, part in zip(weights, parts, strict=True)), atol=1e-12)
    assert GaussianMixture.blend([1], [TWO]).log_prob(x) == pytest.approx(TWO.log_prob(x))


THREE = GaussianMixture(
    [0.3, 0.5, 0.2], [[0.2, -0.4, 0.9], [-0.6, 0.5, 0.0], [0.8, 0.8, -0.7]],
    [np.diag([0.2, 0.3, 0.1]), [[0.4, 0.1, -0.2], [0.1, 0.3, 0.1], [-0.2, 0.1, 0.5]], [[0.3, 0.2, 0.1], [0.2, 0.4, 0], [0.1, 0, 0.2]]],
)  # fmt: skip


@pytest.mark.parametrize(
    ("known", "value"), [([0], [0.4]), ([1], [-0.9]), ([2], 0.3), ([0, 2], [0.5, -0.6]), ([2, 0], [-0.6, 0.5]), ([1, 2], [2.0, 2.0])]
)
def test_conditional_by_bayes_on_a_grid(known, value):
    """p(rest | seen) = p(rest, seen) / sum over the grid of the rest: density by density, mean and covariance."""
    rest = [d for d in range(3) if d not in known]
    axis = np.linspace(-5, 5, 301)
    grid = np.stack(np.meshgrid(*[axis] * len(rest), indexing="ij"), -1).reshape(-1, len(rest))
    points = np.empty((len(grid), 3))
    points[:, known], points[:, rest] = value, grid
    p = densities(THREE, points)
    p /= p.sum() * (axis[1] - axis[0]) ** len(rest)
    law = THREE.conditional(known, value)
    assert law.dims == len(rest)
    np.testing.assert_allclose(np.exp(law.log_prob(grid)), p, atol=1e-9 * p.max(), rtol=1e-6)
    w = p / p.sum()
    np.testing.assert_allclose(law.mean(), w @ grid, atol=1e-9)
    centred, spread = grid - w @ grid, law.means - law.mean()
    covariance = np.einsum("k,kij->ij", law.weights, law.covs) + np.einsum("k,ki,kj->ij", law.weights, spread, spread)
    np.testing.assert_allclose(covariance, np.einsum("n,ni,nj->ij", w, centred, centred), atol=1e-8)


def test_conditional_leaves_out_components_that_cannot_have_made_the_value():
    far = GaussianMixture([0.5, 0.5], [[0.0, 1.0], [100.0, -1.0]], [0.01, 0.01])
    law = far.conditional([0], [0.1])
    assert law.weights.tolist() == [1.0] and law.means.tolist() == [[1.0]]
    near = far.conditional([0], [50.0])  # as far from one as from the other: both are kept, with no underflow
    np.testing.assert_allclose(near.weights, [0.5, 0.5])


def test_what_is_seen_twice_over_is_known():
    """Perfect correlation: the rest is a point, without width and without complaint."""
    law = GaussianMixture([1.0], [[0.0, 1.0]], [[[1.0, 2.0], [2.0, 4.0]]]).conditional([0], [0.7])
    assert law.means[0, 0] == pytest.approx(1 + 2 * 0.7) and law.covs[0, 0, 0] == pytest.approx(0, abs=1e-12)


def test_one_coordinate_needs_no_list():
    np.testing.assert_array_equal(TWO.conditional(0, 0.3).means, TWO.conditional([0], [0.3]).means)


# -- labelled data ------------------------------------------------------------------------------------------------------------


CLASSES, SHARES = (TWO, ring(3), GaussianMixture([1.0], [[0.5, 0.5]], [0.3])), (0.2, 0.5, 0.3)


@pytest.mark.parametrize("array", DTYPES)
@pytest.mark.parametrize("cond", [None, Label(None), Label(0), Label(2)])
def test_contract_of_labelled_data(cond, array):
    denoiser = ClassDenoiser(CLASSES, SHARES, SCHEDULE)
    check_denoiser(denoiser, batch((4, 2), array), cond)
    if cond is not None:
        check_denoiser(Guided(denoiser, 2.0), batch((4, 2), array), cond)


def test_told_it_is_the_class_and_not_told_the_average_over_classes():
    """E[x_0 | x_t] = sum_c p(c | x_t) E[x_0 | x_t, c], p(c | x_t) by Bayes' rule with scipy's densities of the noised classes."""
    denoiser, t = ClassDenoiser(CLASSES, SHARES, SCHEDULE), 23
    signal, noise = SCHEDULE.scales(t)
    x = batch((7, 2), "numpy64", 9)
    told = [denoiser(x, t, Label(k)).x_0 for k in range(3)]
    for k in range(3):
        np.testing.assert_array_equal(told[k], ExactDenoiser(CLASSES[k], SCHEDULE)(x, t).x_0)
    joint = np.array([share * densities(law.push(signal, noise**2), x) for share, law in zip(SHARES, CLASSES, strict=True)])
    average = sum(joint[k][:, None] * told[k] for k in range(3)) / joint.sum(0)[:, None]
    for not_told in (None, Label(None), Label(1).null()):
        np.testing.assert_allclose(denoiser(x, t, not_told).x_0, average, rtol=1e-10, atol=1e-12)
    assert np.abs(average - told[1]).max() > 0.1


def test_guidance_of_gaussian_classes_tilts_each_level():
    """At one t the guided eps is -noise times the slope of s log p(x_t | c) + (1 - s) log p(x_t): by differences of scipy's densities."""
    t, scale, var, x, h = 20, 3.0, 0.2, batch((5, 1), "numpy64", 10), 1e-5
    signal, noise = SCHEDULE.scales(t)
    classes = [GaussianMixture([1.0], [[m]], [var]) for m in (1.0, -1.0)]
    plus, minus = (scipy.stats.norm(m * signal, math.sqrt(signal**2 * var + noise**2)) for m in (1.0, -1.0))

    def tilted(x):
        return scale * plus.logpdf(x) + (1 - scale) * np.log(0.5 * plus.pdf(x) + 0.5 * minus.pdf(x))

    guided = Guided(ClassDenoiser(classes, [0.5, 0.5], SCHEDULE), scale)(x, t, Label(0))
    np.testing.assert_allclose(guided.eps, -noise * (tilted(x + h) - tilted(x - h)) / (2 * h), rtol=1e-6, atol=1e-8)


def test_a_mixture_keeps_the_kind_of_array():
    for array in DTYPES:
        x = batch((4, 2), array, 11)
        for got in (TWO.log_prob(x), TWO.score(x), *TWO.posterior(x, 0.8, 0.36)):
            assert got.dtype == x.dtype and type(got) is type(x)
        np.testing.assert_allclose(numbers(TWO.score(x)), TWO.score(batch((4, 2), "numpy64", 11)), rtol=1e-3, atol=1e-3)
