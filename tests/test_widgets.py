"""The explorers: every corner of their sliders draws a figure, and moving a slider changes picture and text."""

import itertools
import warnings

import ipywidgets as ipw
import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from minidiff.notebook import setup, widgets

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
    with plt.rc_context(), warnings.catch_warnings():
        setup()
        warnings.simplefilter("error")
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
