"""p_theta: its mean by the paper's other formula, its variances by their definitions, the rule at t = 1."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from minidiff import (
    ExactDenoiser,
    GaussianMixture,
    Prediction,
    Schedule,
    from_output,
    marginal,
    optimal_variance,
    posterior,
    reverse_transition,
    step_term,
    transition,
)
from minidiff.bound import density_term
from minidiff.reverse import fixed_variance
from tests.contracts import batch

SCHEDULE = Schedule.linear(50, 0.001, 0.2)
BETAS = np.concatenate([[0], np.linspace(0.001, 0.2, 50)])
ABAR = np.cumprod(1 - BETAS)
TILDE = np.array([np.nan] + [(1 - ABAR[t - 1]) / (1 - ABAR[t]) * BETAS[t] for t in range(1, 51)])
X = batch((2, 3), "numpy64", 7)


def var(t, variance, mix=None, s=None):
    pred = Prediction(X, X, None if mix is None else np.full(X.shape, float(mix)))
    return np.unique(np.broadcast_to(reverse_transition(SCHEDULE, pred, X, t - 1 if s is None else s, t, variance).var, X.shape))


@pytest.mark.parametrize("t", [1, 2, 25, 50])
def test_mean_by_equation_11(t):
    eps = batch((2, 3), "numpy64", 8)
    pred = from_output("eps", eps, X, *SCHEDULE.scales(t))
    paper = (X - BETAS[t] / np.sqrt(1 - ABAR[t]) * eps) / np.sqrt(1 - BETAS[t])
    for variance in ("small", "large", np.full(51, 0.3)):
        np.testing.assert_allclose(reverse_transition(SCHEDULE, pred, X, t - 1, t, variance).mean, paper, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("t", [2, 25, 50])
def test_small_and_large(t):
    np.testing.assert_allclose(var(t, "small"), TILDE[t], rtol=1e-11)
    np.testing.assert_allclose(var(t, "large"), BETAS[t], rtol=1e-11)


def test_the_rule_at_t_1():
    """Ho et al.'s program puts the beta-tilde of t = 2 at t = 1 for both kinds; an explicit array keeps its own value."""
    np.testing.assert_allclose(var(1, "small"), TILDE[2], rtol=1e-11)
    np.testing.assert_allclose(var(1, "large"), TILDE[2], rtol=1e-11)
    assert var(1, BETAS + 0.5) == BETAS[1] + 0.5
    np.testing.assert_allclose(var(1, "learned", -1), TILDE[2], rtol=1e-10)
    np.testing.assert_allclose(var(1, "learned", 1), BETAS[1], rtol=1e-10)  # Nichol & Dhariwal's program: beta_1 itself


@pytest.mark.parametrize("t", [2, 25, 50])
def test_learned_has_small_and_large_as_ends_and_is_not_clamped(t):
    small, large = np.log(var(t, "small")), np.log(var(t, "large"))
    for mix in (-1, 1, 0, 0.3, -3, 5):  # a line through both ends in the logarithm, beyond them too
        expected = small + (large - small) * (mix + 1) / 2
        np.testing.assert_allclose(np.log(var(t, "learned", mix)), expected, rtol=1e-10)


def test_strided_pairs():
    s, t = 10, 30
    np.testing.assert_allclose(var(t, "small", s=s), posterior(SCHEDULE, X, X, s, t).var)
    np.testing.assert_allclose(var(t, "large", s=s), transition(SCHEDULE, X, s, t).var)
    np.testing.assert_allclose(var(20, "large", s=0), posterior(SCHEDULE, X, X, 20, 40).var)  # the next pair, (t, 2t)
    np.testing.assert_allclose(var(40, "small", s=0), posterior(SCHEDULE, X, X, 40, 50).var)  # cut at T
    explicit = np.arange(51.0)
    assert var(30, explicit, s=10) == var(30, explicit, s=0) == 30


def test_at_the_true_x_0_it_is_the_posterior():
    x_0 = batch((2, 3), "numpy64", 9)
    p, q = reverse_transition(SCHEDULE, Prediction(x_0, X), X, 4, 5), posterior(SCHEDULE, x_0, X, 4, 5)
    np.testing.assert_array_equal(p.mean, q.mean)
    assert p.var == q.var


def test_rows_of_times_and_torch():
    s, t = np.array([0, 6]), np.array([1, 9])
    for variance in ("small", "large", "learned", list(BETAS + 0.1), torch.from_numpy(BETAS + 0.1).requires_grad_()):
        mix = np.full(X.shape, 0.4)
        both = reverse_transition(SCHEDULE, Prediction(X, X, mix), X, s, t, variance)
        tensors = (torch.from_numpy(a) for a in (X, X, mix))
        other = reverse_transition(SCHEDULE, Prediction(*tensors), torch.from_numpy(X), s, torch.from_numpy(t), variance)
        np.testing.assert_allclose(np.broadcast_to(both.var, X.shape), np.broadcast_to(np.asarray(other.var), X.shape), rtol=1e-12)
        np.testing.assert_allclose(both.mean, other.mean, rtol=1e-12)
        for i in range(2):
            one = reverse_transition(SCHEDULE, Prediction(X[i:][:1], None, mix[:1]), X[i:][:1], int(s[i]), int(t[i]), variance)
            np.testing.assert_allclose(np.broadcast_to(both.var, X.shape)[i], np.broadcast_to(one.var, (1, 3))[0], rtol=1e-12)


def test_learned_variance_has_gradients():
    mix = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    p = reverse_transition(SCHEDULE, Prediction(torch.from_numpy(X), None, mix), torch.from_numpy(X), 4, 5, "learned")
    p.var.log().sum().backward()
    np.testing.assert_allclose(mix.grad, np.log(BETAS[5] / TILDE[5]) / 2, rtol=1e-10)


@pytest.mark.parametrize("var", [0.0, 0.25, 1.0, 4.0])
def test_optimal_variance_of_gaussian_data_is_that_of_the_true_kernel(var):
    """tau_t^2 = beta_t v_{t-1} / v_t, v_t = abar_t s^2 + 1 - abar_t: beta-tilde for a point, beta for N(0, I), more for wider data."""
    v = ABAR * var + 1 - ABAR
    table = optimal_variance(SCHEDULE, np.r_[0, (var * (1 - ABAR) / v)[1:]] if var else np.zeros(51))
    np.testing.assert_allclose(table[1:], BETAS[1:] * v[:-1] / v[1:], rtol=1e-10, atol=1e-15)
    assert table.shape == (51,) and table.dtype == np.float64 and table[0] == 0
    if var == 0:
        np.testing.assert_allclose(table[1:], TILDE[1:], rtol=1e-10, atol=1e-15)
    if var == 1:
        np.testing.assert_allclose(table[1:], BETAS[1:], rtol=1e-10)


@pytest.mark.parametrize("t", [1, 2, 20])
def test_no_other_variance_gives_a_smaller_term(t):
    """The mean of the bound's term over many draws, minimised over one number by scipy: a mixture, and its mean posterior variance."""
    data = GaussianMixture([0.3, 0.7], [[-0.5], [0.6]], [0.04, 0.1])
    rng = np.random.default_rng(10)
    x_0, signal, noise = data.sample(20_000, rng), *SCHEDULE.scales(t)
    x_t = marginal(SCHEDULE, x_0, t).sample(rng.standard_normal(x_0.shape))
    pred = ExactDenoiser(data, SCHEDULE)(x_t, t)

    def mean_term(log_var):
        table = np.full(51, np.exp(log_var))
        if t == 1:
            return density_term(SCHEDULE, pred, x_0, x_t, table).mean()
        return step_term(SCHEDULE, pred, x_0, x_t, t - 1, t, table).mean()

    best = np.exp(minimize_scalar(mean_term, bounds=(np.log(BETAS[t]) - 4, np.log(BETAS[t]) + 3), method="bounded").x)
    mmse = np.zeros(51)
    mmse[t] = ((x_0 - pred.x_0) ** 2).mean()  # of these draws, as the term is
    assert optimal_variance(SCHEDULE, mmse)[t] == pytest.approx(best, rel=1e-4)
    assert mmse[t] == pytest.approx(data.posterior(x_t, signal, noise**2)[1].mean(), rel=0.05)


def test_optimal_variance_is_taken_by_reverse_transition_and_from_any_list():
    mmse = np.linspace(0, 0.2, 51)
    table = optimal_variance(SCHEDULE, mmse)
    for other in (mmse.tolist(), torch.from_numpy(mmse), np.r_[np.nan, mmse[1:]]):  # entry 0 is not looked at
        np.testing.assert_array_equal(optimal_variance(SCHEDULE, other), table)
    assert var(7, table) == table[7]
    np.testing.assert_allclose(optimal_variance(Schedule.from_betas([0.3]), [0, 0.7]), [0, 0.7], rtol=1e-12)


def test_t_1_of_a_schedule_of_one_step():
    with pytest.raises(ValueError, match="array of shape"):
        fixed_variance(Schedule.from_betas([0.1]), 0, 1, "small")
    pred, x = Prediction(X, X), X
    assert reverse_transition(Schedule.from_betas([0.1]), pred, x, 0, 1, [0, 0.7]).var == 0.7
