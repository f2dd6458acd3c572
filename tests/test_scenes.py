"""Digit scenes: map, tint, list of digits and caption tell one story, found again by looking at pixels and by reading words."""

import numpy as np
import pytest
from scipy import ndimage

from minidiff.run.captions import COLOURS, DIGITS, FORMS, Described, caption_of, read, unseen, unseen_thing
from minidiff.run.digits import mnist
from minidiff.run.placing import Placed, related, some_description
from minidiff.run.reading import agrees
from minidiff.run.scenes import RGB, Scenes, areas, ground, inked, paint

DIGITS_AT_HAND = mnist("train", "embedded", quiet=True)


def text(seed=0, size=(32, 32), **options):
    return Scenes(DIGITS_AT_HAND, seed, size, "text", **options)


def crowd(seed=0, size=(64, 96)):
    return Scenes(DIGITS_AT_HAND, seed, size, "crowd")


def test_scene_k_of_a_seed_is_always_the_same_and_others_differ():
    one, again, other, next_one = text(3)[5], text(3)[5], text(4)[5], text(3)[6]
    assert np.array_equal(one.picture, again.picture) and one.caption == again.caption and one.digits == again.digits
    assert not np.array_equal(one.picture, other.picture) and not np.array_equal(one.picture, next_one.picture)


@pytest.mark.parametrize("made", [text(), crowd(), text(1, (48, 40)), crowd(2, (32, 160))], ids=lambda s: f"{s.kind} {s.size}")
def test_map_and_tint_are_the_boxes_of_the_digits(made):
    for k in range(40):
        scene = made[k]
        H, W = made.size
        assert scene.picture.shape == (H, W, 3) and scene.map.shape == scene.tint.shape == (H, W)
        labels, tint = np.zeros((H, W), int), np.zeros((H, W), int)
        for y in range(H):
            for x in range(W):
                for d in scene.digits:
                    if d.top <= y < d.top + d.height and d.left <= x < d.left + d.width:
                        assert labels[y, x] == 0, "two boxes overlap"
                        labels[y, x], tint[y, x] = 1 + d.digit, 1 + d.colour
        assert np.array_equal(labels, scene.map) and np.array_equal(tint, scene.tint)
        _, n = ndimage.label(ndimage.binary_dilation(scene.map > 0, np.ones((2, 2))))
        assert n == len(scene.digits), "boxes touch, or lie closer than GAP"


def test_ink_has_the_colour_that_the_tint_says():
    for k in range(60):
        scene = text()[k]
        for d in scene.digits:
            box = scene.picture[d.top : d.top + d.height, d.left : d.left + d.width].astype(float)
            nearest = ((box[..., None, :] - RGB) ** 2).sum(-1)
            assert nearest.min((0, 1)).argmin() == d.colour, scene.caption


def test_ink_touches_every_side_of_its_box():
    for digit in DIGITS_AT_HAND.images[:200]:
        ink = inked(digit, 12, 14)
        assert all(side.max() > 0.05 for side in (ink[0], ink[-1], ink[:, 0], ink[:, -1]))


@pytest.mark.parametrize("form", FORMS)
def test_a_scene_shows_what_its_caption_says_and_the_caption_is_read_back(form):
    rng = np.random.default_rng(FORMS.index(form))
    found = 0
    while found < 60:
        said = some_description(rng)
        if said.form != form:
            continue
        found += 1
        scene = text().draw(said, rng)
        assert read(scene.caption) == said and scene.said == said
        assert all(agrees(scene.digits, said).values()), (scene.caption, scene.digits)
        assert all(0 <= d.top <= 32 - d.height and 0 <= d.left <= 32 - d.width for d in scene.digits)


def test_every_wording_is_drawn_and_says_the_same():
    rng = np.random.default_rng(0)
    said = Described("above", ((7, 0), (2, 2)))
    wordings = {caption_of(said, rng) for _ in range(2000)}
    assert {"a red seven above a blue two", "one two in blue"} & wordings == {"a red seven above a blue two"}
    assert len(wordings) == 4 * 3 * 3 and {read(w) for w in wordings} == {said}
    said = Described("row", ((6, 1),) * 3)
    assert {caption_of(said, rng) for _ in range(50)} == {"three green sixes in a row", "a row of three green sixes"}


def test_captions_read_by_brute_force():
    """Every thing, relation and number, in plain words made here."""
    for form, words in (("above", "over"), ("left of", "to the left of")):
        for d, digit in enumerate(DIGITS):
            for c, colour in enumerate(COLOURS):
                assert read(f"A {colour} {digit}") == Described("alone", ((d, c),))
                assert read(f"one {digit} in {colour} {words} a white  nine") == Described(form, ((d, c), (9, 5)))
    for back, form in (("below", "above"), ("under", "above"), ("right of", "left of"), ("to the right of", "left of")):
        assert read(f"a red seven {back} a blue two") == Described(form, ((2, 2), (7, 0)))


NONSENSE = ["", "seven", "a seven", "a pink seven", "a red seven near a blue two", "three green four in a row", "a red seven above"]


@pytest.mark.parametrize("caption", NONSENSE)
def test_what_is_no_caption_is_refused_with_an_example(caption):
    with pytest.raises(ValueError, match="no caption of these scenes; for example"):
        read(caption)


def test_a_row_of_four_is_refused_for_its_number():
    with pytest.raises(ValueError, match="'row' is said of 2 or 3 digits; got 4"):
        read("four red ones in a row")


def test_held_out_combinations_never_occur_unless_asked_for():
    seen = [text()[k].said for k in range(1500)]
    every = [text(allowed=lambda said: True)[k].said for k in range(1500)]
    assert not any(unseen(said) for said in seen)
    share = np.mean([unseen(said) for said in every])
    assert 0.15 < share < 0.35, share
    assert sum(unseen_thing(d, c) for d in range(10) for c in range(6)) == 6
    only = text(allowed=unseen)
    assert all(unseen(only[k].said) for k in range(30))


def test_crowds_on_a_large_canvas_look_the_same_everywhere():
    """The share of pixels in boxes, in the middle and along the borders; within 5 standard errors over scenes."""
    inside = np.array([crowd(0, (64, 64))[k].map > 0 for k in range(300)], float)
    border = np.ones((64, 64), bool)
    border[8:-8, 8:-8] = False
    difference = inside[:, border].mean(1) - inside[:, ~border].mean(1)
    assert abs(difference.mean()) < 0.03, difference.mean()


def test_a_window_is_a_part_of_the_canvas():
    scene = crowd()[0]
    part = scene.crop(8, 16, 32, 32)
    assert np.array_equal(part.picture, scene.picture[8:40, 16:48]) and np.array_equal(part.map, scene.map[8:40, 16:48])
    assert part.caption == "" and {d.digit + 1 for d in part.digits} == set(np.unique(part.map)) - {0}
    with pytest.raises(ValueError, match=r"canvas of 64 x 96; got rows 40\.\.72"):
        scene.crop(40, 0, 32, 32)


def test_averaging_areas_keeps_ink_and_is_exact_for_whole_factors():
    for n, m in ((20, 10), (20, 13), (7, 12), (5, 5)):
        matrix = areas(n, m)
        assert np.allclose(matrix.sum(1), 1, atol=1e-6) and np.allclose(matrix.sum(0), m / n, atol=1e-6)
    x = np.random.default_rng(0).random(20)
    assert np.allclose(areas(20, 10) @ x, x.reshape(10, 2).mean(1), atol=1e-6)
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 9:19] = 255
    assert inked(digit, 10, 14).shape == (10, 5) and np.allclose(inked(digit, 10, 14), 1, atol=1e-5)


def test_a_ground_goes_on_beyond_the_canvas():
    small, large = (ground(size, np.random.default_rng(3)) for size in ((32, 32), (64, 128)))
    assert np.allclose(small, large[:32, :32], atol=1e-3)


def test_related_by_brute_force():
    for dy in range(-9, 10):
        for dx in range(-9, 10):
            if (dy, dx) == (0, 0):
                continue
            a, b = Placed(1, 1, 20, 20, 10, 10), Placed(1, 1, 20 + dy, 20 + dx, 10, 10)
            expected = ("above" if dy > 0 else "below") if abs(dy) >= abs(dx) else ("left of" if dx > 0 else "right of")
            assert related(a, b) == expected


def test_what_is_refused():
    with pytest.raises(ValueError, match='kind must be "text" or "crowd"'):
        Scenes(DIGITS_AT_HAND, kind="heap")
    with pytest.raises(ValueError, match="at least 32 x 32 pixels; got 16 x 40"):
        text(size=(16, 40))
    with pytest.raises(ValueError, match="seed must be at least 0"):
        text(-1)
    with pytest.raises(IndexError, match="numbered from 0"):
        text()[-1]
    with pytest.raises(ValueError, match="alike"):
        Described("row", ((1, 1), (2, 2)))
    with pytest.raises(ValueError, match="form must be one of"):
        Described("beside", ((1, 1), (2, 2)))


def test_a_digit_beyond_the_border_is_not_there():
    lonely = [Placed(1, 0, 4, -11, 12, 12)]  # a one is narrow: its narrowed box lies outside
    narrow = DIGITS_AT_HAND.images[np.flatnonzero(DIGITS_AT_HAND.labels == 1)[0]]
    scene = paint(lonely, (32, 32), lambda digit: narrow, np.random.default_rng(0))
    assert len(scene.digits) == int((scene.map > 0).any())
