"""The stratified bound against quadrature over every x_t at every t, and against the term-by-term bound."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from minidiff import (
    ExactDenoiser,
    GaussianMixture,
    Prediction,
    Schedule,
    density_term,
    marginal,
    prior_term,
    step_term,
    stratified_bound,
    variational_bound,
)
from minidiff.arrays import normal
from minidiff.estimate import BoundEstimate, strata_edges

SCHEDULE = Schedule.linear(30, 1e-3, 0.3)
DENOISER = ExactDenoiser(GaussianMixture([0.3, 0.7], [[-1.0], [0.8]], [0.01, 0.04]), SCHEDULE)
RNG = np.random.default_rng


def exact(x_0, variance):
    """E of the term of each t = 1..T for one 1-D x_0, and the prior as entry 0: Gauss-Hermite over the noise of x_t."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    x, terms = np.full((120, 1), x_0), [prior_term(SCHEDULE, np.array([[x_0]]))[0]]
    for t in range(1, SCHEDULE.T + 1):
        x_t = marginal(SCHEDULE, x, t).sample(nodes[:, None])
        pred = DENOISER(x_t, t)
        term = step_term(SCHEDULE, pred, x, x_t, t - 1, t, variance) if t > 1 else density_term(SCHEDULE, pred, x, x_t, variance)
        terms.append(weights @ term / weights.sum())
    return np.array(terms)


def off(variance, strata, estimate=stratified_bound):
    """Distances of the means over 20,000 draws from the exact expectations, in standard errors: total and each stratum, two x_0."""
    points, rng = (0.7, -1.1), RNG(0)
    got = estimate(DENOISER, np.repeat(points, 20_000)[:, None], normal(rng), rng, strata, variance, decoder=density_term)
    found = []
    for x_0, half in zip(points, (slice(20_000), slice(20_000, None)), strict=True):
        terms = exact(x_0, variance)
        rows = [(got.total[half], terms.sum())]
        rows += [(got.steps[0, k, half], terms[a:b].sum()) for k, (a, b) in enumerate(pairwise(got.edges))]
        found += [abs(row.mean() - want) / (row.std() / len(row) ** 0.5) for row, want in rows]
    return max(found)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("strata", [1, 4, 16, np.array([2, 3, 20, 31])])
def test_it_is_unbiased(variance, strata):
    assert off(variance, strata) < 4


@pytest.mark.parametrize("slip", [1, -1])
def test_the_test_above_would_see_a_wrong_weight(slip):
    """A stratum taken for one time longer, or shorter, than it is."""

    def wrong(*args, **kwargs):
        b = stratified_bound(*args, **kwargs)
        weight = np.ones((1, b.steps.shape[1], 1))
        weight[:, 1] += slip / (b.edges[2] - b.edges[1])
        return BoundEstimate(b.prior, b.steps * weight, b.decoder, b.edges)

    assert off("small", 4, wrong) > 8


def test_with_a_stratum_for_each_time_nothing_is_left_to_chance_but_the_noise():
    """Every t once: the very terms of `variational_bound`, the same noise given to the same t."""
    x = 0.5 * RNG(1).standard_normal((6, 2))
    both = ExactDenoiser(GaussianMixture([1.0], [[0.1, 0.2]], [0.3]), SCHEDULE)
    noises = [RNG(2).standard_normal((6, 2)) * (1 + k / 10) for k in range(SCHEDULE.T)]
    up, down = iter([*noises[1:], noises[0]]), iter(noises[::-1])
    got = stratified_bound(both, x, lambda _: next(up), RNG(3), np.arange(2, SCHEDULE.T + 2), decoder=density_term)
    want = variational_bound(both, x, lambda _: next(down), decoder=density_term)
    np.testing.assert_allclose(got.steps[0], want.steps[::-1], rtol=1e-10)
    np.testing.assert_allclose(got.total, want.total, rtol=1e-10)
    np.testing.assert_allclose(got.decoder[0], want.decoder)


class Spy:
    """Counts calls and notes the times asked for."""

    schedule = SCHEDULE

    def __init__(self):
        self.times = []

    def __call__(self, x_t, t, cond=None):
        assert cond == "told"
        self.times.append(np.broadcast_to(t, len(x_t)))
        return Prediction(0 * x_t, 0 * x_t)


def test_each_example_has_its_own_time_uniform_in_each_stratum_and_calls_are_few():
    spy, rng = Spy(), RNG(4)
    got = stratified_bound(spy, np.zeros((30_000, 1)), normal(rng), rng, np.array([2, 3, 10, 31]), "small", "told", 2, density_term)
    assert len(spy.times) == 2 * 4 and got.steps.shape == (2, 3, 30_000) and got.decoder.shape == (2, 30_000)
    for row, (low, high) in zip(spy.times[:4], ((2, 3), (3, 10), (10, 31), (1, 2)), strict=True):
        counts = np.bincount(row - low, minlength=high - low)
        assert len(counts) == high - low and np.abs(counts - 30_000 / (high - low)).max() < 5 * (30_000 / (high - low)) ** 0.5


def test_noise_is_the_standard_error_of_the_mean_on_the_same_examples():
    B, groups, rng = 12, 2000, RNG(8)
    x = np.tile(np.repeat([[0.7], [-1.1], [0.3]], 4, axis=0), (groups, 1))
    got = stratified_bound(DENOISER, x, normal(rng), rng, 4, decoder=density_term, repeats=3)
    parts = [slice(i, i + B) for i in range(0, len(x), B)]
    noises = [BoundEstimate(got.prior[p], got.steps[:, :, p], got.decoder[:, p], got.edges).noise for p in parts]
    means = [got.total[p].mean() for p in parts]
    # a standard deviation of 2000 numbers is known to about 1 / sqrt(4000) = 1.6 %, a little worse for long tails
    assert np.std(means) == pytest.approx(np.mean(np.square(noises)) ** 0.5, rel=0.08)
    with pytest.raises(ValueError, match="two or more; got repeats = 1"):
        _ = stratified_bound(DENOISER, x[:2], normal(rng), rng, 4, decoder=density_term).noise


def test_strata_cover_every_time_once():
    for T in (2, 3, 30, 1000, 4000):
        for n in (1, 2, 16, 5000):
            edges = strata_edges(T, n)
            assert edges[0] == 2 and edges[-1] == T + 1 and (np.diff(edges) >= 1).all() and len(edges) - 1 <= min(n, T - 1)
    widths = np.diff(strata_edges(1000, 16))
    assert (np.diff(widths[4:]) > 0).all() and widths[0] == 1  # fine near the data, where the terms are large


def test_torch_and_numpy_agree_and_dtype_is_kept():
    x = 0.5 * RNG(5).standard_normal((4, 1))
    noise = RNG(6).standard_normal((40, 4, 1))

    def run(x, noise):
        rows = iter(noise)
        return stratified_bound(DENOISER, x, lambda _: next(rows), RNG(7), 8, decoder=density_term)

    want = run(x, noise)
    for dtype in (torch.float32, torch.float64):
        got = run(torch.from_numpy(x).to(dtype), torch.from_numpy(noise).to(dtype))
        assert got.total.dtype == dtype
        np.testing.assert_allclose(got.total, want.total, rtol=1e-3 if dtype == torch.float32 else 1e-8)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"strata": 0}, "strata must be at least 1; got 0"),
        ({"strata": [2, 10]}, "increase from 2 to T . 1 = 31"),
        ({"strata": np.array([1, 31])}, "increase from 2 to T . 1 = 31"),
        ({"strata": np.array([2, 5, 5, 31])}, "increase from 2"),
        ({"strata": np.array([2.0, 31.0])}, "increase from 2"),
        ({"strata": True}, "increase from 2"),
        ({"repeats": 0}, "repeats must be an int >= 1; got 0"),
    ],
)
def test_bad_input_is_named(kwargs, message):
    with pytest.raises(ValueError, match=message):
        stratified_bound(DENOISER, np.zeros((2, 1)), normal(RNG(0)), RNG(0), **{"decoder": density_term, **kwargs})
    with pytest.raises(ValueError, match="need T >= 2"):
        strata_edges(1)
    with pytest.raises(TypeError, match="draw must be a function"):
        stratified_bound(DENOISER, np.zeros((2, 1)), RNG(0), RNG(0))
