"""The bit budget of notebook 04 against the library's own bound, run with the exact denoiser on Gaussian data."""

import math

import numpy as np
import pytest

from minidiff import ExactDenoiser, GaussianMixture, ddpm, density_term, last, variational_bound
from minidiff.arrays import normal
from minidiff.notebook.bit_budget import bit_budget, budget_explorer, budget_figure, budget_readout, budget_schedule
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


@pytest.mark.parametrize("values", ENDS)
def test_the_slider_ends(values):
    budget = bit_budget(*values)
    assert all(np.all(np.isfinite(v)) for v in budget.values())
    assert budget["total"] - budget["entropy"] >= budget["misfit"] - 1e-9 >= -1e-9  # H <= CE <= L
    assert len(budget_figure(*values).axes) == 2
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
