"""Schedules against slow loops with math.fsum and fifty digits; times by exhaustion."""

import itertools
import math

import mpmath
import numpy as np
import pytest
import torch

from minidiff import Schedule

ALL = {
    "linear": Schedule.linear(), "linear-10": Schedule.linear(10), "cosine": Schedule.cosine(), "cosine-4": Schedule.cosine(4),
    "sigmoid": Schedule.sigmoid(), "T=1": Schedule.from_betas([0.3]), "given": Schedule([1.0, 0.9, 0.2]),
}


def slow_alpha_bar(betas):
    return [math.exp(math.fsum(math.log1p(-b) for b in betas[:t])) for t in range(len(betas) + 1)]


def test_linear_against_a_loop():
    betas = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]
    schedule = Schedule.linear()
    np.testing.assert_allclose(schedule.alpha_bar, slow_alpha_bar(betas), rtol=1e-12)
    # alpha_bar is stored, near 1 to 1.1e-16: beta_1 = 1e-4 can be recovered to about 1e-12 and not better.
    np.testing.assert_allclose(schedule.beta[1:], betas, rtol=3e-12)
    assert schedule.T == 1000 and schedule.beta[0] == 0 and schedule.beta.shape == schedule.alpha_bar.shape == (1001,)


@pytest.mark.parametrize("T", [1, 4, 50, 1000])
def test_cosine_is_cut_at_the_end_only_and_recomputed(T):
    mpmath.mp.dps = 50
    f = [mpmath.cos((mpmath.mpf(t) / T + mpmath.mpf(0.008)) / (1 + mpmath.mpf(0.008)) * mpmath.pi / 2) ** 2 for t in range(T + 1)]
    exact = [float(v / f[0]) for v in f]
    schedule = Schedule.cosine(T)
    np.testing.assert_allclose(schedule.alpha_bar[:-1], exact[:-1], rtol=1e-11)  # I01: f(0) is divided out, nothing is cut before T
    assert schedule.beta[-1] == pytest.approx(0.999, rel=1e-12) and (schedule.beta[1:-1] < 0.998).all()
    assert schedule.alpha_bar[-1] == pytest.approx(exact[-2] * 0.001, rel=1e-9)  # I02: recomputed from the cut beta


def test_sigmoid_against_fifty_digits():
    mpmath.mp.dps = 50
    S = lambda u: 1 / (1 + mpmath.exp(-mpmath.mpf(u)))  # noqa: E731
    exact = [float((S(3) - S(-3 + 6 * mpmath.mpf(t) / 100)) / (S(3) - S(-3))) for t in range(101)]
    np.testing.assert_allclose(Schedule.sigmoid(100).alpha_bar[:-1], exact[:-1], rtol=1e-11)
    assert Schedule.sigmoid(100).beta[-1] == pytest.approx(0.999)


@pytest.mark.parametrize("name", ALL)
def test_everything_follows_from_the_table(name):
    schedule = ALL[name]
    mpmath.mp.dps = 50
    table = [mpmath.mpf(float(a)) for a in schedule.alpha_bar]
    for t in {1, 2, schedule.T // 2, schedule.T} & set(range(1, schedule.T + 1)):
        signal, noise = schedule.scales(t)
        assert math.isclose(signal, float(mpmath.sqrt(table[t])), rel_tol=1e-15)
        assert math.isclose(noise, float(mpmath.sqrt(1 - table[t])), rel_tol=1e-14)
        assert math.isclose(schedule.snr(t), float(table[t] / (1 - table[t])), rel_tol=1e-12)
        assert math.isclose(schedule.half_log_snr(t), float(mpmath.log(table[t] / (1 - table[t])) / 2), rel_tol=1e-11, abs_tol=1e-13)
        for s in {0, t // 2, t - 1}:
            assert math.isclose(schedule.alpha_bar_ts(s, t), float(table[t] / table[s]), rel_tol=1e-12)
            assert math.isclose(schedule.beta_ts(s, t), float(1 - table[t] / table[s]), rel_tol=1e-11)
        assert schedule.beta[t] == schedule.beta_ts(t - 1, t)


def test_the_first_noise_keeps_its_digits():
    # float32 tables lose four digits of 1 - abar_1 (equations C, 28)
    assert Schedule.linear().scales(1)[1] ** 2 == pytest.approx(1e-4, rel=1e-12)


def test_time_zero():
    schedule = Schedule.linear(10)
    signal, noise = schedule.scales(0)
    assert signal == 1 and noise == 0 and not np.signbit(noise) and schedule.snr(0) == schedule.half_log_snr(0) == np.inf


def test_times_may_be_ints_rows_or_tensors():
    schedule = Schedule.linear(10)
    rows = ([3, 7], (3, 7), np.array([3, 7], np.uint8), torch.tensor([3, 7]), torch.tensor([3, 7], dtype=torch.int32), range(3, 8, 4))
    for row in rows:
        assert schedule.scales(row)[0].tolist() == [schedule.scales(3)[0], schedule.scales(7)[0]]
    assert schedule.scales(torch.tensor(3))[0] == schedule.scales(np.int64(3))[0] == schedule.scales(3)[0]
    assert schedule.scales(3)[0].dtype == np.float64


@pytest.mark.parametrize("spacing", ["trailing", "quadratic"])
def test_times_fall_strictly_from_T_to_0(spacing):
    for T in [*range(1, 41), 1000]:
        schedule = Schedule.from_betas(np.full(T, 0.01))
        for n in range(1, T + 1) if T < 1000 else (1, 2, 3, 10, 50, 333, 500, 667, 999, 1000):
            times = schedule.times(n, spacing)
            assert len(times) == n + 1 and times[0] == T and times[-1] == 0 and all(type(t) is int for t in times)
            assert all(a > b for a, b in itertools.pairwise(times)), (T, n)
            if spacing == "trailing":
                assert all(abs(t - T * (n - i) / n) <= 0.5 for i, t in enumerate(times))
    assert Schedule.linear(1000).times(1000, spacing) == list(range(1000, -1, -1))


def test_a_schedule_is_frozen():
    table = np.array([1.0, 0.5])
    schedule = Schedule(table)
    table[1] = 0.9
    assert schedule.alpha_bar[1] == 0.5
    with pytest.raises(ValueError):
        schedule.alpha_bar[1] = 0.9
    with pytest.raises(AttributeError):
        schedule.alpha_bar = table
