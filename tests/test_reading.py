"""The judge's reading: of maps that are known, and by rules that are tried on every arrangement."""

import numpy as np
import pytest
import torch
from torch import nn

from minidiff.nn.scene_judge import CLASSES, TINTS, SceneJudge, map_loss
from minidiff.run.captions import Described
from minidiff.run.digits import mnist
from minidiff.run.placing import Placed
from minidiff.run.reading import agrees, digits_seen, map_agreement
from minidiff.run.scenes import Scenes

DIGITS = mnist("train", "embedded", quiet=True)


class Told(nn.Module):
    """A judge that is told the maps, and answers them with logits: what is read must be what was drawn."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, x):
        mine = self.maps[x[:, 0, 0, 0].long()]  # which scene it is stands in its first pixel
        hot = [torch.nn.functional.one_hot(mine[:, k], n) for k, n in ((0, CLASSES), (1, TINTS))]
        return 20.0 * torch.cat(hot, -1).movedim(-1, 1).float()


def drawn(kind, n=60, size=(32, 32)):
    some = [Scenes(DIGITS, 0, size, kind, lambda said: True)[k] for k in range(n)]
    maps = torch.from_numpy(np.stack([np.stack([s.map, s.tint]) for s in some]).astype(np.int64))
    x = torch.zeros(n, 3, *size)
    x[:, 0, 0, 0] = torch.arange(n)
    return some, maps, x


@pytest.mark.parametrize(("kind", "size"), [("text", (32, 32)), ("crowd", (48, 80))])
def test_of_a_perfect_map_every_digit_is_read_with_its_box(kind, size):
    some, maps, x = drawn(kind, size=size)
    H, W = size
    for scene, seen in zip(some, digits_seen(Told(maps), x), strict=True):
        cut = {(d.digit, d.colour, max(d.top, 0), max(d.left, 0), min(d.top + d.height, H), min(d.left + d.width, W)) for d in scene.digits}
        large = {d for d in cut if (d[4] - d[2]) * (d[5] - d[3]) >= 12}
        assert {(d.digit, d.colour, d.top, d.left, d.top + d.height, d.left + d.width) for d in seen} == large


def test_a_perfect_reading_agrees_with_every_caption_and_a_wrong_one_says_what_is_wrong():
    some, maps, x = drawn("text")
    for scene, seen in zip(some, digits_seen(Told(maps), x), strict=True):
        assert all(agrees(seen, scene.said).values()), scene.caption
        first = seen[0]
        other = [Placed((first.digit + 1) % 10, first.colour, first.top, first.left, first.height, first.width), *seen[1:]]
        assert not agrees(other, scene.said)["digit"] and agrees(other, scene.said)["colour"]
        assert not any(agrees([*seen, first], scene.said)[key] for key in ("digit", "colour", "things", "relation", "all"))
        assert not agrees(seen[1:], scene.said)["all"]


def at(row, column, digit=3, colour=1):
    return Placed(digit, colour, row - 5, column - 4, 10, 8)


def test_relations_on_every_offset():
    said = {form: Described(form, ((3, 1), (5, 2))) for form in ("above", "left of")}
    for dy in range(-14, 15, 2):
        for dx in range(-14, 15, 2):
            if (dy, dx) == (0, 0):
                continue
            seen = [at(16 + dy, 16 + dx, 5, 2), at(16, 16)]  # in any order
            assert agrees(seen, said["above"])["relation"] == (dy > 0 and abs(dy) >= abs(dx))
            assert agrees(seen, said["left of"])["relation"] == (dx > 0 and abs(dx) > abs(dy))
            twins = [at(16, 16), at(16 + dy, 16 + dx)]  # alike: whichever is above will do
            assert agrees(twins, Described("above", ((3, 1),) * 2))["relation"] == (abs(dy) >= abs(dx))


def test_colours_swapped_are_right_colours_on_wrong_digits():
    said = Described("above", ((3, 1), (5, 2)))
    found = agrees([at(8, 16, 3, 2), at(24, 16, 5, 1)], said)
    assert found["digit"] and found["colour"] and not found["things"] and not found["all"]


def test_rows_columns_and_squares():
    row, column = [at(10, c) for c in (5, 16, 27)], [at(8, 10), at(24, 11)]
    square = [at(8, 8), at(8, 24), at(24, 9), at(23, 24)]
    assert agrees(row, Described("row", ((3, 1),) * 3))["all"] and agrees(column, Described("column", ((3, 1),) * 2))["all"]
    assert agrees(square, Described("square", ((3, 1),) * 4))["all"] and agrees(row[:2], Described("row", ((3, 1),) * 2))["all"]
    assert not agrees(row[:2], Described("column", ((3, 1),) * 2))["all"]
    assert not agrees(column, Described("row", ((3, 1),) * 2))["all"]
    assert not agrees([at(8, 8), at(8, 24), at(9, 16), at(24, 16)], Described("square", ((3, 1),) * 4))["all"]


def test_agreement_with_a_map_is_a_share_of_pixels():
    _, maps, x = drawn("crowd", 8, (32, 64))
    assert map_agreement(Told(maps), x, maps[:, 0])["pixels"].tolist() == [1.0] * 8
    wrong = maps.clone()
    wrong[0, 0, :, :32] = (wrong[0, 0, :, :32] + 1) % CLASSES
    found = map_agreement(Told(wrong), x, maps[:, 0])
    assert np.allclose(found["pixels"], [0.5] + [1.0] * 7)
    inside = maps[0, 0] > 0
    assert np.isclose(found["boxes"][0], (inside[:, 32:].sum() / inside.sum()).item())
    empty = map_agreement(Told(torch.zeros(1, 2, 32, 32, dtype=torch.long)), x[:1, ..., :32], torch.zeros(1, 32, 32, dtype=torch.long))
    assert empty["pixels"][0] == 1 and np.isnan(empty["boxes"][0])


def test_the_judge_reads_any_canvas_by_one_rule():
    torch.manual_seed(0)
    judge = SceneJudge(8).eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        whole, part = judge(x), judge(x[..., 16:48, 16:64])
    assert whole.shape == (1, CLASSES + TINTS, 64, 96)
    assert torch.allclose(whole[..., 16:48, 16:64][..., 15:17, 20:28], part[..., 15:17, 20:28], atol=1e-2)
    with pytest.raises(ValueError, match="multiples of 4"):
        judge(torch.zeros(1, 3, 30, 32))


def test_the_loss_is_two_cross_entropies_by_hand():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(2, CLASSES + TINTS, 4, 4, generator=g, dtype=torch.float64)
    maps = torch.stack([torch.randint(0, n, (2, 4, 4), generator=g) for n in (CLASSES, TINTS)], 1)
    total = 0.0
    for b in range(2):
        for y in range(4):
            for z in range(4):
                for part, want in ((logits[b, :CLASSES, y, z], maps[b, 0, y, z]), (logits[b, CLASSES:, y, z], maps[b, 1, y, z])):
                    total += float(torch.logsumexp(part, 0) - part[want]) / 32
    assert abs(map_loss(logits, maps).item() - total) < 1e-12
