"""Judging networks that are told scenes: an oracle reaches what real scenes reach, a stranger does not, and the canvas may be any."""

import numpy as np
import pytest
import torch
from torch import nn

from minidiff.gaussian import Gaussian
from minidiff.learn import Condition, LatentSpace
from minidiff.nn.scene_judge import CLASSES, TINTS
from minidiff.prediction import Prediction
from minidiff.run import scene_evaluation
from minidiff.run.digits import mnist
from minidiff.run.evaluate import Plan
from minidiff.run.scene_conditions import captions, maps, pictures
from minidiff.run.scene_evaluation import boxes_right, drawn, judge_captions, judge_maps, judge_scene_reconstruction, judge_superres
from minidiff.run.scenes import Scenes
from minidiff.run.space import Space
from minidiff.schedule import Schedule

DIGITS = mnist("test", "embedded", quiet=True)
PLAN = Plan(n=20, sampler="ddim", steps=5)
PIXELS = Space("scenes", (3, 32, 32), True, lambda x: x)


def some(kind, n=20, size=(32, 32)):
    made = Scenes(DIGITS, 7, size, kind)
    return [made[k] for k in range(n)]


class Recogniser(nn.Module):
    """A judge that knows these scenes by heart: it answers the maps of the one nearest to the picture."""

    def __init__(self, known):
        super().__init__()
        self.known = pictures(known).flatten(1)
        self.maps = torch.from_numpy(np.stack([np.stack([s.map, s.tint]) for s in known]).astype(np.int64))

    def forward(self, x):
        mine = self.maps[torch.cdist(x.flatten(1), self.known).argmin(1)]
        hot = [nn.functional.one_hot(mine[:, k], n) for k, n in ((0, CLASSES), (1, TINTS))]
        return 20.0 * torch.cat(hot, -1).movedim(-1, 1).float()


class Oracle:
    """Told a condition it has met, it answers the scene that belongs to it; `turn` scenes further on, if it is to be wrong."""

    schedule = Schedule.cosine(50)

    def __init__(self, conditions, answers, turn=0):
        self.conditions, self.answers = conditions.flatten(1).float(), answers.roll(turn, 0)

    def __call__(self, x_t, t, cond=None):
        told = (cond.tokens if cond.tokens is not None else cond.image).flatten(1).float()
        x_0 = self.answers[torch.cdist(told, self.conditions).argmin(1)]
        signal, noise = self.schedule.scales(t)
        return Prediction(x_0, (x_t - signal * x_0) / noise)


def test_captions_an_oracle_and_a_stranger():
    scenes = some("text")
    cond, judge = captions([s.caption for s in scenes]).tokens, Recogniser(scenes)
    right = judge_captions(Oracle(cond, pictures(scenes)), PIXELS, judge, scenes, PLAN)
    wrong = judge_captions(Oracle(cond, pictures(scenes), turn=1), PIXELS, judge, scenes, PLAN)
    for key in scene_evaluation.ASKED:
        assert right[key]["value"] == right[key]["floor"] == 1.0 and right[key]["n"] == 20, key
    assert wrong["all"]["value"] < 0.1 and wrong["all"]["floor"] == 1.0
    assert sum(n for _, n in right["by_form"].values()) == 20 and all(a == n for a, n in right["by_form"].values())


@pytest.mark.parametrize("size", [(32, 32), (48, 64)])
def test_maps_of_any_size(size):
    scenes = some("crowd", size=size)
    image, judge = maps(np.stack([s.map for s in scenes]), np.stack([s.tint for s in scenes])).image, Recogniser(scenes)
    right = judge_maps(Oracle(image, pictures(scenes)), PIXELS, judge, scenes, PLAN)
    wrong = judge_maps(Oracle(image, pictures(scenes), turn=3), PIXELS, judge, scenes, PLAN)
    for key in ("pixels", "boxes", "digits", "colours"):
        assert right[key]["value"] == right[key]["floor"] == 1.0, key
    assert wrong["boxes"]["value"] < 0.3 and wrong["digits"]["value"] < 0.35


def test_superresolution():
    scenes = some("crowd")
    x = pictures(scenes)
    small = nn.functional.interpolate(nn.functional.avg_pool2d(x, 4), scale_factor=4.0, mode="nearest")
    told = Oracle(nn.functional.avg_pool2d(x, 4), (x + 0.02).clamp(-1, 1))
    found = judge_superres(told, PIXELS, Recogniser(scenes), scenes, PLAN)
    assert found["psnr"]["value"] > 35 and found["digits"]["value"] == 1.0
    error = ((small - x) ** 2).mean((1, 2, 3)).mean().item()
    assert abs(found["psnr_without_network"]["value"] - 10 * np.log10(4 / error)) < 0.01


def test_what_is_left_after_the_autoencoder(monkeypatch):
    """One that changes nothing leaves what the judge reads; one that forgets the colours leaves only the digits."""
    text, crowd = some("text"), some("crowd")
    monkeypatch.setattr(scene_evaluation, "held_out", lambda n, kind, seed, allowed=None: text if kind == "text" else crowd)

    class Through:
        factor = 4

        def __init__(self, way):
            self.way = way

        def encode(self, x):
            return Gaussian(x, 0.0)

        def decode(self, z):
            return self.way(z)

    judge = Recogniser([*text, *crowd])
    same, none = (judge_scene_reconstruction(LatentSpace(Through(way), 2.0), judge, 20) for way in (lambda z: z, lambda z: z.roll(1, 0)))
    assert same["psnr"]["value"] > 90 and all(same[key]["value"] == same[key]["floor"] == 1 for key in ("all", "pixels", "digits"))
    assert none["psnr"]["value"] < 20 and none["all"]["value"] < 0.1 and none["all"]["floor"] == 1


def test_digits_in_boxes_by_hand():
    scene = some("crowd", 1, (48, 64))[0]
    whole = [d for d in scene.digits if 0 <= d.top <= 48 - d.height and 0 <= d.left <= 64 - d.width]
    classes, tints = np.full((CLASSES, 48, 64), -9.0), np.full((TINTS, 48, 64), -9.0)
    first = whole[0]
    box = np.s_[first.top : first.top + first.height, first.left : first.left + first.width]
    classes[(1 + first.digit, *box)] = 0.0
    classes[1 + (first.digit + 1) % 10, first.top, first.left] = 5.0  # one pixel does not decide
    tints[(1 + (first.colour + 1) % 6, *box)] = 0.0
    alone = boxes_right(classes, tints, scene)
    assert alone[2] == len(whole) and alone[0] >= 1 and alone[1] == sum(d.colour == 0 for d in whole[1:])


def test_more_scenes_begin_with_the_same_ones_and_guidance_reaches_the_network():
    seen = []

    class Listener(Oracle):
        def __call__(self, x_t, t, cond=None):
            seen.append(cond.tokens.sum().item())
            return super().__call__(x_t, t, cond)

    scenes = some("text", 6)
    cond = captions([s.caption for s in scenes])
    network = Listener(cond.tokens, pictures(scenes))
    few, many = (drawn(network, PIXELS, Condition(tokens=cond.tokens[:n]), (32, 32), PLAN, chunk=3) for n in (3, 6))
    assert torch.equal(few, many[:3]) and 0 not in seen
    drawn(network, PIXELS, cond, (32, 32), Plan(n=20, sampler="ddim", steps=2, scale=3.0))
    assert 0 in seen, "the empty caption was never asked about"


def test_the_table_has_a_line_for_each_number():
    scenes = some("text")
    found = judge_captions(Oracle(captions([s.caption for s in scenes]).tokens, pictures(scenes)), PIXELS, Recogniser(scenes), scenes, PLAN)
    text = scene_evaluation.table({"data": {"digits": ["embedded", 500]}, "captions": {"ddim 5, seen": found}})
    assert "captions: ddim 5, seen" in text and "relation" in text and "all right, by form:" in text
