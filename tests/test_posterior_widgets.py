"""The explorer of notebook 03 against Bayes' rule on a grid and against paths of the forward process; its edges; its story."""

import re

import numpy as np
import pytest
from scipy.integrate import trapezoid

from minidiff import Schedule
from minidiff.notebook.posterior_widgets import (
    bridge_schedule,
    known_of,
    pair_of_times,
    posterior_explorer,
    posterior_figure,
    posterior_readout,
    shape,
)

BASE = dict(x_0=0.8, x_t=-0.5, t=500, back=1, T=1000, kind="linear")
PAIRS = [(500, 1), (500, 250), (999, 400), (30, 29), (2, 1)]


def log_bell(x, mean, var):  # up to a constant
    return -((x - mean) ** 2) / (2 * var)


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize(("t", "back"), PAIRS)
def test_it_is_bayes_rule_on_a_grid(kind, t, back):
    known = known_of(0.8, -0.5, t, back, 1000, kind)
    beta = bridge_schedule(kind, 1000).beta  # from the betas alone: one step after the other
    keep = {n: np.prod(1 - beta[i + 1 : n + 1]) for i, n in ((0, t), (0, t - back))} | {"st": np.prod(1 - beta[t - back + 1 : t + 1])}
    middle, width = known["posterior"].mean[0], np.sqrt(known["posterior"].var)
    x = middle + width * np.linspace(-12, 12, 20_001)
    seen = log_bell(-0.5, np.sqrt(keep["st"]) * x, 1 - keep["st"])
    joint = log_bell(x, np.sqrt(keep[t - back]) * 0.8, 1 - keep[t - back]) + seen
    joint = np.exp(joint - joint.max())
    total = trapezoid(joint, x)
    mean = trapezoid(x * joint, x) / total
    var = trapezoid((x - mean) ** 2 * joint, x) / total
    assert (middle, width**2) == pytest.approx((mean, var), rel=1e-6)
    c_0, c_t = known["weights"]
    assert c_0 * 0.8 - c_t * 0.5 == pytest.approx(mean, rel=1e-6)
    likelihood = known["likelihood"].log_prob(x)  # as a function of x_s, so up to a constant
    assert likelihood - likelihood[10_000] == pytest.approx(seen - seen[10_000], rel=1e-6, abs=1e-6)


def test_the_bridge_is_where_paths_with_these_ends_were():
    rng, schedule, n = np.random.default_rng(0), bridge_schedule("linear", 25), 400_000
    x, kept = np.full(n, 0.8), None
    for t in range(1, 13):
        x = np.sqrt(1 - schedule.beta[t]) * x + np.sqrt(schedule.beta[t]) * rng.standard_normal(n)
        kept = x.copy() if t == 8 else kept
    there = kept[np.abs(x + 0.5) < 0.05]  # at time 8, of those that came to -0.5 at time 12
    law = known_of(0.8, -0.5, 12, 4, 25, "linear")["posterior"]
    assert len(there) > 5000
    assert abs(there.mean() - law.mean[0]) < 5 * np.sqrt(law.var / len(there)) + 0.01
    assert there.var() == pytest.approx(float(law.var), rel=0.06)


def test_the_linear_kind_is_the_usual_schedule_and_ends_in_noise_for_every_T():
    assert np.array_equal(bridge_schedule("linear", 1000).alpha_bar, Schedule.linear(1000).alpha_bar)
    assert all(bridge_schedule("linear", T).alpha_bar[-1] < 1e-4 for T in (25, 50, 200, 1000))


def test_times_are_cut_off_at_what_the_schedule_has():
    assert pair_of_times(1000, 500.2, 1.1) == (499, 500)
    assert pair_of_times(25, 1000, 1) == (24, 25)
    assert pair_of_times(1000, 10, 400) == (0, 10)
    assert pair_of_times(25, 1, 1) == (0, 1)


def test_at_s_0_nothing_is_open():
    known = known_of(**{**BASE, "back": 500})
    assert known["posterior"].var == 0 and known["posterior"].mean[0] == 0.8
    x, y = shape(known["posterior"])
    assert np.array_equal(x, [0.8, 0.8]) and np.array_equal(y, [0, 1])
    text = posterior_readout(**{**BASE, "back": 500})
    assert "= 1.000 x_0 + 0.000 x_t" in text and "posterior (beta-tilde) 0 = 0.000 beta" in text


def test_every_curve_reaches_one_in_view_however_narrow_or_far_away():
    for values in ({}, {"t": 2}, {"t": 1000, "back": 999, "x_t": 3.0}):
        known = known_of(**{**BASE, **values})
        for name in ("prior", "likelihood", "posterior"):
            x, y = shape(known[name])
            assert y.max() == pytest.approx(1) and np.all(np.diff(x) >= 0) and x.min() >= -4 and x.max() <= 4


def test_the_picture_is_pinned_at_both_ends():
    _, b = posterior_figure(**BASE).axes
    free, pinned = (line for line in b.lines if line.get_label().startswith("$x_0$"))
    assert len(pinned.get_xdata()) == len(free.get_xdata()) == 501
    assert pinned.get_ydata()[[0, -1]] == pytest.approx([0.8, -0.5]) and free.get_ydata()[0] == pytest.approx(0.8)
    band = b.collections[1].get_paths()[0].vertices
    assert band[np.isclose(band[:, 0], 500), 1] == pytest.approx(-0.5)  # no width where x_t was given


def test_the_explorer_tells_the_story_of_notebook_03():
    made = posterior_explorer()

    def weights():
        return [float(w) for w in re.search(r"= (\S+) x_0 \+ (\S+) x_t", made.text).groups()]

    assert weights()[0] < 0.01 and weights()[1] > 0.99
    made.controls.back.value = 250
    assert weights()[0] > 3 * weights()[1]
    made.controls.T.value, made.controls.t.value, made.controls.back.value = 25, 12, 1
    few = weights()
    made.controls.T.value, made.controls.t.value, made.controls.back.value = 1000, 480, 40
    assert few[0] > 0.1 and weights() == pytest.approx(few, abs=0.05)  # the same stretch of the same road
