"""Fast samplers against scipy's integration of the same ODE, closed forms of Gaussian data, and the papers' formulas by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from minidiff import Clipped, ExactDenoiser, GaussianMixture, Schedule, ddim, dpm_solver, heun, last
from minidiff.sample import ode_step
from minidiff.toy import ring
from tests.contracts import DTYPES, Watching, batch, numbers

FINE = Schedule.linear(1200, 1e-4, 0.015)
SHORT = Schedule.linear(40, 0.01, 0.2)
WEIGHTS, MEANS, STD = np.array([0.3, 0.5, 0.2]), np.array([[-0.9, 0.3], [0.6, -0.5], [0.4, 1.1]]), np.array([0.5, 0.3, 0.4])
MIXTURE = GaussianMixture(WEIGHTS, MEANS, STD**2)
SOLVERS = {"dpm_solver": dpm_solver, "dpm_solver 1": lambda *a: dpm_solver(*a, order=1), "heun": heun, "ddim": ddim}


def sigma(schedule, t):
    return math.sqrt(1 / schedule.alpha_bar[t] - 1)


def eps_of_noisier(y, noise):
    """E[z | y = x_0 + noise z] for one point y of MIXTURE, by Bayes' rule over its components, number by number."""
    total, weight = np.zeros(2), 0.0
    for w, m, s in zip(WEIGHTS, MEANS, STD, strict=True):
        var = s**2 + noise**2
        density = w / var * math.exp(-((y - m) ** 2).sum() / (2 * var))
        total, weight = total + density * noise * (y - m) / var, weight + density
    return total / weight


def flow(schedule, x, t, s):
    """x_s from x_t along the probability-flow ODE dy = eps d sigma, y = x / signal: DOP853, one point at a time."""
    ends = [sigma(schedule, t), sigma(schedule, s)]
    signal_t, signal_s = np.sqrt(schedule.alpha_bar[[t, s]])
    rows = [solve_ivp(lambda u, y: eps_of_noisier(y, u), ends, row / signal_t, "DOP853", rtol=1e-10, atol=1e-12).y[:, -1] for row in x]
    return signal_s * np.array(rows)


def gaussian_flow(schedule, x, t, s, m, s2):
    """The same for data N(m, s2), in closed form: x keeps its distance from the mean in standard deviations."""
    a, b = schedule.alpha_bar[[t, s]]
    return np.sqrt(b) * m + np.sqrt((b * s2 + 1 - b) / (a * s2 + 1 - a)) * (x - np.sqrt(a) * m)


def log_grid(schedule, t, s, n):
    """n steps from t to s, evenly spaced in half the log SNR as far as whole times allow: there an order shows at once."""
    lam = 0.5 * np.log(schedule.alpha_bar[1:] / (1 - schedule.alpha_bar[1:]))
    at = np.searchsorted(-lam, -np.linspace(lam[t - 1], lam[s - 1], n + 1)) + 1
    return [t, *(int(i) for i in at[1:-1]), s]


# -- the whole way ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("dpm_solver 1", 1), ("dpm_solver", 2), ("heun", 2)])
def test_order_of_convergence_to_the_ode_of_scipy(name, order):
    """Halving the steps halves the error of a method of first order and quarters that of one of second order."""
    schedule = Schedule.linear(12_000, 1e-5, 0.0015)  # so fine that rounding the grid to whole times does not show
    x, t, s = batch((4, 2), "numpy64", 1), 9000, 300
    exact, denoiser = flow(schedule, x, t, s), ExactDenoiser(MIXTURE, schedule)
    errors = [np.abs(last(SOLVERS[name](denoiser, x, log_grid(schedule, t, s, n))) - exact).max() for n in (24, 48, 96)]
    rates = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(rate - order) < 0.25 for rate in rates), (errors, rates)
    assert errors[-1] < (0.02 if order == 1 else 2e-3)


def test_on_gaussian_data_second_order_needs_a_tenth_of_the_steps_of_ddim():
    m, s2, x = 0.8, 0.25, np.linspace(-2, 2, 9)[:, None]
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[m]], [s2]), FINE)
    exact = gaussian_flow(FINE, x, 1200, 0, m, s2)
    few, many = FINE.times(60, "quadratic"), FINE.times(600, "quadratic")
    for solver in (dpm_solver, heun):
        assert np.abs(last(solver(denoiser, x, few)) - exact).max() < np.abs(last(ddim(denoiser, x, many)) - exact).max()


def test_dpm_solver_of_order_1_is_ddim():
    x = batch((20, 2), "numpy64", 2)
    for times in (SHORT.times(40), SHORT.times(7), [33, 20, 4]):
        denoiser = ExactDenoiser(ring(), SHORT)
        for a, b in zip(dpm_solver(denoiser, x, times, order=1), ddim(denoiser, x, times), strict=True):
            np.testing.assert_allclose(a.x_t, b.x_t, rtol=1e-11, atol=1e-12)
            assert a.x_0 is b.x_0 is None or np.abs(a.x_0 - b.x_0).max() < 1e-11


@pytest.mark.parametrize("solver", [dpm_solver, heun])
def test_the_map_on_gaussian_data_is_affine_and_its_slope_a_standard_deviation(solver):
    """The denoiser of Gaussian data is linear, so is the sampler: N(0, 1) becomes N(offset, slope^2), nearly the data (B7)."""
    denoiser = ExactDenoiser(GaussianMixture([1.0], [[0.8]], [0.25]), FINE)
    ends = last(solver(denoiser, np.array([[0.0], [1.0], [-3.0]]), FINE.times(100, "quadratic")))[:, 0]
    offset, slope = ends[0], ends[1] - ends[0]
    assert ends[2] == pytest.approx(offset - 3 * slope, abs=1e-11)
    assert slope == pytest.approx(0.5, abs=1e-3) and offset == pytest.approx(0.8 - slope * FINE.scales(1200)[0] * 0.8, abs=3e-3)


# -- one step ---------------------------------------------------------------------------------------------------------------


def test_dpm_solver_by_algorithm_2_number_by_number():
    """D_i = (1 + 1/(2 r_i)) x_0-hat_{i-1} - 1/(2 r_i) x_0-hat_{i-2}, r_i = h_{i-1} / h_i, as the paper writes it."""
    times, denoiser = [37, 29, 18, 6, 0], ExactDenoiser(MIXTURE, SHORT)
    start = batch((1, 2), "numpy64", 3)
    seen = list(dpm_solver(denoiser, start, times))
    a = [math.sqrt(SHORT.alpha_bar[t]) for t in times]
    b = [math.sqrt(1 - SHORT.alpha_bar[t]) for t in times]
    lam = [math.log(p / q) for p, q in zip(a[:-1], b[:-1], strict=True)]
    x, guesses = [float(v) for v in start[0]], []
    for i in range(1, 5):
        guesses.append([float(v) for v in denoiser(np.array([x]), times[i - 1]).x_0[0]])
        if i == 4:
            x = guesses[-1]
        else:
            h = lam[i] - lam[i - 1]
            D = guesses[-1]
            if i > 1:
                r = (lam[i - 1] - lam[i - 2]) / h
                D = [(1 + 1 / (2 * r)) * new - 1 / (2 * r) * old for new, old in zip(guesses[-1], guesses[-2], strict=True)]
            x = [b[i] / b[i - 1] * v - a[i] * (math.exp(-h) - 1) * d for v, d in zip(x, D, strict=True)]
        np.testing.assert_allclose(seen[i].x_t[0], x, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(seen[i].x_0[0], guesses[-1], rtol=1e-10, atol=1e-12)


def test_heun_by_the_textbook_in_the_variables_of_the_ode():
    """y = x / signal, sigma = noise / signal: Euler to sigma_s, then the mean slope of both ends."""
    t, s = 31, 12
    x = batch((5, 2), "numpy64", 4)
    for row, got in zip(x, list(heun(ExactDenoiser(MIXTURE, SHORT), x, [t, s]))[1].x_t, strict=True):
        y, (u, v) = row / math.sqrt(SHORT.alpha_bar[t]), (sigma(SHORT, t), sigma(SHORT, s))
        first = eps_of_noisier(y, u)
        second = eps_of_noisier(y + (v - u) * first, v)
        np.testing.assert_allclose(got, math.sqrt(SHORT.alpha_bar[s]) * (y + (v - u) * (first + second) / 2), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("array", DTYPES)
@pytest.mark.parametrize("solver", [dpm_solver, heun])
def test_the_step_to_0_is_the_prediction_itself(solver, array):
    """Bit for bit, also where 1 / signal is 2e4 and a formula that divides by it would lose four digits."""
    for schedule, times in ((SHORT, SHORT.times(7)), (Schedule.cosine(), [1000, 0])):
        denoiser = Clipped(ExactDenoiser(ring(), schedule))
        *_, before, end = solver(denoiser, batch((6, 2), array, 5), times)
        assert (end.x_t == denoiser(before.x_t, before.t).x_0).all() and (abs(end.x_t) <= 1).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_single_precision_stays_near_double(solver):
    """On the steepest schedule, except for Heun: its steps in sigma are too long there, in any precision."""
    schedule, x = Schedule.linear() if solver == "heun" else Schedule.cosine(), batch((50, 2), "numpy64", 6)
    denoiser = ExactDenoiser(ring(std=0.2), schedule)
    double = last(SOLVERS[solver](denoiser, x, schedule.times(20)))
    for array in ("numpy32", "torch32"):
        single = last(SOLVERS[solver](denoiser, batch((50, 2), array, 6), schedule.times(20)))
        assert single.dtype == DTYPES[array]
        np.testing.assert_allclose(numbers(single), double, atol=2e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_torch_and_numpy_walk_the_same_path(solver):
    x, denoiser = batch((6, 2), "numpy64", 7), ExactDenoiser(ring(), SHORT)
    a, b = (SOLVERS[solver](denoiser, start, SHORT.times(13)) for start in (x, torch.from_numpy(x)))
    for one, two in zip(a, b, strict=True):
        np.testing.assert_allclose(one.x_t, numbers(two.x_t), rtol=1e-8, atol=1e-9)


def test_calls_of_the_denoiser():
    """n steps to 0 cost n calls of DPM-Solver and 2n - 1 of Heun, the last call at the smallest t of the grid."""
    for solver, calls in ((dpm_solver, 12), (heun, 23)):
        watching = Watching(ExactDenoiser(ring(), SHORT))
        last(solver(watching, batch((2, 2), "numpy64"), SHORT.times(12)))
        assert len(watching.times) == calls and watching.times[-1] == SHORT.times(12)[-2]


# -- ode_step ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", DTYPES)
@pytest.mark.parametrize(("t", "s"), [(40, 0), (30, 11), (11, 30), (0, 40), (25, 25)])
def test_ode_step_is_a_straight_line_in_y_and_sigma(t, s, array):
    """Equation 13 of DDIM number by number, towards the data and towards the noise; at constant eps it is exact and has an inverse."""
    x, eps = batch((3, 2), array, 8), batch((3, 2), array, 9)
    got = ode_step(SHORT, x, eps, t, s)
    assert got.dtype == x.dtype and got.shape == x.shape
    tolerance = 1e-12 if array.endswith("64") else 1e-5
    for i, j in np.ndindex(3, 2):
        y = float(x[i, j]) / math.sqrt(SHORT.alpha_bar[t]) + (sigma(SHORT, s) - sigma(SHORT, t)) * float(eps[i, j])
        assert float(got[i, j]) == pytest.approx(math.sqrt(SHORT.alpha_bar[s]) * y, abs=tolerance)
    np.testing.assert_allclose(numbers(ode_step(SHORT, got, eps, s, t)), numbers(x), atol=20 * tolerance)


def test_ode_step_at_the_true_noise_stays_on_the_line_of_x_0():
    x_0, eps = batch((4, 3), "numpy64", 10), batch((4, 3), "numpy64", 11)
    x = {t: SHORT.scales(t)[0] * x_0 + SHORT.scales(t)[1] * eps for t in (0, 9, 40)}
    for t, s in ((40, 9), (9, 40), (9, 0), (0, 9)):
        np.testing.assert_allclose(ode_step(SHORT, x[t], eps, t, s), x[s], atol=1e-13)
