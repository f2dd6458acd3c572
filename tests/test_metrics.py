"""The metrics against closed forms, scipy and fresh real samples."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from minidiff.metrics import Measured, energy_distance, frechet_distance, kernel_distance, mmd, sliced_wasserstein

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


def gaussian_mmd(mu, width, d, var=1.0):
    """E k(X, X') + E k(Y, Y') - 2 E k(X, Y) for X ~ N(mu, var I), Y ~ N(0, I) in d dimensions: k is a Gaussian, so all is one integral."""

    def mean_kernel(square, total):
        return (width**2 / (width**2 + total)) ** (d / 2) * math.exp(-square / (2 * (width**2 + total)))

    return mean_kernel(0, 2 * var) + mean_kernel(0, 2.0) - 2 * mean_kernel(d * mu**2, 1 + var)


@pytest.mark.parametrize(("mu", "d", "width", "spread"), [(0.8, 1, 0.3, 1.0), (0.5, 2, 1.0, 1.0), (0.0, 2, 0.7, 0.5), (0.4, 3, 2.0, 1.5)])
def test_mmd_of_gaussians(mu, d, width, spread):
    """Shifted, or of another width: the mean over independent samples is the closed form, that of the floors is 0, without bias."""
    rng, truth = RNG(16), gaussian_mmd(mu, width, d, spread**2)
    got = [mmd(spread * gauss(150, d, rng) + mu, gauss(150, d, rng), gauss(150, d, rng), rng, width, resamples=2) for _ in range(60)]
    for values, exact in (([g.value for g in got], truth), ([g.floor for g in got], 0.0)):
        assert abs(np.mean(values) - exact) < 4 * np.std(values) / 60**0.5
    assert truth > 10 * np.std([g.value for g in got]) / 60**0.5  # it could have been told from 0


def test_mmd_is_the_slow_double_loop():
    x, y, real = gauss(7, 3, RNG(17), 0.5), gauss(7, 3, RNG(18)), gauss(14, 3, RNG(19))

    def slow(a, b):
        def k(p, q):
            return math.exp(-sum((u - v) ** 2 for u, v in zip(p, q, strict=True)) / (2 * 0.9**2))

        other = [(i, j) for i in range(7) for j in range(7) if i != j]
        within = sum(k(a[i], a[j]) + k(b[i], b[j]) for i, j in other) / 42
        return within - 2 * sum(k(p, q) for p in a for q in b) / 49

    got = mmd(x, y, real, RNG(0), width=0.9, resamples=2)
    assert got.value == pytest.approx(slow(x, y), abs=1e-12) and got.n == 7
    assert got.floor == pytest.approx((slow(real[:7], y) + slow(real[7:], y)) / 2, abs=1e-12)


def test_mmd_may_be_negative_and_is_blind_to_what_is_much_finer_or_coarser_than_its_width():
    rng = RNG(20)
    assert min(mmd(*(gauss(40, 2, rng) for _ in range(3)), rng, resamples=2).value for _ in range(30)) < 0
    x, y = gauss(300, 2, rng, 0.5), gauss(300, 2, rng)
    seen = {width: mmd(x, y, y, rng, width=width, resamples=2).value for width in (1e-4, 1.0, 1e4)}
    assert seen[1.0] > 0.03 and abs(seen[1e-4]) < 1e-6 and abs(seen[1e4]) < 1e-6


def test_energy_distance_is_unbiased_and_sliced_wasserstein_is_not():
    rng = RNG(10)
    energies = [energy_distance(*(gauss(40, 2, rng) for _ in range(3)), rng, resamples=2).value for _ in range(400)]
    assert abs(np.mean(energies)) < 4 * np.std(energies) / 20
    small = [sliced_wasserstein(*(gauss(40, 2, rng) for _ in range(3)), rng, resamples=2).value for _ in range(20)]
    large = [sliced_wasserstein(*(gauss(4000, 2, rng) for _ in range(3)), rng, resamples=2).value for _ in range(5)]
    assert np.mean(small) > 5 * np.mean(large)  # the bias falls like 1 / sqrt(n): a value without its n says nothing


@pytest.mark.parametrize("metric", [sliced_wasserstein, energy_distance, partial(mmd, width=1.0)])
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
    for metric in (sliced_wasserstein, energy_distance, mmd):
        assert metric(torch.from_numpy(x), torch.from_numpy(y), y, RNG(15)) == metric(x, y, y, RNG(15))
        single = metric(torch.from_numpy(x).float().requires_grad_(), y.astype(np.float32), y, RNG(15))
        assert single.value == pytest.approx(metric(x, y, y, RNG(15)).value, abs=1e-5)
    assert str(Measured(0.12345, 50, 0.0456, 0.1, 0.15)) == "0.1235 [0.1000, 0.1500] at n = 50; real against real 0.0456"
    assert Measured(0.3, 50, 0.1, 0.2, 0.4).over_floor == pytest.approx(3)


@pytest.mark.parametrize("metric", [sliced_wasserstein, energy_distance, mmd])
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


# -- of features -------------------------------------------------------------------------------------------------------


def frechet_by_sqrtm(x, y):
    """The textbook formula, with scipy's square root of a matrix that is not symmetric."""
    a, b = np.cov(x.T), np.cov(y.T)
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)


def test_frechet_distance_is_the_textbook_formula():
    rng = RNG(21)
    mix = rng.standard_normal((6, 6))
    x, y, real = gauss(80, 6, rng, 0.3) @ mix + 5, rng.exponential(size=(80, 6)) + 5, gauss(160, 6, rng) + 5
    got = frechet_distance(x, y, real, rng, resamples=2)
    assert got.value == pytest.approx(frechet_by_sqrtm(x, y), rel=1e-9)
    assert got.floor == pytest.approx((frechet_by_sqrtm(real[:80], y) + frechet_by_sqrtm(real[80:], y)) / 2, rel=1e-9)


def test_frechet_distance_in_closed_form_and_far_from_the_origin():
    rng = RNG(22)
    x = gauss(500, 4, rng)
    shift = np.array([3.0, 0, 4, 0])
    for origin in (0, 1e5):
        got = frechet_distance(x + shift + origin, x + origin, x + origin, rng, resamples=2)
        assert got.value == pytest.approx(25, rel=1e-8) and abs(got.floor) < 1e-6
    y = 2 * gauss(500, 4, rng)
    near, far = (frechet_distance(x + origin, y + origin, y + origin, RNG(0), resamples=2).value for origin in (0, 1e6))
    assert near == pytest.approx(far, rel=1e-7)  # E x x^T - m m^T of points at 1e6 would leave four digits
    d = x - x.mean(0)  # covariances S and 4 S: Tr(S + 4 S - 2 * 2 S) = Tr S
    assert frechet_distance(2 * d, d, d, rng, resamples=2).value == pytest.approx(np.trace(np.cov(x.T)), rel=1e-9)


def test_frechet_distance_of_singular_covariances_is_real_and_symmetric():
    """Fewer points than dimensions, and a feature that never moves: no complex numbers, nothing below 0."""
    rng = RNG(23)
    x, y = gauss(10, 30, rng), gauss(10, 30, rng, 0.2)
    x[:, 0] = y[:, 0] = 1.0
    forth, back = frechet_distance(x, y, y, rng, resamples=5), frechet_distance(y, x, x, rng, resamples=5)
    assert forth.value == pytest.approx(back.value, rel=1e-7) and forth.low >= 0 and 0 <= forth.floor < 1e-5
    # the nuclear norm of X Y^T is Tr (S_x S_y)^{1/2} for centred rows: another route that takes no square root of a covariance
    a, b = ((v - v.mean(0)) / 3 for v in (x, y))
    slow = ((x.mean(0) - y.mean(0)) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * np.linalg.norm(a @ b.T, "nuc")
    assert forth.value == pytest.approx(slow, rel=1e-6)


def test_the_bootstrap_of_frechet_repeats_points():
    """Moments from counts are the moments of the sample with its points written out as often as they were drawn."""
    rng = RNG(24)
    x, y = gauss(40, 3, rng), gauss(40, 3, rng, 1.0)
    got = frechet_distance(x, y, y, RNG(25), resamples=60)
    again, even, spread = RNG(25), np.full(40, 1 / 40), []
    for _ in range(60):
        counts = again.multinomial(40, even), again.multinomial(40, even)
        spread.append(frechet_by_sqrtm(*(np.repeat(v, c, axis=0) for v, c in zip((x, y), counts, strict=True))))
    low, high = np.quantile(spread - np.mean(spread), [0.025, 0.975]) + got.value
    assert (got.low, got.high) == (pytest.approx(low), pytest.approx(high))


def cubic(p, q):
    return (sum(u * v for u, v in zip(p, q, strict=True)) / len(p) + 1) ** 3


def slow_kernel_distance(a, b):
    n = len(a)
    other = [(i, j) for i in range(n) for j in range(n) if i != j]
    within = sum(cubic(a[i], a[j]) + cubic(b[i], b[j]) for i, j in other) / (n * (n - 1))
    return within - 2 * sum(cubic(p, q) for p in a for q in b) / n**2


def test_kernel_distance_is_the_slow_double_loop_block_by_block():
    rng = RNG(26)
    x, y, real = gauss(12, 3, rng, 0.5), gauss(12, 3, rng), gauss(24, 3, rng)
    got = kernel_distance(x, y, real, rng, resamples=2)
    assert got.value == pytest.approx(slow_kernel_distance(x, y), abs=1e-11)
    assert got.floor == pytest.approx((slow_kernel_distance(real[:12], y) + slow_kernel_distance(real[12:], y)) / 2, abs=1e-11)
    thirds = kernel_distance(x, y, real[:12], rng, resamples=2, block=4)
    assert thirds.value == pytest.approx(np.mean([slow_kernel_distance(x[i : i + 4], y[i : i + 4]) for i in (0, 4, 8)]), abs=1e-11)
    assert thirds.n == 12
    halves = kernel_distance(x[:5], y[:5], y[:5], rng, resamples=2, block=2)  # 3 and 2: no block of one point
    assert halves.value == pytest.approx(np.mean([slow_kernel_distance(x[i:j], y[i:j]) for i, j in ((0, 3), (3, 5))]), abs=1e-11)


@pytest.mark.parametrize("block", [1000, 25])
def test_kernel_distance_of_gaussians_in_one_dimension(block):
    """(x y + 1)^3 = sum_k binom(3, k) x^k y^k, so the distance is the sum of binom(3, k) (E X^k - E Y^k)^2: here in closed form."""
    rng, m, s = RNG(27), 0.4, 1.3
    truth = 3 * m**2 + 3 * (m**2 + s**2 - 1) ** 2 + (m**3 + 3 * m * s**2) ** 2
    draws = [(s * gauss(100, 1, rng) + m, gauss(100, 1, rng), gauss(100, 1, rng)) for _ in range(100)]
    got = [kernel_distance(*xyz, rng, resamples=100, block=block) for xyz in draws]
    for values, exact in (([g.value for g in got], truth), ([g.floor for g in got], 0.0)):
        assert abs(np.mean(values) - exact) < 4 * np.std(values) / 10
    assert truth > 10 * np.std([g.value for g in got]) / 10
    assert 80 <= sum(g.low <= truth <= g.high for g in got) <= 100  # the law of the statistic is skewed: about 90 of 100
    spread = np.mean([g.high - g.low for g in got]) / (2 * 1.96)
    assert 0.7 < spread / np.std([g.value for g in got]) < 1.4


def test_feature_metrics_take_torch_and_name_bad_input():
    torch = pytest.importorskip("torch")
    x, y = gauss(50, 2, RNG(28)), gauss(50, 2, RNG(29))
    for metric in (frechet_distance, kernel_distance):
        assert metric(torch.from_numpy(x), torch.from_numpy(y), y, RNG(15)) == metric(x, y, y, RNG(15))
        with pytest.raises(ValueError, match="equally many"):
            metric(x, y[:9], y, RNG(0))
        with pytest.raises(ValueError, match="finite"):
            metric(x * np.nan, y, y, RNG(0))
    with pytest.raises(ValueError, match="block must be an int >= 2"):
        kernel_distance(x, y, y, RNG(0), block=1)
