"""q against its derivation by push and given, Bayes on a grid, a chain of single steps, and fifty digits."""

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch

from minidiff import Gaussian, Schedule, marginal, posterior, transition
from minidiff.process import posterior_variance, posterior_weights

SCHEDULES = {"linear": Schedule.linear(), "cosine": Schedule.cosine(50), "short": Schedule([1.0, 0.7, 0.4, 0.05])}
PAIRS = [
    (name, s, t)
    for name, k in SCHEDULES.items()
    for s, t in {(0, 1), (0, k.T), (1, 2), (1, k.T), (k.T - 1, k.T), (k.T // 3, 2 * k.T // 3)}
]


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((4, 3)), rng.standard_normal((4, 3))


@pytest.mark.parametrize("name, s, t", PAIRS)
def test_closed_forms_are_what_push_and_given_derive(name, s, t):
    schedule, (x_0, x_t) = SCHEDULES[name], data()
    step = schedule.alpha_bar_ts(s, t) ** 0.5, schedule.beta_ts(s, t)
    q_s, q_t = marginal(schedule, x_0, s), marginal(schedule, x_0, t)
    derived = q_s.push(*step)  # Chapman-Kolmogorov
    np.testing.assert_allclose(derived.mean, q_t.mean, rtol=1e-12)
    np.testing.assert_allclose(derived.var, q_t.var, rtol=1e-12)
    moved = Gaussian(x_t, 0.0).push(*step)
    np.testing.assert_allclose(transition(schedule, x_t, s, t).mean, moved.mean, rtol=1e-12)
    np.testing.assert_allclose(transition(schedule, x_t, s, t).var, moved.var, rtol=1e-12)
    bayes, closed = q_s.given(*step, x_t), posterior(schedule, x_0, x_t, s, t)
    np.testing.assert_allclose(closed.mean, bayes.mean, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(closed.var, bayes.var, rtol=1e-12)


@pytest.mark.parametrize("t", [2, 5, 8])
def test_posterior_is_bayes_rule_on_a_grid(t):
    schedule, x_0, x_t = Schedule.linear(10, 0.05, 0.4), 0.6, -0.9
    betas = [0.05 + 0.35 * i / 9 for i in range(10)]
    before = np.prod([1 - b for b in betas[: t - 1]])
    x = np.linspace(-8, 8, 40_001)
    joint = scipy.stats.norm(np.sqrt(before) * x_0, np.sqrt(1 - before)).pdf(x)
    joint *= scipy.stats.norm(np.sqrt(1 - betas[t - 1]) * x, np.sqrt(betas[t - 1])).pdf(x_t)
    w = joint / joint.sum()
    q = posterior(schedule, np.array([[x_0]]), np.array([[x_t]]), t - 1, t)
    assert w @ x == pytest.approx(q.mean[0, 0], abs=1e-10) and w @ (x - w @ x) ** 2 == pytest.approx(q.var, rel=1e-9)


def test_marginal_is_a_chain_of_single_steps():
    x_0, _ = data()
    schedule = Schedule.linear(20, 0.01, 0.3)
    q = Gaussian(x_0, 0.0)
    for t in range(1, 21):
        beta = 0.01 + 0.29 * (t - 1) / 19
        q = q.push(np.sqrt(1 - beta), beta)  # Eq. 2, with betas that the schedule never saw
        np.testing.assert_allclose(marginal(schedule, x_0, t).mean, q.mean, rtol=1e-12)
        np.testing.assert_allclose(marginal(schedule, x_0, t).var, q.var, rtol=1e-12)


@pytest.mark.parametrize("s, t", [(0, 1), (1, 2), (499, 500), (10, 900), (999, 1000)])
def test_coefficients_against_fifty_digits(s, t):
    mpmath.mp.dps = 50
    schedule = Schedule.linear()
    a_s, a_t = (mpmath.mpf(float(schedule.alpha_bar[i])) for i in (s, t))
    beta = 1 - a_t / a_s
    c_0, c_t = posterior_weights(schedule, s, t)
    assert c_0 == pytest.approx(float(mpmath.sqrt(a_s) * beta / (1 - a_t)), rel=1e-12)
    assert c_t == pytest.approx(float(mpmath.sqrt(a_t / a_s) * (1 - a_s) / (1 - a_t)), rel=1e-12)
    assert posterior_variance(schedule, s, t) == pytest.approx(float((1 - a_s) / (1 - a_t) * beta), rel=1e-12)


@pytest.mark.parametrize("kind", [np.float32, np.float64, torch.float32, torch.float64])
def test_time_zero_is_the_data_exactly(kind):
    x_0, x_t = ((torch.from_numpy(x).to(kind) if isinstance(kind, torch.dtype) else x.astype(kind)) for x in data())
    for schedule in SCHEDULES.values():
        for t in range(1, min(schedule.T, 60) + 1):
            q = posterior(schedule, x_0, x_t, 0, t)
            assert (q.mean == x_0).all() and q.var == 0 and not np.signbit(q.var) and q.mean.dtype == x_0.dtype
    assert (marginal(schedule, x_0, 0).sample(x_t) == x_0).all()


def test_a_row_of_times_is_a_loop_in_both_libraries():
    schedule, (x_0, x_t) = Schedule.linear(100), data()
    s, t = np.array([0, 3, 50, 1]), np.array([1, 90, 51, 100])
    for same in (lambda x: x, torch.from_numpy):
        for q in (
            posterior(schedule, same(x_0), same(x_t), s, t),
            posterior(schedule, same(x_0), same(x_t), list(s), torch.from_numpy(t)),
        ):
            for i in range(4):
                alone = posterior(schedule, x_0[i : i + 1], x_t[i : i + 1], int(s[i]), int(t[i]))
                np.testing.assert_allclose(q.mean[i], alone.mean[0], rtol=1e-13)
                assert q.var[i, 0] == alone.var
    rows = transition(schedule, x_t, 0, t), marginal(schedule, x_t, t)  # from s = 0 a transition is the marginal
    np.testing.assert_allclose(rows[0].mean, rows[1].mean, rtol=1e-13)
    np.testing.assert_allclose(rows[0].var, rows[1].var, rtol=1e-13)


def test_pictures_and_integers():
    schedule = Schedule.linear(10)
    pixels = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    q = marginal(schedule, pixels, [1, 10])
    assert q.mean.shape == pixels.shape and q.mean.dtype == np.float64 and q.var.shape == (2, 1, 1, 1)
    np.testing.assert_allclose(q.mean[1], np.sqrt(schedule.alpha_bar[10]) * pixels[1])
    assert marginal(schedule, torch.ones(2, 3, dtype=torch.int64), 3).mean.dtype == torch.float32


def test_coefficients_stay_float64_until_they_meet_a_float32_tensor():
    schedule = Schedule.linear()
    x_0, x_t = (torch.from_numpy(x).float() for x in data())
    q = posterior(schedule, x_0, x_t, 1, 2)
    assert q.mean.dtype == torch.float32 and np.asarray(q.var).dtype == np.float64
    exact = posterior(schedule, x_0.double(), x_t.double(), 1, 2).mean
    np.testing.assert_allclose(q.mean, exact, rtol=0, atol=3e-7)


def test_gradients_flow_to_the_data():
    x = torch.ones(2, 3, requires_grad=True)
    marginal(Schedule.linear(), x, 500).mean.sum().backward()
    np.testing.assert_allclose(x.grad, np.full((2, 3), Schedule.linear().scales(500)[0]), rtol=1e-6)
