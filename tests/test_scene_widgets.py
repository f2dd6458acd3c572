"""The text box and the map that is painted: what is typed or pressed is what the network is told, and mistakes are said, not raised."""

import numpy as np
import pytest
import torch

from minidiff.nn.scene_judge import CLASSES, TINTS
from minidiff.notebook.scene_widgets import BLANK, MapPainter, caption_explorer, map_painter, put
from minidiff.prediction import Prediction
from minidiff.run.captions import COLOURS, DIGITS
from minidiff.run.digits import mnist
from minidiff.run.scene_conditions import captions, maps, pictures
from minidiff.run.scenes import Scenes
from minidiff.run.space import Space
from minidiff.run.writing import written
from minidiff.schedule import Schedule

PNG = b"\x89PNG\r\n\x1a\n"
PIXELS = Space("scenes", (3, 32, 32), True, lambda x: x)
WORLD = Scenes(mnist("test", "embedded", quiet=True), 7, allowed=lambda said: True)
SOME = [WORLD[k] for k in range(12)]


class Knows:
    """A denoiser that answers, to a caption it has met, the picture that belongs to it; to any map, a grey picture that shows the map."""

    schedule = Schedule.cosine(50)

    def __init__(self):
        self.told, self.seen = captions([s.caption for s in SOME]).tokens, []

    def __call__(self, x_t, t, cond=None):
        self.seen.append(cond)
        if cond.tokens is not None:
            x_0 = pictures(SOME)[(cond.tokens[:, None] == self.told).all(-1).float().argmax(1)]
        else:
            image = torch.nn.functional.pixel_shuffle(cond.image, 4)
            x_0 = image[:, 1:11].amax(1, keepdim=True).expand(-1, 3, -1, -1) - 0.5
        signal, noise = self.schedule.scales(t)
        return Prediction(x_0, (x_t - signal * x_0) / noise)


class Reader(torch.nn.Module):
    """A judge that knows these scenes by heart."""

    def forward(self, x):
        known = pictures(SOME).flatten(1)
        at = torch.cdist(x.flatten(1), known).argmin(1) if x.shape[2:] == (32, 32) else torch.zeros(len(x), dtype=torch.long)
        mine = torch.from_numpy(np.stack([np.stack([s.map, s.tint]) for s in SOME]).astype(np.int64))[at]
        hot = [torch.nn.functional.one_hot(mine[:, k], n) for k, n in ((0, CLASSES), (1, TINTS))]
        return 20.0 * torch.cat(hot, -1).movedim(-1, 1).float()


def test_a_typed_caption_is_drawn_and_read():
    made = caption_explorer(Knows(), PIXELS, Reader(), SOME[0].caption)
    assert bytes(made.image.value).startswith(PNG) and made.text.endswith("as was said: 4 of 4")
    made.controls.scale.value = 1.0  # this denoiser has no answer to the empty caption that guidance could go away from
    first, text = bytes(made.image.value), made.text
    made.controls.caption.value = SOME[1].caption
    assert bytes(made.image.value) != first and made.text != text and made.text.endswith("4 of 4")
    assert all(f"{COLOURS[p.colour]} {DIGITS[p.digit]}" in made.text for p in SOME[1].digits)


def test_sentences_that_are_none_are_said_to_be():
    made = caption_explorer(Knows(), PIXELS, Reader(), SOME[0].caption)
    with pytest.warns(UserWarning, match="'elephant' was never in a training caption"):
        made.controls.caption.value = "a red elephant"
    assert "no sentence of this language" in made.text
    made.controls.caption.value = "a " * 20
    assert made.text == "nothing drawn" and bytes(made.image.value).startswith(PNG)
    made.controls.caption.value = ""
    assert "no sentence" in made.text


def test_one_sample_for_figure_and_text():
    denoiser = Knows()
    made = caption_explorer(denoiser, PIXELS, Reader(), SOME[0].caption)
    calls = len(denoiser.seen)
    made.controls.seed.value = 1
    assert len(denoiser.seen) == 2 * calls


def test_a_box_is_put_where_it_was_asked_for_and_stays_on_the_canvas():
    empty = np.zeros((32, 64), np.uint8), np.zeros((32, 64), np.uint8)
    labels, tint = put(*empty, 7, 2, 16, 30)
    assert not empty[0].any() and set(np.unique(labels)) == {0, 8} and set(np.unique(tint)) == {0, 3}
    rows, columns = np.nonzero(labels)
    assert (rows.min() + rows.max()) / 2 == 16 and (columns.min() + columns.max()) / 2 == 30
    for y, x in ((0, 0), (31, 63)):
        corner, _ = put(*empty, 0, 0, y, x)
        assert (corner > 0).sum() == (labels > 0).sum() and corner[y, x] == 1
    assert maps(labels[None], tint[None]).image.shape == (1, 17 * 16, 8, 16)
    with pytest.raises(ValueError, match="there are digits 0..9"):
        put(*empty, 10, 0, 5, 5)


def test_pressing_typing_and_clearing():
    denoiser = Knows()
    made = map_painter(denoiser, PIXELS, Reader(), (32, 32), "12")
    assert isinstance(made, MapPainter) and np.array_equal(made.labels, written("12", (32, 32), "red")[0])
    made.clear.click()
    assert not made.labels.any() and all(button.description == BLANK for line in made.cells for button in line)
    assert [button.tooltip for button in made.cells[1]] == [f"row 2, column {j}: empty" for j in (1, 2, 3, 4)]
    made.digit.value, made.colour.value = 3, "blue"
    first = bytes(made.image.value)
    made.cells[1][2].click()
    assert made.labels[12, 20] == 4 and made.tint[12, 20] == 3 and made.cells[1][2].description == "3"
    assert made.cells[1][2].tooltip == "row 2, column 3: blue three" and "the judge sees" in made.image.tooltip
    assert bytes(made.image.value).startswith(PNG) and bytes(made.image.value) != first
    told = maps(made.labels[None], made.tint[None]).image
    assert any(torch.equal(cond.image, told) for cond in denoiser.seen[-2:]), "guided: asked with the map and without"
    kept = made.labels
    made.line.value = "no digits"
    assert "there must be digits to write" in made.readout.value and made.labels is kept
    made.line.value = "9"
    assert set(np.unique(made.labels)) == {0, 10} and "the judge sees" in made.readout.value

