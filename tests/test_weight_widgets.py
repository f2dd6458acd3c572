"""The weights of notebook 05: prices measured on arbitrary errors, shares by drawing a training loss, densities in closed form."""

import numpy as np
import pytest

from minidiff import ExactDenoiser, GaussianMixture, Prediction, Schedule, from_output, marginal, step_term, target
from minidiff.notebook.weight_widgets import BOUND, ERRORS, PRICES, paid, shares, weight_schedule, weights_explorer, weights_figure

SCHEDULE = weight_schedule("linear", 200)
T = np.arange(2, 201)
KINDS = {"simple (eps)": "eps", "x_0": "x_0", "v": "v", "score": "score"}


def a_wrong_answer():
    """x_0, eps and x_t at every t, and a prediction that is off by something arbitrary, with its squared eps error."""
    x_0, eps, delta = np.random.default_rng(0).standard_normal((3, len(T), 2))
    x_t = marginal(SCHEDULE, x_0, T).sample(eps)
    wrong = from_output("x_0", x_0 - delta, x_t, *SCHEDULE.scales(T))
    return x_0, eps, x_t, wrong, ((eps - wrong.eps) ** 2).sum(1), (delta**2).sum(1)


def test_prices_are_those_of_arbitrary_errors():
    x_0, eps, x_t, wrong, unit, delta = a_wrong_answer()
    scales = SCHEDULE.scales(T)
    for loss, kind in KINDS.items():
        error = ((target(kind, x_0, eps, *scales) - target(kind, wrong.x_0, wrong.eps, *scales)) ** 2).sum(1)
        assert paid(loss, "1 in eps", SCHEDULE)[2] == pytest.approx(error / unit, rel=1e-8), loss
        assert paid(loss, "1 in x_0", SCHEDULE)[2] == pytest.approx(error / delta, rel=1e-8), loss
    flow = (((eps - x_0) - (wrong.eps - wrong.x_0)) ** 2).sum(1)
    assert paid("flow", "1 in eps", SCHEDULE)[2] == pytest.approx(flow / unit, rel=1e-8)
    capped = np.minimum(SCHEDULE.alpha_bar[2:] / (1 - SCHEDULE.alpha_bar[2:]), 5)
    assert paid("min-SNR", "1 in x_0", SCHEDULE)[2] == pytest.approx(capped, rel=1e-8)
    nats = step_term(SCHEDULE, Prediction(wrong.x_0, wrong.eps), x_0, x_t, T - 1, T)
    assert paid(BOUND, "1 in eps", SCHEDULE)[2] == pytest.approx(nats / unit, rel=1e-7)


def drawn_losses(n=400_000):
    """A training loss in numbers: t uniform on 2..T, data N(0, 1), the exact denoiser; log SNR and the squared error of v and of eps."""
    rng = np.random.default_rng(1)
    t, x_0, eps = rng.integers(2, 201, n), rng.standard_normal((n, 1)), rng.standard_normal((n, 1))
    x_t = marginal(SCHEDULE, x_0, t).sample(eps)
    exact = ExactDenoiser(GaussianMixture([1.0], [[0.0]], [1.0]), SCHEDULE)
    errors = {"simple (eps)": np.zeros(n), "v": np.zeros(n)}
    for step in T:
        at = t == step
        pred, scales = exact(x_t[at], int(step)), SCHEDULE.scales(int(step))
        for loss in errors:
            wanted, said = (target(KINDS[loss], *pair, *scales) for pair in ((x_0[at], eps[at]), (pred.x_0, pred.eps)))
            errors[loss][at] = ((wanted - said) ** 2)[:, 0]
    return 2 * SCHEDULE.half_log_snr(t), errors


def test_shares_are_those_of_a_loss_that_is_drawn():
    log_snr, errors = drawn_losses()
    for loss, error in errors.items():
        parts = [error[where].sum() / error.sum() for where in (log_snr < -4, (log_snr >= -4) & (log_snr <= 4), log_snr > 4)]
        assert shares(loss, "of the best denoiser", SCHEDULE) == pytest.approx(parts, abs=0.006), loss
        mean = paid(loss, "of the best denoiser", SCHEDULE)[2].mean()
        assert mean == pytest.approx(error.mean(), rel=0.02), loss


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
def test_the_bound_charges_every_nat_of_log_snr_alike_whatever_the_schedule(kind):
    log_snr, width, cost = paid(BOUND, "1 in eps", weight_schedule(kind, 1000))
    inside = np.abs(log_snr[1:]) < 4
    assert cost[inside] / width[inside] == pytest.approx(0.5, rel=0.04)


def test_the_density_of_the_cosine_is_a_hyperbolic_secant():
    _, _, c = weights_figure("v", "1 in eps", "cosine", 1000).axes
    assert c.get_title() == "where the loss is paid"
    log_snr, width, _ = paid("v", "1 in eps", weight_schedule("cosine", 1000))
    middle = (log_snr[1:] + log_snr[:-1]) / 2
    near = np.abs(middle) < 4
    found = 1 / (999 * width)
    assert found[near] == pytest.approx(1 / (2 * np.pi * np.cosh(middle[near] / 2)), rel=0.05)


def test_both_filled_panels_have_area_one_and_the_right_one_is_the_product():
    a, b, c = weights_figure("x_0", "of the best denoiser", "linear", 100).axes
    times, loss = (axes.patches[0].get_data() for axes in (b, c))
    for stairs in (times, loss):
        assert (stairs.values * np.diff(stairs.edges)).sum() == pytest.approx(1)
    price = a.lines[0].get_ydata()[::-1]
    product = price * times.values
    assert loss.values == pytest.approx(product / (product * np.diff(loss.edges)).sum())


def test_the_schedules_are_the_usual_ones_and_all_end_in_noise():
    assert np.allclose(weight_schedule("linear", 1000).alpha_bar, Schedule.linear(1000).alpha_bar, rtol=0.01, atol=2e-4)
    assert np.array_equal(weight_schedule("cosine", 70).alpha_bar, Schedule.cosine(70).alpha_bar)
    assert np.array_equal(weight_schedule("sigmoid", 70).alpha_bar, Schedule.sigmoid(70).alpha_bar)
    assert all(weight_schedule(k, n).alpha_bar[-1] < 1e-3 for k in ("linear", "cosine", "sigmoid") for n in (50, 1000))


def test_the_explorer_tells_the_story_of_notebook_05():
    made = weights_explorer()

    def line(name):
        return [float(part.strip("%")) for part in made.text.splitlines()[("head", "times", "loss").index(name)].split()[-3:]]

    assert list(made.controls.loss.options) == [*PRICES, BOUND] and list(made.controls.error.options) == list(ERRORS)
    assert line("times")[0] > 30 and line("loss")[0] < 1
    made.controls.loss.value = "v"
    assert line("loss") == line("times")  # v charges the best denoiser the same at every noise level
    made.controls.loss.value = BOUND
    assert line("loss")[2] > 50
