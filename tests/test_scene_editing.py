"""Changing scenes by captions: with an oracle that knows what each caption looks like, and with one that ignores them."""

import numpy as np
import torch

from minidiff import ExactDenoiser, GaussianMixture
from minidiff.prediction import Prediction
from minidiff.run.captions import unseen
from minidiff.run.evaluate import Plan
from minidiff.run.scene_conditions import captions, pictures
from minidiff.run.scene_editing import certain, edited, filled_in, judge_edits, judge_filling, recoloured
from minidiff.run.space import Space
from tests.test_scene_evaluation import PIXELS, Oracle, Recogniser, some

PLAN = Plan(n=20, sampler="dpm_solver", steps=10, scale=1.5)


def test_one_thing_changes_its_colour_and_nothing_held_out_is_asked_for():
    rng = np.random.default_rng(0)
    for scene in some("text", 60):
        new = recoloured(scene.said, rng) if scene.said.form in ("above", "left of") else None
        if new:
            assert new.form == scene.said.form and new.what[1:] == scene.said.what[1:] and not unseen(new)
            assert new.what[0][0] == scene.said.what[0][0] and new.what[0][1] != scene.said.what[0][1]


def test_a_little_noise_keeps_the_picture_and_all_of_it_forgets():
    scenes = some("text", 4)
    x, cond = pictures(scenes), captions([s.caption for s in scenes])

    class Keeps(Oracle):
        """The exact denoiser of a law that is wide about the picture itself: what it answers is near x_t."""

        def __call__(self, x_t, t, cond=None):
            flat = ExactDenoiser(GaussianMixture([1.0], [[0.0]], [0.3]), self.schedule)(x_t.reshape(-1, 1).double(), t)
            return type(flat)(flat.x_0.reshape(x_t.shape).float(), flat.eps.reshape(x_t.shape).float())

    near, far = (edited(Keeps(cond.tokens, x), PIXELS, x, cond, strength, PLAN) for strength in (0.2, 1.0))
    assert (near - x).square().mean() < 0.1 < (far - x).square().mean()


def test_a_deaf_network_edits_nothing_right_and_an_oracle_fills_every_half():
    scenes = some("text", 30)
    pairs = [s for s in scenes if s.said.form in ("above", "left of")]

    class Deaf(Oracle):
        def __call__(self, x_t, t, cond=None):
            x_0 = self.answers[:1].expand(x_t.shape)
            signal, noise = self.schedule.scales(t)
            return type(super().__call__(x_t, t, cond))(x_0, (x_t - signal * x_0) / noise)

    x, cond = pictures(pairs), captions([s.caption for s in pairs])
    judge = Recogniser(pairs)
    found = judge_edits(Deaf(cond.tokens, x), PIXELS, judge, scenes, PLAN)
    assert set(found) == {"strength 0.4", "strength 0.6", "strength 0.8"}
    for one in found.values():
        assert one["n"] == len(pairs) and one["all"]["value"] <= 1 / len(pairs) and one["all"]["floor"] == 0
        assert one["ground"]["value"] > 0.05

    filled = judge_filling(Oracle(cond.tokens, x), PIXELS, judge, scenes, PLAN)
    assert filled["all"]["value"] == filled["all"]["floor"] == 1.0 and filled["n"] == len(pairs)


def test_known_pixels_come_back_exactly():
    scenes = some("text", 3)
    x, cond = pictures(scenes), captions([s.caption for s in scenes])
    known = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    y = filled_in(Oracle(cond.tokens, x.roll(1, 0)), PIXELS, x, known, cond, PLAN)
    assert torch.equal(y[known], x[known]) and not torch.allclose(y[~known], x[~known], atol=0.1)


def test_latents_are_known_where_their_tile_and_all_around_it_are():
    known = torch.ones(1, 1, 32, 24, dtype=torch.bool)
    known[:, :, 13, 9] = False
    sure = certain(known, 4)
    wrong = torch.zeros(8, 6, dtype=torch.bool)
    wrong[2:5, 1:4] = True  # the tile of row 3 and column 2, and its neighbours
    assert sure.shape == (1, 1, 8, 6) and torch.equal(~sure[0, 0], wrong)


def test_nothing_hidden_leaks_through_the_encoder():
    """A space whose encoder sees far: what is hidden must not change what is drawn."""
    scenes = some("text", 2)
    x, cond = pictures(scenes), captions([s.caption for s in scenes])
    blur = lambda x: torch.nn.functional.avg_pool2d(x, 8, 4, padding=2)  # noqa: E731
    space = Space("scenes", (3, 8, 8), False, lambda z: torch.nn.functional.interpolate(z, scale_factor=4.0), blur)
    known = torch.zeros(x.shape, dtype=torch.bool)
    known[:, :, :16] = True

    class Blank(Oracle):
        def __call__(self, x_t, t, cond=None):
            return Prediction(0 * x_t, x_t / self.schedule.scales(t)[1])

    one, other = (filled_in(Blank(cond.tokens, x), space, picture, known, cond, PLAN) for picture in (x, torch.where(known, x, -x)))
    assert torch.equal(one, other) and torch.equal(one[known], x[known])
