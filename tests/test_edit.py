"""Inpainting and partial noising: exact recursions on Gaussian data, the conditional law, and what must not change at all."""

import inspect
import math
from functools import partial
from itertools import pairwise

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
    Schedule,
    ddim,
    ddpm,
    heun,
    inpaint,
    last,
    start_from,
)
from minidiff.arrays import normal
from minidiff.learn import NetworkDenoiser
from minidiff.nn import UNet
from minidiff.toy import ring
from tests.contracts import DTYPES, CountingDraw, Watching, batch, numbers

SCHEDULE = Schedule.linear(25, 0.02, 0.45)
RHO, SEEN = 0.8, 1.3  # two unit normals of this correlation; the first coordinate is known to be 1.3
PAIR = GaussianMixture([1.0], [[0.0, 0.0]], [[[1, RHO], [RHO, 1]]])


def left(like):
    """The mask of the first coordinate."""
    mask = np.zeros(like.shape, dtype=bool)
    mask[:, 0] = True
    return torch.from_numpy(mask) if isinstance(like, torch.Tensor) else mask


def inpaint_pair(n, resample, seed, sampler=ddpm):
    rng = np.random.default_rng(seed)
    x, known = rng.standard_normal((n, 2)), np.full((n, 2), [SEEN, np.nan])
    denoiser = ExactDenoiser(PAIR, SCHEDULE)
    steps = inpaint(denoiser, x, SCHEDULE.times(25), normal(rng), known, left(x), resample=resample, sampler=sampler)
    return last(steps)[:, 1]


def recursion(resample):
    """Mean and variance of the unknown coordinate, step by step: every step is linear, and the known one is drawn afresh (B6, R01).

    q(x_s | x_t) by linear algebra on the joint covariance of (x_s, x_t); the sampler takes its mean, and beta-tilde for its variance.
    """
    a, C = SCHEDULE.alpha_bar, np.array([[1, RHO], [RHO, 1]])
    mean, var = 0.0, 1.0
    for t in range(25, 0, -1):
        s, ratio = t - 1, a[t] / a[t - 1]
        C_s, C_t = a[s] * C + (1 - a[s]) * np.eye(2), a[t] * C + (1 - a[t]) * np.eye(2)
        gain = math.sqrt(ratio) * C_s @ np.linalg.inv(C_t)
        tilde = (1 - a[s]) / (1 - a[t]) * (1 - ratio)  # 0 on the step to t = 0
        for again in range(resample if s > 0 else 1):  # the last step adds no noise, and is made once
            if again:
                mean, var = math.sqrt(ratio) * mean, ratio * var + 1 - ratio
            mean = gain[1, 0] * math.sqrt(a[t]) * SEEN + gain[1, 1] * mean
            var = gain[1, 0] ** 2 * (1 - a[t]) + gain[1, 1] ** 2 * var + tilde
    return mean, var


@pytest.mark.parametrize("resample", [1, 3, 10])
def test_replacement_follows_the_exact_recursion(resample):
    mean, var = recursion(resample)
    b = inpaint_pair(6000, resample, seed=resample)
    assert abs(b.mean() - mean) < 5 * math.sqrt(var / len(b)) and abs(b.var() - var) < 5 * var * math.sqrt(2 / len(b))


def test_resampling_brings_it_to_the_conditional_law_and_plain_replacement_does_not():
    """The bias of resample = 1 is what the docstring warns of: far beyond the noise of this test, and more steps would not help."""
    exact = PAIR.conditional([0], [SEEN])
    assert exact.means[0, 0] == pytest.approx(RHO * SEEN) and exact.covs[0, 0, 0] == pytest.approx(1 - RHO**2)
    misses = [abs(recursion(resample)[0] - RHO * SEEN) for resample in (1, 3, 10, 100)]
    assert misses[0] > 0.3 and all(a > b for a, b in pairwise(misses)) and misses[-1] < misses[0] / 5
    assert inpaint_pair(3000, 1, seed=5).mean() < RHO * SEEN - 0.2


@pytest.mark.parametrize("array", DTYPES)
@pytest.mark.parametrize("sampler", [ddpm, partial(ddpm, variance="large"), ddim, partial(ddim, eta=0.5)])
def test_the_known_part_comes_back_exactly_and_the_rest_of_known_is_not_read(sampler, array):
    x = batch((5, 2), array, 1)
    known = batch((5, 2), array, 2)
    known[:, 1] = math.nan
    seen = list(inpaint(ExactDenoiser(ring(), SCHEDULE), x, SCHEDULE.times(6), CountingDraw(), known, left(x), resample=2, sampler=sampler))
    assert [s.t for s in seen] == SCHEDULE.times(6)
    for step in seen:
        assert step.x_t.shape == x.shape and step.x_t.dtype == x.dtype and type(step.x_t) is type(x)
        assert np.isfinite(numbers(step.x_t)).all()
    assert (seen[-1].x_t[:, 0] == known[:, 0]).all() and (seen[-1].x_t[:, 1] == seen[-1].x_0[:, 1]).all()


def test_on_the_way_the_known_part_is_a_draw_of_its_own_marginal():
    """At level s, not t: N(sqrt(abar_s) x_0, 1 - abar_s), at the start too."""
    x, known = batch((4000, 2), "numpy64", 3), np.full((4000, 2), SEEN)
    for step in inpaint(ExactDenoiser(PAIR, SCHEDULE), x, [25, 10, 3, 0], CountingDraw(), known, left(x)):
        signal, noise = SCHEDULE.scales(step.t)
        part = step.x_t[:, 0]
        assert abs(part.mean() - signal * SEEN) <= 5 * noise / math.sqrt(4000) + 1e-12
        assert abs(part.var() - noise**2) <= 5 * noise**2 * math.sqrt(2 / 4000) + 1e-12


def test_by_hand_with_one_draw_for_all():
    """A slow loop of RePaint's Algorithm 1, number by number, with noise that is a function of the call alone."""
    times, U = [20, 8, 0], 2
    x, known, mask = batch((1, 2), "numpy64", 4), np.array([[0.7, 0.0]]), np.array([[True, False]])
    denoiser, a = ExactDenoiser(ring(3), SCHEDULE), SCHEDULE.alpha_bar
    calls = iter(batch((20, 1, 2), "numpy64", 5))
    got = [s.x_t[0].tolist() for s in inpaint(denoiser, x, times, lambda _: next(calls), known, mask, resample=U)]

    z = iter(batch((20, 2), "numpy64", 5).tolist())
    state = [math.sqrt(a[20]) * 0.7 + math.sqrt(1 - a[20]) * next(z)[0], x[0, 1]]
    by_hand = [state]
    for t, s in ((20, 8), (8, 0)):
        for again in range(U if s > 0 else 1):
            if again:
                noise = next(z)
                state = [math.sqrt(a[t] / a[s]) * state[i] + math.sqrt(1 - a[t] / a[s]) * noise[i] for i in range(2)]
            guess = denoiser(np.array([state]), t).x_0[0].tolist()
            if s == 0:
                new = guess
            else:
                noise = next(z)
                c_0 = math.sqrt(a[s]) * (1 - a[t] / a[s]) / (1 - a[t])
                c_t = math.sqrt(a[t] / a[s]) * (1 - a[s]) / (1 - a[t])
                std = math.sqrt((1 - a[s]) / (1 - a[t]) * (1 - a[t] / a[s]))
                new = [c_0 * guess[i] + c_t * state[i] + std * noise[i] for i in range(2)]
            state = [math.sqrt(a[s]) * 0.7 + math.sqrt(1 - a[s]) * next(z)[0], new[1]]
        by_hand.append(state)
    np.testing.assert_allclose(got, by_hand, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("array", DTYPES)
def test_with_nothing_known_it_is_the_sampler_and_with_all_known_the_picture(array):
    x, known = batch((4, 2), array, 6), batch((4, 2), array, 7)
    denoiser, times, nothing = Clipped(ExactDenoiser(ring(), SCHEDULE)), SCHEDULE.times(7), left(x) & ~left(x)
    plain = [s.x_t for s in ddim(denoiser, x, times)]
    free = [s.x_t for s in inpaint(denoiser, x, times, CountingDraw(), known, nothing, sampler=ddim)]
    assert all((a == b).all() for a, b in zip(plain, free, strict=True))
    assert (last(inpaint(denoiser, x, times, CountingDraw(), known, left(x) | ~left(x), resample=3)) == known).all()


def test_lazy_reproducible_and_without_gradients():
    torch.manual_seed(0)
    x, known = batch((2, 1, 4, 4), "torch32", 8).requires_grad_(), batch((2, 1, 4, 4), "torch32", 9).requires_grad_()
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[..., :2] = True
    watching = Watching(NetworkDenoiser(UNet(channels=(8, 8)), SCHEDULE))

    def run(seed=0):
        return inpaint(watching, x, [25, 12, 3, 0], CountingDraw(seed), known, mask, resample=3)

    steps = run()
    assert inspect.isgenerator(steps)
    assert next(steps).t == 25 and not watching.times
    seen = []
    for step, calls in zip(steps, (3, 6, 7), strict=True):
        assert len(watching.times) == calls and torch.is_grad_enabled()
        seen.append(step)
    assert watching.times == [25] * 3 + [12] * 3 + [3] and not any(watching.grad)
    assert not any(s.x_t.requires_grad for s in seen)
    assert torch.equal(last(run()), seen[-1].x_t) and not torch.equal(last(run(seed=1)), seen[-1].x_t)


def test_the_condition_reaches_every_try():
    classes = Watching(ClassDenoiser([ring(3), ring(5)], [0.5, 0.5], SCHEDULE))
    x = batch((3, 2), "numpy64", 10)
    last(inpaint(Guided(classes, 2.0), x, [25, 9, 0], CountingDraw(), x, left(x), Label(1), resample=2))
    assert [c.index for c in classes.conds] == [1, None] * 3  # two tries, and one on the step to 0


# -- from a picture instead of from noise ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", DTYPES)
def test_start_from_is_the_marginal_at_the_first_time_left(array):
    x_0, z = batch((3, 2), array, 11), batch((3, 2), array, 12)
    grid = SCHEDULE.times(10)
    x, times = start_from(SCHEDULE, x_0, grid, 0.6, lambda like: z)
    a = SCHEDULE.alpha_bar[times[0]]
    assert times == grid[4:] and len(times) - 1 == 6 and x.dtype == x_0.dtype and type(x) is type(x_0)
    np.testing.assert_allclose(numbers(x), math.sqrt(a) * numbers(x_0) + math.sqrt(1 - a) * numbers(z), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("strength", "steps"), [(0.02, 1), (0.1, 5), (0.5, 25), (0.99, 50), (1.0, 50), (1, 50)])
def test_strength_is_the_share_of_the_steps_that_are_made(strength, steps):
    grid = Schedule.linear().times(50)
    _, times = start_from(Schedule.linear(), np.zeros((1, 2)), grid, strength, CountingDraw())
    assert times == grid[-steps - 1 :]


def test_little_strength_keeps_the_picture_and_full_strength_forgets_it():
    """On Gaussian data: noise is added, then the flow keeps the distance from the mean in standard deviations."""
    data, schedule = GaussianMixture([1.0], [[0.3]], [0.04]), Schedule.linear(200, 5e-4, 0.1)
    picture, denoiser = np.full((4000, 1), 2.0), ExactDenoiser(data, schedule)
    means = []
    for strength in (0.05, 0.3, 0.6, 1.0):
        x, times = start_from(schedule, picture, schedule.times(200), strength, normal(np.random.default_rng(13)))
        out = last(heun(denoiser, x, times))
        a = schedule.alpha_bar[times[0]]
        slope = 0.2 / math.sqrt(a * 0.04 + 1 - a)
        mean, std = 0.3 + slope * math.sqrt(a) * (2.0 - 0.3), slope * math.sqrt(1 - a)
        assert abs(out.mean() - mean) < 5 * std / math.sqrt(4000) + 0.01 and abs(out.std() - std) < 5 * std / math.sqrt(8000) + 0.01
        means.append(out.mean())
    assert means[0] > 1.6 and all(a > b for a, b in pairwise(means)) and means[-1] == pytest.approx(0.3, abs=0.03)


def test_start_from_draws_by_the_draw_alone():
    x_0 = batch((3, 2), "torch32", 14)
    a, b, c = (start_from(SCHEDULE, x_0, [25, 10, 0], 0.5, CountingDraw(seed))[0] for seed in (0, 0, 1))
    assert torch.equal(a, b) and not torch.equal(a, c)
