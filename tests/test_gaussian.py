"""Gaussian against scipy, quadrature and Bayes' rule on a grid."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import torch

from minidiff import Gaussian

P = [(0.3, 1.7, -0.4, 0.6), (0.0, 1e-3, 0.01, 2e-3), (5.0, 2.0, 5.0, 2.0), (-1.0, 4.0, 2.0, 0.25)]


@pytest.mark.parametrize("mean, var", [(0.3, 1.7), (-2.0, 1e-6), (0.0, 1e4)])
def test_log_prob_against_scipy(mean, var):
    x = mean + np.sqrt(var) * np.linspace(-8, 8, 33)
    expected = scipy.stats.norm(mean, np.sqrt(var)).logpdf(x)
    np.testing.assert_allclose(Gaussian(np.full(33, mean), var).log_prob(x), expected, rtol=1e-12)
    tensor = Gaussian(torch.full((33,), mean, dtype=torch.float64), var).log_prob(torch.from_numpy(x))
    np.testing.assert_allclose(tensor, expected, rtol=1e-12)


@pytest.mark.parametrize("m, v, n, w", P)
def test_kl_by_quadrature(m, v, n, w):
    p, q = scipy.stats.norm(m, v**0.5), scipy.stats.norm(n, w**0.5)
    value = scipy.integrate.quad(
        lambda z: p.pdf(m + v**0.5 * z) * v**0.5 * (p.logpdf(m + v**0.5 * z) - q.logpdf(m + v**0.5 * z)),
        -12,
        12,
        epsabs=1e-13,
        epsrel=1e-12,
    )[0]
    assert Gaussian(np.array([m]), v).kl(Gaussian(np.array([n]), w))[0] == pytest.approx(value, abs=1e-11)
    t = Gaussian(torch.tensor([m], dtype=torch.float64), v).kl(
        Gaussian(torch.tensor([n], dtype=torch.float64), torch.tensor([w], dtype=torch.float64))
    )
    assert t.item() == pytest.approx(value, abs=1e-11)
    both = torch.distributions.kl_divergence(torch.distributions.Normal(m, v**0.5), torch.distributions.Normal(n, w**0.5))
    assert both.item() == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_kl_of_float32_means_keeps_float64_variances():
    # With the variances cast first, r - 1 - log r would be lost in rounding: r = 1 + 1e-5 gives 2.5e-11.
    p = Gaussian(torch.zeros(1), 1e-4 * (1 + 1e-5))
    assert p.kl(Gaussian(torch.zeros(1), 1e-4)).item() == pytest.approx(2.5e-11, rel=1e-4)


def test_sample_moments_and_shape():
    z = np.random.default_rng(0).standard_normal(200_000)
    x = Gaussian(np.full(z.shape, 2.0), 9.0).sample(z)
    assert abs(x.mean() - 2) < 5 * 3 / len(z) ** 0.5 and abs(x.var() - 9) < 5 * 9 * (2 / len(z)) ** 0.5
    np.testing.assert_array_equal(Gaussian(np.array([1.0]), 0.0).sample(np.array([7.0])), [1.0])


def test_push_is_the_convolution():
    rng = np.random.default_rng(1)
    x = 0.7 + 1.3**0.5 * rng.standard_normal(400_000)
    y = -2.0 * x + 0.5**0.5 * rng.standard_normal(len(x))
    g = Gaussian(np.array(0.7), 1.3).push(-2.0, 0.5)
    assert abs(y.mean() - g.mean) < 5 * (g.var / len(y)) ** 0.5 and abs(y.var() - g.var) < 5 * g.var * (2 / len(y)) ** 0.5


@pytest.mark.parametrize(
    "m, v, scale, var, y", [(0.3, 1.2, 0.8, 0.5, -1.0), (2.0, 0.01, -3.0, 4.0, 1.0), (0.0, 5.0, 1.0, 1e-3, 2.0)]
)
def test_given_is_bayes_rule_on_a_grid(m, v, scale, var, y):
    g = Gaussian(np.array([m]), v).given(scale, var, np.array([y]))
    x = g.mean[0] + np.sqrt(g.var) * np.linspace(-12, 12, 20_001)
    log_joint = scipy.stats.norm(m, v**0.5).logpdf(x) + scipy.stats.norm(scale * x, var**0.5).logpdf(y)
    w = np.exp(log_joint - log_joint.max())
    w /= w.sum()
    mean = w @ x
    assert mean == pytest.approx(g.mean[0], abs=1e-9 * max(1, abs(mean))) and w @ (x - mean) ** 2 == pytest.approx(
        g.var, rel=1e-9
    )
    evidence = scipy.special.logsumexp(log_joint) + np.log(x[1] - x[0])
    assert evidence == pytest.approx(Gaussian(np.array([m]), v).push(scale, var).log_prob(np.array([y]))[0], abs=1e-9)


def test_point_masses():
    point = Gaussian(np.array([1.5]), 0.0)
    assert point.push(2.0, 0.3).mean == [3.0] and point.push(2.0, 0.3).var == 0.3
    assert point.given(2.0, 0.3, np.array([9.0])).mean == [1.5] and point.given(2.0, 0.3, np.array([9.0])).var == 0
    sure = Gaussian(np.array([1.5]), 1.0).given(2.0, 0.0, np.array([9.0]))  # seen without noise
    assert sure.mean == [4.5] and sure.var == 0


def test_scalars_are_welcome():
    g = Gaussian(0.0, 1.0)
    assert g.kl(Gaussian(1, 1)) == 0.5 and g.sample(np.float64(2.0)) == 2 and g.push(3, 1).var == 10
    np.testing.assert_allclose(g.log_prob(np.linspace(-1, 1, 5)), scipy.stats.norm.logpdf(np.linspace(-1, 1, 5)))


@pytest.mark.parametrize("xp", [np, torch])
def test_var_broadcasts_as_numpy_does_and_scales_are_per_example(xp):
    mean = xp.zeros((2, 2))
    features, examples = Gaussian(mean, np.array([1.0, 4.0])), Gaussian(mean, np.array([[1.0], [4.0]]))
    np.testing.assert_allclose(features.sample(xp.ones((2, 2))), [[1, 2], [1, 2]])
    np.testing.assert_allclose(examples.sample(xp.ones((2, 2))), [[1, 1], [2, 2]])
    pushed = examples.push(np.array([1.0, 3.0]), np.array([0.0, 13.0]))
    np.testing.assert_allclose(pushed.sample(xp.ones((2, 2))), [[1, 1], [7, 7]])
    seen = examples.given(np.array([1.0, 2.0]), np.array([1.0, 16.0]), xp.ones((2, 2)))
    np.testing.assert_allclose(seen.mean, [[0.5, 0.5], [0.25, 0.25]])
    tensor = Gaussian(torch.zeros(2, 2), torch.tensor([[1.0], [4.0]])).push(np.array([1.0, 3.0]), np.array([0.0, 13.0]))
    np.testing.assert_allclose(tensor.var, [[1], [49]])


def test_gradients_flow():
    mean, var = torch.zeros(3, dtype=torch.float64, requires_grad=True), torch.ones(3, dtype=torch.float64, requires_grad=True)
    other = Gaussian(torch.ones(3).double(), 2.0)
    assert torch.autograd.gradcheck(lambda m, v: Gaussian(m, v).kl(other), (mean, var))
    assert torch.autograd.gradcheck(lambda m, v: Gaussian(m, v).log_prob(torch.ones(3).double()), (mean, var))
