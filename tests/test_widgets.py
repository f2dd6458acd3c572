"""The explorers: every corner of their sliders draws a figure, and moving a slider changes picture and text."""

import itertools
from dataclasses import dataclass

import ipywidgets as ipw
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from minidiff import ExactDenoiser, GaussianMixture, Guided, Prediction, Schedule, ddim, heun, last, notebook, reverse_transition
from minidiff.notebook import bit_budget, flows, posterior_widgets, weight_widgets, widgets  # those that register explorers

PNG = b"\x89PNG\r\n\x1a\n"


def ends(control):
    if hasattr(control, "options"):
        return list(control.options)
    low, high = control.min, control.max
    if isinstance(control, ipw.FloatLogSlider):
        return [control.base**low, control.base**high]
    return [low, high]


@pytest.fixture(autouse=True)
def strict_style():
    with plt.rc_context():
        notebook.setup()  # not `setup` alone: pytest 8.0 calls a function of that name in a test module
        yield


@pytest.mark.parametrize("name", widgets.EXPLORERS)
def test_every_corner_of_the_sliders_draws(name):
    made = widgets.EXPLORERS[name]()
    names = list(made.values())
    for corner in itertools.product(*(ends(getattr(made.controls, n)) for n in names)):
        values = dict(zip(names, corner, strict=True))
        fig = made._update(**values)
        assert isinstance(fig, Figure) and fig.axes, values
        for ax in fig.axes:
            assert ax.get_title() or ax.get_ylabel(), f"{values}: an axis says nothing"
        text = made._readout(**values) if made._readout else ""
        assert "nan" not in text and "inf" not in text, f"{values}: {text}"


@pytest.mark.parametrize("name", widgets.EXPLORERS)
def test_moving_one_slider_redraws_and_rereads(name):
    made = widgets.EXPLORERS[name]()
    first, text = bytes(made.image.value), made.text
    assert first.startswith(PNG) and len(text) < 300
    control = next(iter(vars(made.controls).values()))
    control.value = next(end for end in reversed(ends(control)) if end != control.value)
    assert bytes(made.image.value).startswith(PNG) and bytes(made.image.value) != first
    assert made.text != text and made.text.split()[0] in made.readout.value


def test_the_controls_come_first():  # the notebook compares the first 110 characters of the repr: no picture in them
    for make in widgets.EXPLORERS.values():
        made = make()
        assert len(repr(made).split("Image(")[0]) > 110


def test_an_explorer_of_your_own():
    calls = []

    def update(k, kind):
        calls.append((k, kind))
        fig, ax = widgets.canvas()
        ax.plot([0, k])
        return fig

    made = widgets.explorer(update, k=widgets.slider(1.0, 0.0, 2.0), kind=widgets.choice(["a", "b"], "b"))
    made.controls.k.value = 2.0
    made.controls.kind.value = "a"
    assert calls == [(1.0, "b"), (2.0, "b"), (2.0, "a")]
    assert made.values() == {"k": 2.0, "kind": "a"} and made.text == ""
    assert made.controls.k.description == "k"


def test_explorers_leave_no_open_figures():
    before = plt.get_fignums()
    for make in widgets.EXPLORERS.values():
        make()
    assert plt.get_fignums() == before


def test_the_schedule_explorer_tells_the_story_of_notebook_02():
    made = widgets.schedule_explorer()
    assert "alpha_bar_T = 0.603" in made.text and "still knows" in made.text
    made.controls.T.value = 1000
    assert "fine" in made.text


def test_every_explorer_of_the_course_is_walked():
    assert set(widgets.EXPLORERS) >= {"schedule", "kl", "budget", "flow", "guidance", "posterior", "weights"}
    assert widgets.EXPLORERS["budget"] is bit_budget.budget_explorer and widgets.EXPLORERS["flow"] is flows.flow_explorer
    assert widgets.EXPLORERS["posterior"] is posterior_widgets.posterior_explorer
    assert widgets.EXPLORERS["weights"] is weight_widgets.weights_explorer


# -- notebook 08: grids, calls, flows, and the laws of guidance -----------------------------------------------------------


@pytest.mark.parametrize("kind", flows.GRIDS)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 49, 50])
def test_grids_are_whole_and_fall_strictly(kind, n):
    for schedule in (Schedule.linear(50), Schedule.cosine(1000), Schedule.linear(1000)):
        times = flows.grid(schedule, n, kind)
        assert len(times) == n + 1 and times[0] == schedule.T and times[-1] == 0
        assert schedule.check_times(times) == times and all(type(t) is int for t in times)


def test_grids_are_even_in_what_they_say():
    schedule = Schedule.linear(100_000, 1e-6, 2e-4)  # so fine that rounding to whole times does not show
    lam = schedule.half_log_snr(flows.grid(schedule, 9, "log SNR")[:-1])
    assert np.diff(lam) == pytest.approx(np.diff(lam)[0], rel=0.01)
    root = np.exp(-schedule.half_log_snr(flows.grid(schedule, 9, "rho 7")[:-1])) ** (1 / 7)
    assert np.diff(root) == pytest.approx(np.diff(root)[0], rel=0.01)
    with pytest.raises(ValueError, match="must be one of trailing, quadratic, log SNR, rho 7"):
        flows.grid(schedule, 9, "logSNR")


def test_times_at():
    schedule = Schedule.linear(1000)
    assert flows.times_at(schedule, schedule.half_log_snr([1000, 400, 30])) == [1000, 400, 30, 0]
    assert flows.times_at(schedule, np.full(4, 99.0)) == [4, 3, 2, 1, 0]  # crowded at the data: they make room for each other
    assert flows.times_at(schedule, np.full(3, -99.0)) == [1000, 999, 998, 0]
    for wrong in ([1.0, 0.5], [], np.zeros(1001)):
        with pytest.raises(ValueError, match=r"1\.\.1000 rising numbers"):
            flows.times_at(schedule, wrong)


def test_the_calls_are_counted():
    denoiser = flows.Counted(flows.EXACT)
    assert denoiser.schedule is flows.SCHEDULE
    x = np.zeros((1, 2))
    last(heun(denoiser, x, flows.SCHEDULE.times(7)))
    assert denoiser.calls == 13
    last(ddim(denoiser, x, flows.SCHEDULE.times(7)))
    assert denoiser.calls == 20
    assert np.array_equal(denoiser(x, 5).eps, flows.EXACT(x, 5).eps)


def test_the_flow_explorer_tells_the_story_of_notebook_08():
    made = flows.flow_explorer()

    def distance(**values):
        for name, value in values.items():
            getattr(made.controls, name).value = value
        calls, _, rest = made.text.partition(" network calls")
        return int(calls), float(rest.split("end points")[1].split()[0])

    calls, coarse = distance(steps=10, solver="ddim", times="trailing")
    _, halved = distance(steps=20)
    assert calls == 10 and halved < 0.7 * coarse
    _, placed = distance(solver="dpm_solver", times="quadratic")
    assert placed < 0.5 * halved
    calls, exact = distance(solver="heun", steps=50)
    assert calls == 99 and exact < 0.01


@dataclass(frozen=True)
class Centre:
    mean: float | None

    def null(self):
        return Centre(None)


@dataclass(frozen=True)
class People:
    """Everybody N(0, 1); told a centre, the group N(centre, ratio)."""

    schedule: Schedule
    ratio: float

    def __call__(self, x_t, t, cond=None):
        told = cond is not None and cond.mean is not None
        law = GaussianMixture([1.0], [[cond.mean if told else 0.0]], [self.ratio if told else 1.0])
        return ExactDenoiser(law, self.schedule)(x_t, t)


def ancestral(denoiser, cond):
    """Mean and variance of guided ancestral sampling, exactly: every step is affine, so two points tell all of it."""
    schedule, at, mean, var = denoiser.schedule, np.array([[0.0], [1.0]]), 0.0, 1.0
    for t in range(schedule.T, 0, -1):
        pred: Prediction = denoiser(at, t, cond)
        step = reverse_transition(schedule, pred, at, t - 1, t, "large") if t > 1 else None
        to, added = (step.mean, float(step.var)) if step else (pred.x_0, 0.0)
        slope = float(to[1, 0] - to[0, 0])
        mean, var = float(to[0, 0]) + slope * mean, slope**2 * var + added
    return mean, var


@pytest.mark.parametrize(("scale", "ratio"), [(2.5, 0.25), (4.0, 0.5), (1.0, 0.25), (0.0, 0.4), (0.5, 0.3), (3.0, 1.0)])
def test_the_three_laws_of_guidance(scale, ratio):
    laws = flows.guided_laws(scale, ratio, shift=0.8)
    guided = Guided(People(Schedule.cosine(1000, max_beta=0.5), ratio), scale)
    low, high = last(heun(guided, np.array([[0.0], [1.0]]), guided.schedule.times(500), cond=Centre(0.8)))[:, 0]
    assert (low, (high - low) ** 2) == pytest.approx(laws["ODE"], rel=4e-3, abs=2e-3)
    assert ancestral(guided, Centre(0.8)) == pytest.approx(laws["ancestral"], rel=4e-3, abs=2e-3)
    x = np.linspace(-12, 12, 4001)
    log_p = scale * -((x - 0.8) ** 2) / (2 * ratio) - (scale - 1) * -(x**2) / 2
    p = np.exp(log_p - log_p.max()) / np.exp(log_p - log_p.max()).sum()
    assert (p @ x, p @ x**2 - (p @ x) ** 2) == pytest.approx(laws["tilted"], rel=1e-9, abs=1e-9)
    if scale in (0.0, 1.0) or ratio == 1:
        assert np.ptp(list(laws.values()), axis=0) == pytest.approx([0, 0], abs=1e-12)
    else:
        assert len({round(var, 3) for _, var in laws.values()}) == 3


def test_the_laws_of_guidance_have_a_domain():
    for scale, ratio in ((2.5, 0.0), (2.5, 1.2), (-0.5, 0.1)):
        with pytest.raises(ValueError, match="needed: 0 < ratio <= 1"):
            flows.guided_laws(scale, ratio)


def test_the_guidance_explorer_reads_the_three_laws():
    made = flows.guidance_explorer()
    assert "0.118" in made.text and "0.0312" in made.text and "0.083" in made.text
    made.controls.scale.value = 1.0
    assert made.text.count("variance 0.25") == 3
