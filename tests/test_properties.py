"""Properties of the core on random schedules, pairs of times, shapes, dtypes and libraries (Hypothesis, deterministic)."""

from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from minidiff import (
    Clipped,
    ExactDenoiser,
    Gaussian,
    GaussianMixture,
    Prediction,
    Schedule,
    ddim,
    ddpm,
    dpm_solver,
    flow_log_prob,
    from_output,
    heun,
    inpaint,
    marginal,
    posterior,
    reverse_transition,
    step_term,
    target,
    transition,
    variational_bound,
)
from minidiff.arrays import is_torch, normal
from minidiff.bound import density_term
from minidiff.prediction import KINDS
from minidiff.toy import quantise
from tests.contracts import DTYPES, batch, numbers

KINDS_OF_ARRAY = st.sampled_from(sorted(DTYPES))
SHAPES = st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple)
SEEDS = st.integers(0, 1000)
# -log(1 - beta) of every step: from nearly nothing to nearly everything
STEPS = st.lists(st.floats(1e-6, 3.0), min_size=2, max_size=12)
MIXTURE = GaussianMixture([0.3, 0.7], [[-0.5, 0.2], [0.6, -0.1]], [[[0.1, 0.05], [0.05, 0.2]], [[0.02, 0], [0, 0.3]]])


@st.composite
def schedules(draw):
    return Schedule(np.exp(-np.concatenate([[0.0], np.cumsum(draw(STEPS))])))


@st.composite
def pairs(draw, low=0):
    """A schedule with s < t."""
    schedule = draw(schedules())
    s = draw(st.integers(low, schedule.T - 1))
    return schedule, s, draw(st.integers(s + 1, schedule.T))


def eps_of(x):
    return 1e-9 if x.dtype in (np.float64, torch.float64) else 1e-3


def same_kind(a, x):
    return is_torch(a) == is_torch(x) and a.dtype == x.dtype and a.shape == x.shape


@given(pairs(), SHAPES, KINDS_OF_ARRAY, SEEDS)
def test_marginal_then_transition_is_marginal(pair, shape, kind, seed):
    schedule, s, t = pair
    x = batch(shape, kind, seed)
    near, far, step = marginal(schedule, x, s), marginal(schedule, x, t), transition(schedule, x, s, t)
    assert same_kind(near.mean, x) and same_kind(far.mean, x) and same_kind(step.mean, x)
    both = near.push(schedule.alpha_bar_ts(s, t) ** 0.5, step.var)
    np.testing.assert_allclose(numbers(both.mean), numbers(far.mean), rtol=1e-5, atol=eps_of(x))
    np.testing.assert_allclose(both.var, far.var, rtol=1e-9)
    assert 0 <= near.var < far.var <= 1 and 0 < step.var <= 1
    assert same_kind(far.sample(x), x)


@given(pairs(), SHAPES, KINDS_OF_ARRAY, SEEDS)
def test_posterior_lies_between_and_is_narrower(pair, shape, kind, seed):
    schedule, s, t = pair
    x_0, x_t = batch(shape, kind, seed), batch(shape, kind, seed + 1)
    q = posterior(schedule, x_0, x_t, s, t)
    assert same_kind(q.mean, x_0)
    assert 0 <= q.var <= schedule.beta_ts(s, t) * (1 + 1e-12) and q.var <= marginal(schedule, x_0, s).var * (1 + 1e-9)
    assert (q.var == 0) == (s == 0)
    # Linear in both ends with positive weights: larger ends, larger mean.
    assert (posterior(schedule, x_0 + 1, x_t, s, t).mean >= q.mean).all() and (
        posterior(schedule, x_0, x_t + 1, s, t).mean >= q.mean
    ).all()
    # On the noiseless line x_t = signal_t c it stays on the line.
    line = posterior(schedule, x_0, marginal(schedule, x_0, t).mean, s, t).mean
    np.testing.assert_allclose(numbers(line), numbers(marginal(schedule, x_0, s).mean), rtol=1e-4, atol=eps_of(x_0))


@given(schedules(), SHAPES, KINDS_OF_ARRAY, SEEDS, st.data())
def test_a_row_of_times_is_a_loop(schedule, shape, kind, seed, data):
    B = shape[0]
    t = data.draw(st.lists(st.integers(1, schedule.T), min_size=B, max_size=B))
    s = [data.draw(st.integers(0, i - 1)) for i in t]
    x_0, x_t = batch(shape, kind, seed), batch(shape, kind, seed + 1)
    q = posterior(schedule, x_0, x_t, s, np.array(t))
    for i in range(B):
        one = posterior(schedule, x_0[i : i + 1], x_t[i : i + 1], s[i], t[i])
        np.testing.assert_allclose(numbers(q.mean)[i], numbers(one.mean)[0], rtol=1e-5, atol=1e-7)
        assert np.reshape(q.var, -1)[i] == one.var


@given(schedules(), SHAPES, KINDS_OF_ARRAY, SEEDS, st.sampled_from(KINDS), st.data())
def test_from_output_of_target_is_where_we_began(schedule, shape, kind, seed, param, data):
    t = data.draw(st.integers(1, schedule.T))
    signal, noise = schedule.scales(t)
    x_0, eps = batch(shape, kind, seed), batch(shape, kind, seed + 1)
    x_t = marginal(schedule, x_0, t).sample(eps)
    pred = from_output(param, target(param, x_0, eps, signal, noise), x_t, signal, noise)
    assert same_kind(pred.x_0, x_0) and same_kind(pred.eps, x_0)
    # The one that is divided out carries the rounding of x_t, magnified by 1 / signal or 1 / noise.
    unit = np.finfo(np.float64 if kind.endswith("64") else np.float32).eps
    np.testing.assert_allclose(numbers(pred.x_0), numbers(x_0), atol=40 * unit / signal)
    np.testing.assert_allclose(numbers(pred.eps), numbers(eps), atol=40 * unit / noise)


@given(st.integers(1, 300), st.data())
def test_times(T, data):
    n = data.draw(st.integers(1, T))
    schedule = Schedule.cosine(T)
    for spacing in ("trailing", "quadratic"):
        times = schedule.times(n, spacing)
        assert len(times) == n + 1 and times[0] == T and times[-1] == 0 and all(a > b for a, b in pairwise(times))
        assert schedule.check_times(times) == times
    assert (schedule.beta[1:] > 0).all() and (schedule.beta < 1).all() and (np.diff(schedule.snr(np.arange(1, T + 1))) < 0).all()


@given(SHAPES, KINDS_OF_ARRAY, SEEDS, st.floats(1e-4, 1e4), st.floats(1e-4, 1e4), st.floats(-3, 3))
def test_kl_is_not_negative_and_zero_only_at_home(shape, kind, seed, v, w, shift):
    mean = batch(shape, kind, seed)
    p, q = Gaussian(mean, v), Gaussian(mean + shift, w)
    assert same_kind(p.kl(q), mean) and (p.kl(q) >= -1e-12).all() and (p.kl(p) == 0).all()
    if abs(np.log(v / w)) > 0.01 or abs(shift) > 0.1 * w**0.5:
        assert (p.kl(q) > 0).all()


@given(SHAPES, SEEDS, st.floats(1e-3, 10), st.floats(1e-3, 10), st.floats(-3, 3))
def test_bayes_product_of_densities(shape, seed, v, w, scale):
    """log p(x) + log p(y | x) = log p(y) + log p(x | y), for every x and y."""
    m, x, y = (batch(shape, "numpy64", seed + i) for i in range(3))
    prior = Gaussian(m, v)
    left = prior.log_prob(x) + Gaussian(scale * x, w).log_prob(y)
    right = prior.push(scale, w).log_prob(y) + prior.given(scale, w, y).log_prob(x)
    np.testing.assert_allclose(left, right, rtol=1e-8, atol=1e-8)


@given(pairs(low=1), SHAPES, KINDS_OF_ARRAY, SEEDS, st.sampled_from(["small", "large", "learned", "array"]))
def test_step_terms_are_finite_and_not_negative(pair, shape, kind, seed, variance):
    schedule, s, t = pair
    x_0, x_t, guess, mix = (batch(shape, kind, seed + i) for i in range(4))
    choice = schedule.beta + 0.01 if variance == "array" else variance
    pred = Prediction(guess, guess, mix)
    term = step_term(schedule, pred, x_0, x_t, s, t, choice)
    assert term.shape == shape[:1] and term.dtype == x_0.dtype and np.isfinite(numbers(term)).all()
    assert (numbers(term) >= -(1e-12 if kind.endswith("64") else 1e-4)).all()
    exact = step_term(schedule, Prediction(x_0, x_0), x_0, x_t, s, t)
    assert (numbers(exact) == 0).all()
    p = reverse_transition(schedule, pred, x_t, s, t, "small").var, reverse_transition(schedule, pred, x_t, s, t, "large").var
    assert 0 < p[0] <= p[1] * (1 + 1e-12)


@given(schedules(), KINDS_OF_ARRAY, SEEDS, st.sampled_from(["small", "large"]), st.booleans(), st.data())
def test_the_bound_is_finite_on_any_schedule_and_grid(schedule, kind, seed, variance, pixels, data):
    inner = data.draw(st.sets(st.integers(1, schedule.T - 1), min_size=1))
    times = [schedule.T, *sorted(inner, reverse=True), 0]
    x_0 = quantise(batch((3, 2), "numpy64", seed) / 2)
    x_0 = torch.from_numpy(x_0).to(DTYPES[kind]) if kind.startswith("torch") else x_0.astype(DTYPES[kind])
    decoder = {} if pixels else {"decoder": density_term}
    b = variational_bound(ExactDenoiser(MIXTURE, schedule), x_0, normal(np.random.default_rng(seed)), variance, times, **decoder)
    assert b.steps.shape == (len(inner), 3) and b.times == tuple(times[:-2])
    for part in (b.prior, b.steps, b.decoder, b.total):
        assert part.dtype == x_0.dtype and np.isfinite(numbers(part)).all()
    tolerance = 1e-9 if kind.endswith("64") else 1e-3
    assert (numbers(b.prior) >= -tolerance).all() and (numbers(b.steps) >= -tolerance).all()
    assert not pixels or (numbers(b.decoder) >= -tolerance).all()


@st.composite
def grids(draw):
    """A schedule with two or more of its times, in the order of a sampler."""
    schedule = draw(schedules())
    return schedule, sorted(draw(st.sets(st.integers(0, schedule.T), min_size=2)), reverse=True)


@given(grids(), KINDS_OF_ARRAY, SEEDS, st.floats(0, 1))
def test_samplers_on_any_grid(grid, kind, seed, eta):
    schedule, times = grid
    x = batch((3, 2), kind, seed)
    denoiser = Clipped(ExactDenoiser(MIXTURE, schedule))
    for steps in (
        ddpm(denoiser, x, times, normal(np.random.default_rng(seed))),
        ddim(denoiser, x, times, normal(np.random.default_rng(seed)), eta=eta),
        dpm_solver(denoiser, x, times),
        dpm_solver(denoiser, x, times, order=1),
        heun(denoiser, x, times),
    ):
        seen = list(steps)
        assert [s.t for s in seen] == times and all(same_kind(s.x_t, x) and np.isfinite(numbers(s.x_t)).all() for s in seen)
        if times[-1] == 0:
            assert (abs(seen[-1].x_t) <= 1).all()


@given(grids(), KINDS_OF_ARRAY, SEEDS, st.integers(1, 3), st.data())
def test_inpainting_on_any_grid(grid, kind, seed, resample, data):
    schedule, times = grid
    x, known = batch((3, 2), kind, seed), batch((3, 2), kind, seed + 1)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=6, max_size=6))).reshape(3, 2)
    where = torch.from_numpy(mask) if is_torch(x) else mask
    known[~where] = float("nan")
    draw = normal(np.random.default_rng(seed))
    seen = list(inpaint(Clipped(ExactDenoiser(MIXTURE, schedule)), x, times, draw, known, where, resample=resample))
    assert [s.t for s in seen] == times and all(same_kind(s.x_t, x) and np.isfinite(numbers(s.x_t)).all() for s in seen)
    assert (seen[0].x_t == x)[~where].all()
    if times[-1] == 0:
        assert (seen[-1].x_t == known)[where].all() and (abs(seen[-1].x_t[~where]) <= 1).all()


@given(grids(), SEEDS)
def test_numpy_and_torch_sample_alike(grid, seed):
    """float64 in both libraries: the same numbers but for rounding, magnified at most by 1 / signal at each step."""
    schedule, times = grid
    x, mask, denoiser = batch((3, 2), "numpy64", seed), np.tile([True, False], (3, 1)), ExactDenoiser(MIXTURE, schedule)
    for sampler in (
        lambda x, _: dpm_solver(denoiser, x, times),
        lambda x, _: heun(denoiser, x, times),
        lambda x, mask: inpaint(denoiser, x, times, normal(np.random.default_rng(seed)), x, mask, resample=2),
    ):
        pairs = zip(sampler(x, mask), sampler(torch.from_numpy(x), torch.from_numpy(mask)), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a.x_t, numbers(b.x_t), rtol=1e-6, atol=1e-6)


@settings(max_examples=25)
@given(grids(), KINDS_OF_ARRAY, SEEDS)
def test_likelihoods_on_any_grid(grid, kind, seed):
    """One number for each example, of the kind of the points, finite, and the same in both libraries."""
    schedule, times = grid
    x, denoiser = batch((3, 2), kind, seed), ExactDenoiser(MIXTURE, schedule)
    got = flow_log_prob(denoiser, x, times=times)
    assert is_torch(got) == is_torch(x) and got.dtype == x.dtype and got.shape == (3,) and np.isfinite(numbers(got)).all()
    double = flow_log_prob(denoiser, batch((3, 2), "torch64", seed), times=times)
    tolerance = 0.05 if kind.endswith("32") else 1e-5
    np.testing.assert_allclose(numbers(got), numbers(double), rtol=tolerance, atol=tolerance)


@given(schedules(), SEEDS, st.data())
def test_posterior_covariance_of_a_mixture_is_one(schedule, seed, data):
    """A covariance: symmetric, with no negative direction, at every t of every schedule."""
    t = data.draw(st.integers(1, schedule.T))
    signal, noise = schedule.scales(t)
    x = 3 * batch((4, 2), "numpy64", seed)
    mean, cov = MIXTURE.posterior(x, signal, noise**2)
    assert mean.shape == (4, 2) and np.isfinite(mean).all()
    np.testing.assert_allclose(cov, cov.swapaxes(1, 2), atol=1e-12)
    assert (np.linalg.eigvalsh(cov) > -1e-12).all()
