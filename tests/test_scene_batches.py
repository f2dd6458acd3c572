"""Scenes as training meets them: the judge gets worn pictures and true maps, the autoencoder pictures, the others latents."""

from dataclasses import dataclass, replace

import pytest
import torch

from minidiff.gaussian import Gaussian
from minidiff.learn import LatentSpace
from minidiff.run.captions import COLOURS
from minidiff.run.digits import mnist
from minidiff.run.recipes import RECIPES
from minidiff.run.scene_batches import scene_batches, true_maps, worn
from minidiff.run.scene_conditions import VOCABULARY, captions, coarse_of, map_of, pictures, places
from minidiff.run.scenes import RGB, Scenes

DIGITS = mnist("train", "embedded", quiet=True)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def some(n, kind="crowd"):
    made = Scenes(DIGITS, 5, kind=kind)
    return [made[k] for k in range(n)]


@dataclass
class Fold:
    """An autoencoder that folds tiles of 4 x 4 into channels and back: nothing is lost, so latents can be read again."""

    factor: int = 4
    z_channels: int = 48

    def encode(self, x):
        return Gaussian(torch.nn.functional.pixel_unshuffle(x, 4), 0.0)

    def decode(self, z):
        return torch.nn.functional.pixel_shuffle(z, 4)


@dataclass
class Stage:
    space: LatentSpace
    autoencoder: Fold
    name: str = "scenes-autoencoder"

    def identity(self):
        return {"name": self.name}


STAGE = Stage(LatentSpace(Fold(), 0.5), Fold())


def batch_of(name, seed=0, **train):
    recipe = RECIPES[name]
    recipe = replace(recipe, train=replace(recipe.train, batch=6, **train))
    if recipe.latent:
        recipe = replace(recipe, network=replace(recipe.network, in_channels=48))
    batch, identity = scene_batches(recipe, "embedded", STAGE if recipe.latent else None)
    assert ("first_stage" in identity) == bool(recipe.latent) and identity["data_sha256"] == DIGITS.checksum
    return batch(rng(seed))


def test_the_judge_is_told_the_truth_of_pictures_that_are_a_little_worn():
    x, maps = batch_of("scenes-judge")
    assert x.shape == (6, 3, 32, 32) and maps.shape == (6, 2, 32, 32) and maps.dtype == torch.int64
    assert torch.equal(maps[:, 0] > 0, maps[:, 1] > 0) and maps[:, 0].max() <= 10 and maps[:, 1].max() <= 6
    bright = (x + 1).amax(1) > 1.6
    assert (maps[:, 0][bright] > 0).double().mean() > 0.98 > (maps.roll(1, 0)[:, 0][bright] > 0).double().mean(), "of the very pictures"
    again, others = batch_of("scenes-judge"), batch_of("scenes-judge", 1)
    assert torch.equal(again[0], x) and torch.equal(again[1], maps) and not torch.equal(others[0], x)


def test_wear_changes_half_of_the_pictures_by_no_more_than_it_says():
    x = pictures(some(200))
    y = worn(x, rng())
    moved = (y - x).abs().amax((1, 2, 3)) > 0
    assert 0.35 < moved.float().mean() < 0.65 and torch.equal(worn(x, rng()), y)
    flat = torch.full((400, 3, 16, 16), 0.3)
    noise = (worn(flat, rng(1)) - flat).flatten(1).std(1)  # blurring changes nothing of a flat picture
    assert noise.max() < 0.13 and noise[noise > 0].min() < 0.02 and 0.05 < noise[noise > 0].mean() < 0.07
    dot = torch.zeros(400, 3, 9, 9)
    dot[:, :, 4, 4] = 9.0
    soft = worn(dot, rng(2), noise=0.0)
    assert torch.allclose(soft.mean((2, 3)), dot.mean((2, 3)), atol=1e-5) and (soft[:, :, 4, 4] >= 9 - 0.5 * 8 - 1e-5).all()


def test_the_autoencoder_gets_clean_pictures():
    x, cond = batch_of("scenes-autoencoder")
    assert cond is None and x.shape == (6, 3, 32, 32) and x.min() >= -1 and x.max() <= 1


def colours_said(ids):
    """The colours among the words of a caption."""
    return {COLOURS.index(VOCABULARY.words[i - 2]) for i in ids.tolist() if i > 1 and VOCABULARY.words[i - 2] in COLOURS}


def colours_seen(picture):
    """The colours of which at least five pixels of a picture are, within a fifth of the range."""
    distance = ((picture[None] + 1) / 2 - torch.from_numpy(RGB / 255).float()[..., None, None]).abs().amax(1)
    return set(torch.nonzero((distance < 0.2).sum((1, 2)) >= 5)[:, 0].tolist())


def test_places_are_rows_and_columns_from_the_upper_left_corner():
    told = places(2, 5)
    assert told.shape == (2, 2, 5, 5) and told[:, :, 0, 0].eq(-1).all() and told[:, :, 4, 4].eq(1).all() and torch.equal(told[0], told[1])
    for y in range(5):
        for x in range(5):
            assert torch.allclose(told[0, :, y, x], torch.tensor([y / 2 - 1, x / 2 - 1]))


@pytest.mark.parametrize("name", ["scenes-text", "scenes-map", "scenes-map-attention", "scenes-superres"])
def test_the_others_get_latents_and_what_is_said_of_the_very_pictures(name):
    z, cond = batch_of(name, drop=0.0)
    assert z.shape == (6, 48, 8, 8)
    x = STAGE.space.decode(z)
    assert x.min() >= -1 - 1e-6 and x.max() <= 1 + 1e-6
    if name == "scenes-superres":
        assert torch.allclose(cond.image, coarse_of(x).image, atol=1e-5)
    elif name == "scenes-text":
        assert cond.tokens.shape == captions([""]).tokens.expand(6, -1).shape and (cond.tokens > 0).any(1).all()
        assert torch.equal(cond.image, captions(["a red one"] * 6).image)  # training and sampling tell the same places
        assert all(colours_said(ids) <= colours_seen(picture) for ids, picture in zip(cond.tokens, x, strict=True))
        assert not all(colours_said(ids) <= colours_seen(picture) for ids, picture in zip(cond.tokens.roll(1, 0), x, strict=True))
    else:
        image = cond.image if name == "scenes-map" else cond.tokens.transpose(1, 2).unflatten(2, (8, 8))
        hot = torch.nn.functional.pixel_shuffle(image, 4)
        bright = (x + 1).amax(1) > 1.6  # strokes are brighter than any ground
        assert bright.any() and (hot[:, 0][bright] == 0).float().mean() > 0.99, "strokes lie where the map has digits"
    _, dropped = batch_of(name, drop=1.0)
    given = dropped.tokens if dropped.tokens is not None else dropped.image
    assert (given == 0).all()


def test_latents_need_their_autoencoder():
    with pytest.raises(ValueError, match="scenes-map works in a latent space: give the autoencoder scenes-autoencoder"):
        scene_batches(RECIPES["scenes-map"], "embedded")
    with pytest.raises(ValueError, match="have 48 channels; set network.in_channels=48"):
        scene_batches(RECIPES["scenes-map"], "embedded", STAGE)


def test_true_maps_are_those_of_the_scenes():
    scenes = some(3)
    hot = torch.nn.functional.pixel_shuffle(map_of(scenes).image, 4)
    assert torch.equal(hot[:, :11].argmax(1), true_maps(scenes)[:, 0])
