"""The digits of notebook 11: what is asked is drawn, guided as it should be; what is read is counted by hand, and so are calls."""

import math

import numpy as np
import pytest
import torch

from minidiff.notebook.guidance_widgets import DRAWN, WRONG, Row, digit_explorer, digits_figure, guided_digits, judged
from minidiff.prediction import Prediction
from minidiff.schedule import Schedule

PNG = b"\x89PNG\r\n\x1a\n"
TEMPLATES = torch.randn((10, 28, 28), generator=torch.Generator().manual_seed(0)).sign()


class Knows:
    """A denoiser that is sure: told a class, its template at strength 0.3; told nothing, the template of 0 at strength 0.2."""

    schedule = Schedule.cosine(50)

    def __init__(self):
        self.told = []

    def __call__(self, x_t, t, cond=None):
        asked = cond.vector.any(1)
        self.told.append(bool(asked.all()))
        x_0 = torch.where(asked[:, None, None], 0.3 * TEMPLATES[cond.vector.argmax(1)], 0.2 * TEMPLATES[0])[:, None].expand_as(x_t)
        signal, noise = self.schedule.scales(t)
        return Prediction(x_0, (x_t - signal * x_0) / noise)


class Reader(torch.nn.Module):
    """A judge that compares with the templates."""

    def features(self, x):
        return x.flatten(1)

    def forward(self, x):
        return 0.05 * x.flatten(1) @ TEMPLATES.flatten(1).T


def real(each=DRAWN):
    y = torch.arange(10).repeat_interleave(each)
    noise = torch.randn((len(y), 1, 28, 28), generator=torch.Generator().manual_seed(1))
    return (0.5 * TEMPLATES[y][:, None] + 0.1 * noise).clamp(-1, 1), y


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_what_is_drawn_is_the_guided_class(scale):
    drawn = guided_digits(Knows(), 7, scale, seed=3, steps=6)
    wanted = 0.2 * TEMPLATES[0] + scale * (0.3 * TEMPLATES[7] - 0.2 * TEMPLATES[0])
    assert drawn.shape == (DRAWN, 1, 28, 28)
    assert torch.allclose(drawn, wanted.clamp(-1, 1).expand_as(drawn), atol=1e-5)


def test_what_is_read_counted_by_hand():
    x, _ = real()
    x = torch.cat([x[:3], x[8:10]])  # three of 0, two of 1
    row = judged(Reader(), x, 1)
    assert row.read == [0, 0, 0, 1, 1]
    logits = [[0.05 * float((p[0] * T).sum()) for T in TEMPLATES] for p in x]
    sure = np.mean([math.exp(line[1]) / sum(math.exp(v) for v in line) for line in logits])
    apart = [float((x[i] - x[j]).square().sum()) ** 0.5 for i in range(5) for j in range(i)]
    assert row.sure == pytest.approx(sure, rel=1e-4) and row.spread == pytest.approx(np.mean(apart), rel=1e-5)


def test_the_readout_says_how_many_were_as_asked():
    made = digit_explorer(Knows(), Reader(), *real())
    made.controls.label.value, made.controls.scale.value = 4, 0.0
    head, first, plain, guided = made.text.splitlines()
    assert head.split() == ["read", "as", "4", "sure", "of", "4", "spread"]
    assert first.split()[:4] == ["real", "8", "of", "8"] and first.split()[-1] == "1.00"
    assert plain.split()[:5] == ["scale", "1", "8", "of", "8"] and plain.split()[-1] == "0.00"  # this denoiser says one thing only
    assert guided.split()[:5] == ["scale", "0", "0", "of", "8"]  # told nothing, it draws 0


def test_a_row_is_drawn_once_and_plain_sampling_pays_for_one_call_a_step():
    denoiser = Knows()
    made = digit_explorer(denoiser, Reader(), *real())
    steps = made.controls.steps.value
    assert denoiser.told.count(True) == 2 * steps and denoiser.told.count(False) == steps  # scale 1, and both halves of the other
    first = bytes(made.image.value)
    made.controls.scale.value = 1.0
    assert len(denoiser.told) == 3 * steps
    made.controls.scale.value = 2.0
    assert len(denoiser.told) == 5 * steps
    made.controls.scale.value = 4.0
    assert len(denoiser.told) == 5 * steps and bytes(made.image.value) == first
    made.controls.seed.value = 1
    assert len(denoiser.told) == 8 * steps
    assert not any(control.continuous_update for control in vars(made.controls).values())


def test_what_is_not_as_asked_is_in_colour():
    x, _ = real()
    row = Row(x[:DRAWN], [7, 1, 7, 7, 2, 7, 7, 7], 0.5, 1.0)
    (axes,) = digits_figure({"scale 2": row}, 7).axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["7", "1", "7", "7", "2", "7", "7", "7"]
    assert [t.get_color() == WRONG for t in axes.get_xticklabels()] == [k in (1, 4) for k in range(8)]
    sheet = axes.images[0].get_array()
    assert np.allclose(sheet[:, 34:62], x[1, 0]) and np.ma.getmaskarray(sheet)[:, [0, 1, 30, 31]].all()
    assert axes.get_xticks()[1] == pytest.approx(47.5)  # the middle of columns 34..61 is between 47 and 48
    assert axes.get_ylabel() == "scale 2"


def test_every_corner_and_too_few_real_digits():
    made = digit_explorer(Knows(), Reader(), *real())
    for label, scale, steps in ((0, 0.0, 1), (9, 8.0, 20), (9, 1.0, 1), (0, 8.0, 1)):
        made.controls.label.value, made.controls.scale.value, made.controls.steps.value = label, scale, steps
        assert bytes(made.image.value).startswith(PNG) and "nan" not in made.text and "inf" not in made.text
    with pytest.raises(ValueError, match="at least 8 of each of ten classes; got one class with 7"):
        digit_explorer(Knows(), Reader(), *real(7))


class Copies:
    """A denoiser that says, whatever it is told, a quarter of what it sees."""

    schedule = Schedule.cosine(50)

    def __call__(self, x_t, t, cond=None):
        signal, noise = self.schedule.scales(t)
        return Prediction(x_t / 4, (x_t - signal * x_t / 4) / noise)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_noise_is_that_of_the_seed_at_every_scale(seed):
    noise = torch.randn((DRAWN, 1, 28, 28), generator=torch.Generator().manual_seed(seed))
    for scale in (0.0, 1.0, 4.0):
        drawn = guided_digits(Copies(), 3, scale, seed, steps=1)  # one step ends at the first answer
        assert torch.allclose(drawn, (noise / 4).clamp(-1, 1), atol=1e-5)
