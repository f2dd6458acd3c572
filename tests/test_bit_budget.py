"""The bit budget of notebook 04 against the library's own bound, run with exact and with erring denoisers on Gaussian data."""

import math

import numpy as np
import pytest

from minidiff import ExactDenoiser, GaussianMixture, ddpm, density_term, last, variational_bound
from minidiff.arrays import normal
from minidiff.notebook.bit_budget import bit_budget, budget_explorer, budget_readout, budget_schedule
from minidiff.prediction import KINDS as OUTPUTS
from minidiff.prediction import from_output, target
from minidiff.reverse import fixed_variance

KINDS, VARIANCES = ("linear", "rescaled", "cosine"), ("small", "large", "beta", "optimal")
ENDS = [(T, std, kind, v) for T in (10, 1000) for std in (0.02, 2.0) for kind in KINDS for v in VARIANCES]


@pytest.mark.parametrize("kind", ["linear", "rescaled", "cosine"])
@pytest.mark.parametrize("variance", ["small", "large", "beta"])
def test_it_is_the_librarys_bound(kind, variance):
    std, n = 0.5, 20_000
    schedule, rng = budget_schedule(kind, 20), np.random.default_rng(0)
    data = GaussianMixture(np.ones(1), np.zeros((1, 1)), np.array([std**2]))
    table = schedule.beta if variance == "beta" else variance
    exact, x_0 = ExactDenoiser(data, schedule), data.sample(n, rng)
    bound = variational_bound(exact, x_0, normal(rng), variance=table, decoder=density_term)
    budget = bit_budget(20, std, kind, variance)
    for name, nats, offset in (("prior", bound.prior, 0.0), ("decoder", bound.decoder, 127.5), ("total", bound.total, 127.5)):
        bits = (nats + (math.log(offset) if offset else 0)) / math.log(2)
        assert abs(bits.mean() - budget[name]) < 5 * bits.std() / math.sqrt(n) + 1e-12, name
    assert budget["total"] > budget["entropy"]


def test_the_misfit_is_that_of_the_samples():
    std, n = 0.5, 20_000
    schedule, rng = budget_schedule("cosine", 10), np.random.default_rng(1)
    data = GaussianMixture(np.ones(1), np.zeros((1, 1)), np.array([std**2]))
    exact, x_T = ExactDenoiser(data, schedule), rng.standard_normal((n, 1))
    x = last(ddpm(exact, x_T, schedule.times(10), normal(rng), variance="large"))
    # The model adds noise on its last step, the sampler does not.
    ratio = std**2 / (x.var() + fixed_variance(schedule, 0, 1, "large"))
    expected = 0.5 * (ratio - 1 - math.log(ratio)) / math.log(2)
    assert bit_budget(10, std, "cosine", "large")["misfit"] == pytest.approx(expected, rel=0.3)


class Erring:
    """The exact denoiser, but for `output`, which it gives `error` too high, at every x_t and t."""

    def __init__(self, exact, output, error):
        self.exact, self.output, self.error, self.schedule = exact, output, error, exact.schedule

    def __call__(self, x_t, t, cond=None):
        pred, (signal, noise) = self.exact(x_t, t), self.schedule.scales(t)
        column = np.reshape(signal, (-1, 1)), np.reshape(noise, (-1, 1))
        right = target(self.output, pred.x_0, pred.eps, *column)
        return from_output(self.output, right + self.error, x_t, *column)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("variance", ["small", "large"])
def test_an_error_costs_what_the_librarys_bound_says(output, variance):
    std, error, n = 0.5, 0.05, 20_000
    schedule, rng = budget_schedule("rescaled", 20), np.random.default_rng(0)
    data = GaussianMixture(np.ones(1), np.zeros((1, 1)), np.array([std**2]))
    exact, x_0 = ExactDenoiser(data, schedule), data.sample(n, rng)
    found = []
    for denoiser in (exact, Erring(exact, output, error)):  # the same noise for both: their difference scatters little
        bound = variational_bound(denoiser, x_0, normal(np.random.default_rng(1)), variance=variance, decoder=density_term)
        found.append([bound.steps.sum(0), bound.decoder])
    budget, ideal = bit_budget(20, std, "rescaled", variance, output, error), bit_budget(20, std, "rescaled", variance)
    steps, decoder = ((wrong - right) / math.log(2) for right, wrong in zip(*found, strict=True))
    assert abs(steps.mean() - budget["erring"].sum()) < 5 * steps.std() / math.sqrt(n)
    assert abs(decoder.mean() - (budget["decoder"] - ideal["decoder"])) < 5 * decoder.std() / math.sqrt(n)
    assert np.allclose(budget["steps"] - budget["erring"], ideal["steps"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_misfit_of_an_error_is_that_of_the_samples(output):
    std, error, n = 0.5, 0.2, 20_000
    schedule, rng = budget_schedule("rescaled", 10), np.random.default_rng(1)
    data = GaussianMixture(np.ones(1), np.zeros((1, 1)), np.array([std**2]))
    denoiser = Erring(ExactDenoiser(data, schedule), output, error)
    x = last(ddpm(denoiser, rng.standard_normal((n, 1)), schedule.times(10), normal(rng), variance="small"))
    var = x.var() + fixed_variance(schedule, 1, 2, "small")  # what the budget puts at t = 1, and the sampler does not add
    expected = 0.5 * ((std**2 + x.mean() ** 2) / var - 1 - math.log(std**2 / var)) / math.log(2)
    assert bit_budget(10, std, "rescaled", "small", output, error)["misfit"] == pytest.approx(expected, rel=0.1)


def test_without_an_error_the_output_makes_no_difference():
    budgets = [bit_budget(50, 0.3, "cosine", "small", output) for output in OUTPUTS]
    assert all(np.array_equal(b[name], budgets[0][name]) for b in budgets for name in b)
    with pytest.raises(KeyError, match="noise"):
        bit_budget(50, 0.3, "cosine", "small", "noise")


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("values", ENDS)
def test_the_slider_ends(values, output):
    values = (*values, output, 0.1)
    budget = bit_budget(*values)
    assert all(np.all(np.isfinite(v)) for v in budget.values())
    assert budget["total"] - budget["entropy"] >= budget["misfit"] - 1e-9 >= -1e-9  # H <= CE <= L
    assert "nan" not in budget_readout(*values)


def test_the_limits_of_the_gap():
    gap = {}
    for variance in VARIANCES:
        budget = bit_budget(16_000, 0.5, "cosine", variance)
        gap[variance] = (budget["total"] - budget["entropy"]) * math.log(2)
    assert gap["small"] == pytest.approx(np.euler_gamma / 2 + (1 - math.log(2)) / 2, abs=0.02)
    assert gap["large"] == pytest.approx((1 - math.log(2)) / 2, abs=0.002)
    assert abs(gap["optimal"]) < 1e-8
    assert gap["optimal"] < gap["beta"] < 1e-3


def test_moving_a_slider_redraws_and_rereads():
    made = budget_explorer()
    before, text = bytes(made.image.value), made.text
    made.controls.variance.value = "optimal"
    assert bytes(made.image.value) != before and made.text != text and "gap 0.0000" in made.text
