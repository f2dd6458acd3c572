"""The probability-flow ODE from data to noise: scipy's integration, exact densities, change of variables, and sums that are 1."""

import inspect
import itertools
import math
import warnings

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.optimize import brentq

from minidiff import ClassDenoiser, ExactDenoiser, GaussianMixture, Guided, Label, Schedule, ddim, flow_log_prob, heun, invert, last
from minidiff.learn import NetworkDenoiser
from minidiff.likelihood import exact_divergence, hutchinson, richardson, standard_normal
from minidiff.nn import MLP
from minidiff.toy import ring
from tests.contracts import DTYPES, Watching, batch, numbers

ONE = GaussianMixture([0.3, 0.7], [[-0.5], [0.6]], [0.04, 0.1])
TWO = GaussianMixture([0.4, 0.6], [[-0.5, 0.4], [0.6, -0.3]], [[[0.10, 0.06], [0.06, 0.12]], [[0.08, -0.03], [-0.03, 0.16]]])
SCHEDULES = {"linear": Schedule.linear(200, 5e-4, 0.1), "cosine": Schedule.cosine(200), "sigmoid": Schedule.sigmoid(200)}
COARSE = Schedule.linear(100, 1e-3, 0.15)


def exact_prior(mixture, schedule, t):
    return mixture.push(float(schedule.scales(t)[0]), float(schedule.scales(t)[1]) ** 2).log_prob


# -- the divergence -----------------------------------------------------------------------------------------------------------


def curl(x):
    """(x_0 x_1, sin x_1 + x_2^3, x_0 + x_2^2): its divergence is x_1 + cos x_1 + 2 x_2."""
    xp = torch if isinstance(x, torch.Tensor) else np
    a, b, c = x[:, 0], x[:, 1], x[:, 2]
    return xp.stack([a * b, xp.sin(b) + c**3, a + c**2], 1)


@pytest.mark.parametrize("array", DTYPES)
def test_exact_divergence_by_hand(array):
    x = batch((6, 3), array, 1)
    got = exact_divergence(curl, x)
    a = numbers(x)
    assert got.shape == (6,) and got.dtype == x.dtype
    tolerance = {"numpy32": 5e-3, "torch32": 1e-5}.get(array, 1e-9)
    np.testing.assert_allclose(numbers(got), a[:, 1] + np.cos(a[:, 1]) + 2 * a[:, 2], atol=tolerance)


@pytest.mark.parametrize("array", ["numpy64", "torch64"])
@pytest.mark.parametrize("shape", [(3,), (3, 1), (2, 1, 2, 2)])
def test_exact_divergence_of_any_shape(shape, array):
    x = batch(shape, array, 2)
    three_x_squared = numbers(x).reshape(shape[0], -1) ** 2 * 3
    np.testing.assert_allclose(numbers(exact_divergence(lambda x: x**3, x)), three_x_squared.sum(1), rtol=1e-8)


def test_exact_divergence_warns_of_nothing():
    """A notebook would print it: torch warns of NumPy arrays that it may not write to."""
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exact_divergence(curl, batch((2, 3), "torch64", 2))
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize("array", ["numpy64", "torch64"])
def test_hutchinson_is_z_J_z_and_its_mean_over_all_signs_the_trace(array):
    x, z = batch((5, 3), array, 3), batch((5, 3), array, 4)
    got = hutchinson(z)(curl, x)
    for i in range(5):
        J = torch.autograd.functional.jacobian(lambda row: curl(row[None])[0], torch.tensor(numbers(x)[i]))
        assert float(got[i]) == pytest.approx(float(numbers(z)[i] @ J.numpy() @ numbers(z)[i]), rel=1e-8)
    signs = [0 * x + (torch.tensor(s) if array == "torch64" else np.array(s)) for s in itertools.product([-1.0, 1.0], repeat=3)]
    mean = sum(numbers(hutchinson(s)(curl, x)) for s in signs) / 8
    np.testing.assert_allclose(mean, numbers(exact_divergence(curl, x)), atol=1e-9)


def test_hutchinson_with_signs_has_no_variance_in_one_dimension():
    x = batch((9, 1), "torch64", 5)
    sign = torch.from_numpy(np.sign(batch((9, 1), "numpy64", 6)))
    torch.testing.assert_close(hutchinson(sign)(torch.sin, x), torch.cos(x)[:, 0], rtol=1e-12, atol=1e-12)


def test_standard_normal_against_scipy():
    x = batch((4, 2, 3), "numpy64", 7)
    np.testing.assert_allclose(standard_normal(x), scipy.stats.norm.logpdf(x).sum((1, 2)), rtol=1e-12)


# -- from data to noise -------------------------------------------------------------------------------------------------------


def transport(x, mixture, schedule, t):
    """x_t with F_t(x_t) = F_0(x_0), by scipy's distribution functions and bisection: the only map in 1-D that keeps the order."""
    a = float(schedule.alpha_bar[t])

    def cdf(x, a):
        normals = (scipy.stats.norm(math.sqrt(a) * m[0], math.sqrt(a * c[0, 0] + 1 - a)) for m, c in zip(ONE.means, ONE.covs, strict=True))
        return sum(w * n.cdf(x) for w, n in zip(mixture.weights, normals, strict=True))

    return np.array([[brentq(lambda y, p=p: cdf(y, a) - p, -12, 12, xtol=1e-13)] for p in cdf(x[:, 0], 1.0)])


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_code_of_a_mixture_is_its_monotone_transport(name):
    """On every schedule: also where sigma = noise / signal ends at 2e4, as the cosine's does."""
    schedule, x = SCHEDULES[name], np.linspace(-1.3, 1.4, 10)[:, None]
    code = last(invert(ExactDenoiser(ONE, schedule), x))
    np.testing.assert_allclose(code, transport(x, ONE, schedule, 200), atol=5e-3)


def test_the_code_is_of_second_order():
    schedule, x = Schedule.cosine(2000), np.linspace(-1.3, 1.4, 10)[:, None]
    exact = transport(x, ONE, schedule, 2000)
    errors = [np.abs(last(invert(ExactDenoiser(ONE, schedule), x, schedule.times(n))) - exact).max() for n in (25, 50, 100)]
    assert 3.2 < errors[0] / errors[1] < 5 and 3.2 < errors[1] / errors[2] < 5


@pytest.mark.parametrize("array", DTYPES)
def test_the_code_leads_back(array):
    x, denoiser = batch((20, 2), array, 8) / 2, ExactDenoiser(TWO, COARSE)
    code = last(invert(denoiser, x))
    assert code.shape == x.shape and code.dtype == x.dtype
    assert np.abs(numbers(last(heun(denoiser, code, COARSE.times(100)))) - numbers(x)).max() < 0.015
    assert 0.03 < np.abs(numbers(last(ddim(denoiser, code, COARSE.times(100)))) - numbers(x)).max() < 0.2  # of first order only


def test_invert_is_lazy_walks_up_and_lets_no_gradient_through():
    torch.manual_seed(0)
    watching = Watching(NetworkDenoiser(MLP(width=16), COARSE))
    x = batch((3, 2), "torch32", 9).requires_grad_()
    steps = invert(watching, x, [70, 20, 5, 0])
    assert inspect.isgenerator(steps)
    start = next(steps)
    assert start.t == 0 and start.x_t is x and start.x_0 is None and not watching.times
    seen = list(steps)
    assert [s.t for s in seen] == [5, 20, 70] and set(watching.times) == {5, 20, 70}, "the denoiser has no t = 0"
    assert torch.is_grad_enabled() and not any(watching.grad)
    assert not any(s.x_t.requires_grad for s in seen), "the graph of the whole way would be kept"


def test_a_condition_is_told_at_every_step():
    classes = ClassDenoiser([ring(3), ring(5)], [0.3, 0.7], COARSE)
    x, times = batch((4, 2), "numpy64", 10) / 2, COARSE.times(20)
    told, alone = flow_log_prob(classes, x, times=times, cond=Label(1)), flow_log_prob(ExactDenoiser(ring(5), COARSE), x, times=times)
    np.testing.assert_allclose(told, alone, rtol=1e-12)
    watching = Watching(classes)
    last(invert(Guided(watching, 2.0), x, times, Label(0)))
    assert {c.index for c in watching.conds} == {0, None}


# -- the likelihood -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_likelihood_of_a_mixture_is_its_density(name):
    """The whole grid of each schedule, in 1-D. The prior is that of x_T itself, so nothing but the integration can be wrong."""
    schedule, x = SCHEDULES[name], np.linspace(-1.4, 1.5, 12)[:, None]
    got = flow_log_prob(ExactDenoiser(ONE, schedule), x, prior=exact_prior(ONE, schedule, 200))
    density = sum(w * scipy.stats.norm(m[0], c[0, 0] ** 0.5).pdf(x[:, 0]) for w, m, c in zip(ONE.weights, ONE.means, ONE.covs, strict=True))
    np.testing.assert_allclose(got, np.log(density), atol=0.025)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_richardson_cancels_the_second_order(name):
    schedule, x = SCHEDULES[name], batch((4, 2), "numpy64", 11) / 2
    denoiser, prior = ExactDenoiser(TWO, schedule), exact_prior(TWO, schedule, 200)
    exact = np.log(TWO.weights @ [scipy.stats.multivariate_normal(m, c).pdf(x) for m, c in zip(TWO.means, TWO.covs, strict=True)])
    plain = {n: flow_log_prob(denoiser, x, prior=prior, times=schedule.times(n)) for n in (200, 100)}
    better = richardson(lambda times: plain[len(times) - 1], schedule.times(200))
    assert np.abs(better - exact).max() < min(1e-4, np.abs(plain[200] - exact).max() / 10)


def test_richardson_of_a_known_error():
    times = list(range(40, -1, -1))
    assert richardson(lambda grid: 3.0 + 5.0 / (len(grid) - 1) ** 2, times) == pytest.approx(3.0, abs=1e-14)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_likelihood_of_any_denoiser_is_a_density(name):
    """Also of a wrong one, with the normal prior: exp(flow_log_prob) sums to 1 over a grid. No formula of a mixture is involved."""
    schedule = SCHEDULES[name]

    class Wrong:
        def __init__(self):
            self.schedule = schedule

        def __call__(self, x_t, t, cond=None):
            pred = ExactDenoiser(ONE, schedule)(x_t, t)
            bent = pred.x_0 + 0.2 * np.sin(2 * x_t)
            return type(pred)(bent, (x_t - schedule.scales(t)[0] * bent) / schedule.scales(t)[1])

    x = np.linspace(-4, 4, 401)[:, None]
    p = np.exp(flow_log_prob(Wrong(), x))
    assert p.sum() * 0.02 == pytest.approx(1, abs=0.01)
    assert np.abs(np.log(p[150:250]) - ONE.log_prob(x[150:250])).max() > 0.1  # and it is not the mixture's


def test_the_likelihood_of_a_network_is_the_change_of_variables():
    """log N(x_T) + log |det dx_T / dx_0|, the determinant from differences of the whole map `invert`."""
    torch.manual_seed(1)
    net = MLP(width=16).double()
    for p in net.parameters():
        p.data.add_(0.2 * torch.randn_like(p))
    denoiser, times, h = NetworkDenoiser(net, COARSE), COARSE.times(100), 1e-5
    x = batch((4, 2), "torch64", 12) / 2

    def code(x):
        return numbers(last(invert(denoiser, x, times)))

    columns = [(code(x + h * e) - code(x - h * e)) / (2 * h) for e in torch.eye(2, dtype=torch.float64)]
    J = np.stack(columns, -1)
    expected = scipy.stats.norm.logpdf(code(x)).sum(1) + np.linalg.slogdet(J)[1]
    got = flow_log_prob(denoiser, x, times=times)
    assert not got.requires_grad and np.ptp(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=0.015)


def test_between_two_times_it_is_the_density_of_the_noised_data():
    """times from t to s > 0 with the density of x_t for the prior: the density of x_s, in y = x / signal or in any other variable."""
    x = batch((5, 2), "numpy64", 13)
    got = flow_log_prob(ExactDenoiser(TWO, COARSE), x, prior=exact_prior(TWO, COARSE, 60), times=list(range(60, 29, -1)))
    np.testing.assert_allclose(got, exact_prior(TWO, COARSE, 30)(x), atol=2e-3)


def test_with_signs_the_mean_over_all_of_them_is_exact():
    """The way does not depend on z, and log p is linear in the divergence: four sign vectors in the plane are all there are."""
    x, times, denoiser = batch((5, 2), "torch64", 14) / 2, COARSE.times(30), ExactDenoiser(TWO, COARSE)
    signs = [torch.tensor(s, dtype=torch.float64).expand(5, 2) for s in itertools.product([-1, 1], repeat=2)]
    each = torch.stack([flow_log_prob(denoiser, x, hutchinson(z), times=times) for z in signs])
    torch.testing.assert_close(each.mean(0), flow_log_prob(denoiser, x, times=times), rtol=1e-10, atol=1e-10)
    assert each.std(0).min() > 1e-3  # one vector alone is an estimate


@pytest.mark.parametrize("array", DTYPES)
def test_likelihood_keeps_the_kind_of_array_and_treats_examples_alone(array):
    x, times, denoiser = batch((4, 2), array, 15) / 2, COARSE.times(20), ExactDenoiser(TWO, COARSE)
    got = flow_log_prob(denoiser, x, times=times)
    assert got.shape == (4,) and got.dtype == x.dtype and type(got) is type(x)
    double = flow_log_prob(denoiser, batch((4, 2), "numpy64", 15) / 2, times=times)
    np.testing.assert_allclose(numbers(got), double, atol=1e-7 if array.endswith("64") else 5e-3)
    for i in range(4):
        alone = flow_log_prob(denoiser, x[i : i + 1], times=times)
        np.testing.assert_allclose(numbers(alone)[0], numbers(got)[i], atol=1e-10 if array.endswith("64") else 2e-3)
