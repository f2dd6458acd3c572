"""Samplers: the contract, and exact linear recursions on Gaussian data."""

import itertools

import numpy as np
import pytest
import torch

from minidiff import (
    ClassDenoiser,
    Clipped,
    ExactDenoiser,
    GaussianMixture,
    Guided,
    Label,
    Prediction,
    Schedule,
    Step,
    ddim,
    ddpm,
    dpm_solver,
    heun,
    last,
    posterior,
)
from minidiff.arrays import normal
from minidiff.learn import NetworkDenoiser
from minidiff.nn import MLP
from minidiff.toy import ring
from tests.contracts import CountingDraw, batch, check_sampler, numbers

SCHEDULE = Schedule.linear(40, 0.01, 0.2)
NOISY, QUIET, TWO_ENDS = {"noisy": True}, {"noisy": False}, {"noisy": False, "ends": 2}
SAMPLERS = {
    "ddpm": (lambda d, x, times, draw, cond: ddpm(d, x, times, draw, cond), NOISY),
    "ddpm large": (lambda d, x, times, draw, cond: ddpm(d, x, times, draw, cond, variance="large"), NOISY),
    "ddpm array": (lambda d, x, times, draw, cond: ddpm(d, x, times, draw, cond, variance=np.full(41, 0.1)), NOISY),
    "ddim": (lambda d, x, times, draw, cond: ddim(d, x, times, draw, cond), QUIET),
    "ddim 0.5": (lambda d, x, times, draw, cond: ddim(d, x, times, draw, cond, eta=0.5), NOISY),
    "ddim 1": (lambda d, x, times, draw, cond: ddim(d, x, times, draw, cond, eta=1), NOISY),
    "dpm_solver": (lambda d, x, times, draw, cond: dpm_solver(d, x, times, cond), QUIET),
    "dpm_solver 1": (lambda d, x, times, draw, cond: dpm_solver(d, x, times, cond, order=1), QUIET),
    "heun": (lambda d, x, times, draw, cond: heun(d, x, times, cond), TWO_ENDS),
}
ARRAYS = ["numpy32", "numpy64", "torch32", "torch64"]


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_contract(name, array):
    sampler, kind = SAMPLERS[name]
    check_sampler(sampler, ExactDenoiser(ring(), SCHEDULE), batch((5, 2), array), **kind)


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_contract_with_a_condition(name, array):
    """Every call of the denoiser is told the condition: guided, with exact classes."""
    sampler, kind = SAMPLERS[name]
    classes = ClassDenoiser([ring(3), ring(5, radius=0.4)], [0.5, 0.5], SCHEDULE)
    check_sampler(sampler, Guided(classes, 1.5), batch((5, 2), array), Label(1), **kind)


@pytest.mark.parametrize("name", SAMPLERS)
def test_contract_with_a_network(name):
    torch.manual_seed(0)
    sampler, kind = SAMPLERS[name]
    check_sampler(sampler, Clipped(NetworkDenoiser(MLP(width=16), SCHEDULE)), batch((3, 2), "torch32").requires_grad_(), **kind)


def test_ddim_at_eta_1_is_ddpm_with_the_small_variance():
    x = batch((50, 2), "numpy64")
    a = list(ddim(ExactDenoiser(ring(), SCHEDULE), x, SCHEDULE.times(13), CountingDraw(), eta=1))
    b = list(ddpm(ExactDenoiser(ring(), SCHEDULE), x, SCHEDULE.times(13), CountingDraw()))
    for one, two in zip(a, b, strict=True):
        np.testing.assert_allclose(one.x_t, two.x_t, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_one_ddim_step_by_equation_12(eta):
    s, t = 11, 23
    x, z = batch((4, 2), "numpy64", 1), batch((4, 2), "numpy64", 2)
    pred = ExactDenoiser(ring(), SCHEDULE)(x, t)
    a_s, a_t = SCHEDULE.alpha_bar[[s, t]]
    sigma = eta * np.sqrt((1 - a_s) / (1 - a_t)) * np.sqrt(1 - a_t / a_s)  # Eq. 16
    by_hand = np.sqrt(a_s) * pred.x_0 + np.sqrt(1 - a_s - sigma**2) * pred.eps + sigma * z
    steps = list(ddim(ExactDenoiser(ring(), SCHEDULE), x, [t, s], lambda _: z, eta=eta))
    np.testing.assert_allclose(steps[1].x_t, by_hand, rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(steps[1].x_0, pred.x_0)


def test_one_ddpm_step_is_the_posterior_at_the_guess():
    s, t = 11, 23
    x, z = batch((4, 2), "numpy64", 1), batch((4, 2), "numpy64", 2)
    q = posterior(SCHEDULE, ExactDenoiser(ring(), SCHEDULE)(x, t).x_0, x, s, t)
    steps = list(ddpm(ExactDenoiser(ring(), SCHEDULE), x, [t, s], lambda _: z))
    np.testing.assert_allclose(steps[1].x_t, q.sample(z), rtol=1e-13)


def recursion(sigma, m=0.8, s2=0.25):
    """Mean and variance of ancestral sampling with the exact denoiser on N(m, s2): equations B1, D22."""
    a, beta = SCHEDULE.alpha_bar, SCHEDULE.beta
    v = a * s2 + 1 - a
    mu, V = 0.0, 1.0
    for t in range(SCHEDULE.T, 0, -1):
        G = np.sqrt(1 - beta[t]) * v[t - 1] / v[t]
        mu, V = np.sqrt(a[t - 1]) * m + G * (mu - np.sqrt(a[t]) * m), G**2 * V + (sigma[t] if t > 1 else 0)
    return mu, V


@pytest.mark.parametrize("variance", ["small", "large", "array"])
def test_ancestral_sampling_of_gaussian_data_follows_the_exact_recursion(variance):
    a, beta = SCHEDULE.alpha_bar, SCHEDULE.beta
    table = {"large": beta, "array": np.full(41, 0.02)}.get(variance)
    sigma = np.concatenate([[0], (1 - a[:-1]) / (1 - a[1:]) * beta[1:]]) if table is None else table
    mu, V = recursion(sigma)
    n, rng = 60_000, np.random.default_rng(3)
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[0.8]], [0.25]), SCHEDULE)
    chosen = table if variance == "array" else variance
    x = last(ddpm(denoiser, rng.standard_normal((n, 1)), SCHEDULE.times(40), normal(rng), variance=chosen))[:, 0]
    assert abs(x.mean() - mu) < 5 * np.sqrt(V / n) and abs(x.var() - V) < 5 * V * np.sqrt(2 / n)
    if variance != "array":  # the other fixed variance would have been seen: the test has power
        other = recursion(beta if variance == "small" else np.concatenate([[0], (1 - a[:-1]) / (1 - a[1:]) * beta[1:]]))[1]
        assert abs(other - V) > 10 * V * np.sqrt(2 / n)


def test_deterministic_ddim_on_gaussian_data_approaches_the_exact_flow():
    m, s2, schedule = 0.8, 0.25, Schedule.linear()
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[m]], [s2]), schedule)
    x = np.linspace(-2, 2, 9)[:, None]
    a = schedule.alpha_bar[-1]
    flow = m + np.sqrt(s2) * (x - np.sqrt(a) * m) / np.sqrt(a * s2 + 1 - a)
    errors = [np.abs(last(ddim(denoiser, x, schedule.times(n))) - flow).max() for n in (125, 250, 500)]
    assert errors[2] < 0.01 and all(1.6 < e / f < 2.4 for e, f in itertools.pairwise(errors))  # first order


def test_ddim_ends_on_the_prediction_exactly():
    x = batch((6, 2), "torch32")
    denoiser = ExactDenoiser(ring(), SCHEDULE)
    for eta in (0.0, 1.0):
        *_, before, end = ddim(denoiser, x, SCHEDULE.times(7), normal(np.random.default_rng(0)), eta=eta)
        assert torch.equal(end.x_t, denoiser(before.x_t, before.t).x_0)


def test_torch_and_numpy_walk_the_same_path():
    x = batch((6, 2), "numpy64")
    denoiser = ExactDenoiser(ring(), SCHEDULE)
    for sampler in (ddpm, lambda *a: ddim(*a, eta=0.7)):
        a = sampler(denoiser, x, SCHEDULE.times(20), normal(np.random.default_rng(1)))
        b = sampler(denoiser, torch.from_numpy(x), SCHEDULE.times(20), normal(np.random.default_rng(1)))
        for one, two in zip(a, b, strict=True):
            np.testing.assert_allclose(one.x_t, numbers(two.x_t), rtol=1e-8, atol=1e-9)


def test_learned_variance_and_condition_reach_the_sampler():
    class Learned:
        schedule = SCHEDULE

        def __call__(self, x_t, t, cond=None):
            assert cond == "a label"
            pred = ExactDenoiser(ring(), SCHEDULE)(x_t, t)
            return Prediction(pred.x_0, pred.eps, np.ones_like(x_t))

    x = batch((4, 2), "numpy64")
    a = last(ddpm(Learned(), x, SCHEDULE.times(40), CountingDraw(), "a label", variance="learned"))
    b = last(ddpm(ExactDenoiser(ring(), SCHEDULE), x, SCHEDULE.times(40), CountingDraw(), variance="large"))
    np.testing.assert_allclose(a, b, rtol=1e-9)
    assert Guided(Learned(), 2.0).schedule is SCHEDULE


def test_T_1_and_last():
    schedule = Schedule.from_betas([0.5])
    x = batch((3, 2), "numpy64")
    denoiser = ExactDenoiser(ring(), schedule)
    one = [1, 0]
    for steps in (ddpm(denoiser, x, one, CountingDraw()), ddim(denoiser, x, one), dpm_solver(denoiser, x, one), heun(denoiser, x, one)):
        np.testing.assert_array_equal(last(steps), denoiser(x, 1).x_0)
    assert last([Step(0, x, None)]) is x
    with pytest.raises(ValueError, match="yielded nothing"):
        last([])
