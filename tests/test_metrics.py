"""The metrics against closed forms, scipy and fresh real samples."""

import math

import numpy as np
import pytest
import scipy.stats

from minidiff.metrics import Measured, energy_distance, sliced_wasserstein

RNG = np.random.default_rng


def gauss(n, d, rng, shift=0.0):
    return rng.standard_normal((n, d)) + shift


def test_in_one_dimension_it_is_scipys_wasserstein_distance():
    rng = RNG(0)
    x, y, real = gauss(500, 1, rng, 0.3), rng.exponential(size=(500, 1)), gauss(500, 1, rng)
    got = sliced_wasserstein(x, y, real, rng, resamples=2)
    assert got.value == pytest.approx(scipy.stats.wasserstein_distance(x[:, 0], y[:, 0]), abs=1e-12)
    assert got.floor == pytest.approx(scipy.stats.wasserstein_distance(real[:, 0], y[:, 0]), abs=1e-12)


@pytest.mark.parametrize("d", [2, 5])
def test_in_more_dimensions_it_is_the_mean_over_projections(d):
    x, y = gauss(200, d, RNG(1), 0.2), gauss(200, d, RNG(2))
    got = sliced_wasserstein(x, y, y, RNG(3), projections=17, resamples=2)
    if d == 2:
        u = [(math.cos(math.pi * (k + 0.5) / 17), math.sin(math.pi * (k + 0.5) / 17)) for k in range(17)]
    else:
        u = RNG(3).standard_normal((17, d))
        u = [row / np.linalg.norm(row) for row in u]
    slow = np.mean([scipy.stats.wasserstein_distance(x @ np.array(v), y @ np.array(v)) for v in u])
    assert got.value == pytest.approx(slow, abs=1e-12)
    assert got.floor == 0  # y against itself


@pytest.mark.parametrize(("shift", "d"), [([0.7], 1), ([0.6, -0.8], 2), ([3.0, 4.0], 2)])
def test_a_shift_moves_it_by_the_closed_form(shift, d):
    x = gauss(400, d, RNG(4))
    got = sliced_wasserstein(x + np.array(shift), x, x, RNG(5), projections=256, resamples=2).value
    size = math.hypot(*shift)
    assert got == pytest.approx(size * (1 if d == 1 else 2 / math.pi), rel=1e-4)


def test_two_gaussians_of_different_width():
    rng = RNG(6)  # W_1 of N(0, a^2) and N(0, b^2) is |a - b| E|Z| = |a - b| sqrt(2 / pi)
    x, y, real = (s * gauss(40_000, 1, rng) for s in (1.5, 1.0, 1.0))
    got = sliced_wasserstein(x, y, real, rng, resamples=100)
    assert got.low < 0.5 * math.sqrt(2 / math.pi) < got.high
    assert got.high - got.low < 0.05


def mean_abs(mu, var):
    """E|Z| for Z ~ N(mu, var)."""
    s = math.sqrt(var)
    return s * math.sqrt(2 / math.pi) * math.exp(-(mu**2) / (2 * var)) + mu * math.erf(mu / (s * math.sqrt(2)))


def test_energy_distance_of_shifted_gaussians():
    rng, truth = RNG(7), 2 * mean_abs(0.8, 2.0) - 2 * mean_abs(0.0, 2.0)
    x, y, real = gauss(1500, 1, rng, 0.8), gauss(1500, 1, rng), gauss(1500, 1, rng)
    got = energy_distance(x, y, real, rng)
    assert got.low < truth < got.high
    assert abs(got.floor) < 0.02 < got.low


def test_energy_distance_is_the_slow_double_loop():
    x, y = gauss(7, 3, RNG(8), 0.5), gauss(7, 3, RNG(9))
    pairs = [(i, j) for i in range(7) for j in range(7)]
    norm = np.linalg.norm
    slow = 2 * sum(norm(x[i] - y[j]) for i, j in pairs) / 49
    slow -= sum(norm(x[i] - x[j]) + norm(y[i] - y[j]) for i, j in pairs) / 42
    assert energy_distance(x, y, y, RNG(0), resamples=2).value == pytest.approx(slow, abs=1e-12)


def test_energy_distance_is_unbiased_and_sliced_wasserstein_is_not():
    rng = RNG(10)
    energies = [energy_distance(*(gauss(40, 2, rng) for _ in range(3)), rng, resamples=2).value for _ in range(400)]
    assert abs(np.mean(energies)) < 4 * np.std(energies) / 20
    small = [sliced_wasserstein(*(gauss(40, 2, rng) for _ in range(3)), rng, resamples=2).value for _ in range(20)]
    large = [sliced_wasserstein(*(gauss(4000, 2, rng) for _ in range(3)), rng, resamples=2).value for _ in range(5)]
    assert np.mean(small) > 5 * np.mean(large)  # the bias falls like 1 / sqrt(n): a value without its n says nothing


@pytest.mark.parametrize("metric", [sliced_wasserstein, energy_distance])
def test_a_fresh_real_sample_sits_on_the_floor_and_a_shifted_one_does_not(metric):
    rng = RNG(11)
    y, real = gauss(600, 2, rng), gauss(600 * 20, 2, rng)
    floors = [metric(block, y, real[:600], rng, resamples=2).value for block in np.split(real, 20)]
    fresh = metric(gauss(600, 2, rng), y, real, rng)
    assert fresh.floor == pytest.approx(np.mean(floors))
    assert min(floors) - 2 * np.std(floors) < fresh.value < max(floors) + 2 * np.std(floors)
    shifted = metric(gauss(600, 2, rng, 0.3), y, real, rng)
    assert shifted.low > max(floors)


def test_the_interval_has_about_the_coverage_it_claims():
    rng, hits, truth = RNG(12), 0, 0.5  # N(0.5, 1) against N(0, 1): W_1 = 0.5, far enough from 0 for the bias not to matter
    for _ in range(100):
        got = sliced_wasserstein(gauss(300, 1, rng, 0.5), gauss(300, 1, rng), gauss(300, 1, rng), rng, resamples=100)
        hits += got.low <= truth <= got.high
    assert 85 <= hits <= 100


def test_the_line_and_torch_tensors():
    torch = pytest.importorskip("torch")
    x, y = gauss(50, 2, RNG(13)), gauss(50, 2, RNG(14))
    a = sliced_wasserstein(torch.from_numpy(x), torch.from_numpy(y), y, RNG(15))
    assert a == sliced_wasserstein(x, y, y, RNG(15))
    assert str(Measured(0.12345, 50, 0.0456, 0.1, 0.15)) == "0.1235 [0.1000, 0.1500] at n = 50; real against real 0.0456"
    assert Measured(0.3, 50, 0.1, 0.2, 0.4).over_floor == pytest.approx(3)


@pytest.mark.parametrize("metric", [sliced_wasserstein, energy_distance])
@pytest.mark.parametrize(
    ("x", "y", "real", "message"),
    [
        (np.zeros((5, 2)), np.zeros((6, 2)), np.zeros((5, 2)), "equally many"),
        (np.zeros(5), np.zeros(5), np.zeros(5), "equally many"),
        (np.zeros((5, 2)), np.zeros((5, 2)), np.zeros((4, 2)), "5 points or a multiple"),
        (np.zeros((5, 2)), np.zeros((5, 2)), np.zeros((7, 2)), "5 points or a multiple"),
        (np.zeros((5, 2)), np.zeros((5, 2)), np.zeros((5, 3)), "2 dimensions"),
        (np.full((5, 2), np.nan), np.zeros((5, 2)), np.zeros((5, 2)), "finite"),
    ],
)
def test_bad_input_is_named(metric, x, y, real, message):
    with pytest.raises(ValueError, match=message):
        metric(x, y, real, RNG(0))
