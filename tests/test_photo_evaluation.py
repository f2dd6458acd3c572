"""Judging networks of photographs that are told captions or layouts: an oracle reaches 1, one that is told nothing does not."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from minidiff.nn.classifier import PictureClassifier
from minidiff.prediction import Prediction
from minidiff.run import cifar10, cli, evaluate, first_stages, photo_evaluation, told
from minidiff.run.batches import PICTURES
from minidiff.run.class_captions import NOUNS, PHOTO_WORDS, class_captions, is_unseen
from minidiff.run.conditions import layout
from minidiff.run.evaluate import Plan
from minidiff.run.photo_evaluation import by_caption, canvas_layout, drawn_by_layout, explained, judge_layouts
from minidiff.run.recipes import RECIPES, Network, Train
from minidiff.run.space import Space
from minidiff.run.store import Pictures, scale
from minidiff.schedule import Schedule

PICS = cifar10("test", "embedded", quiet=True)
SPACE = Space("cifar10", (3, 8, 8), False, lambda z: torch.nn.functional.interpolate(z, scale_factor=4.0).clamp(-1, 1))


def judge():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PictureClassifier(8).eval()


class Painter:
    """A denoiser whose answer is the layout that it is told, or, deaf, always grey; in this space that is a picture."""

    schedule = Schedule.cosine(50)

    def __init__(self, deaf=False):
        self.deaf = deaf

    def __call__(self, x_t, t, cond=None):
        x_0 = torch.zeros_like(x_t) if self.deaf else cond.image
        signal, noise = self.schedule.scales(t)
        return Prediction(x_0, (x_t - signal * x_0) / noise)


def test_layouts_an_oracle_and_a_deaf_one():
    plan = Plan(n=40, sampler="ddim", steps=4)
    good, deaf = (judge_layouts(Painter(deaf), judge(), PICS, PICS, plan, SPACE) for deaf in (False, True))
    assert good["explained"]["value"] == pytest.approx(1, abs=1e-4) and good["explained"]["n"] == 40
    assert deaf["explained"]["value"] < 0.05 and good["by_another"]["value"] < 0
    low, high = deaf["explained"]["interval_95"]
    assert low <= deaf["explained"]["value"] <= high
    assert 0 <= good["same_class"]["value"] <= 1 and good["frechet"]["value"] > 0


def test_what_is_explained_by_loops():
    g = torch.Generator().manual_seed(0)
    asked, made = torch.randn(6, 3, 4, 4, generator=g), torch.randn(6, 3, 4, 4, generator=g)
    mean = [float(asked[:, c].mean()) for c in range(3)]
    error = sum(float((made[i, c, y, x] - asked[i, c, y, x]) ** 2) for i in range(6) for c in range(3) for y in range(4) for x in range(4))
    spread = sum(float((asked[i, c, y, x] - mean[c]) ** 2) for i in range(6) for c in range(3) for y in range(4) for x in range(4))
    assert explained(made, asked)["value"] == pytest.approx(1 - error / spread, rel=1e-4)
    assert explained(asked.mean((0, 2, 3), keepdim=True).expand_as(asked), asked)["value"] == pytest.approx(0, abs=1e-6)


def test_the_layout_of_a_larger_canvas_is_that_of_the_picture_enlarged():
    x = scale(PICS.images[:3])
    assert torch.allclose(canvas_layout(x, 1), layout(x), atol=1e-6)
    for times in (2, 3):
        large = x.repeat_interleave(times, 2).repeat_interleave(times, 3)
        assert canvas_layout(x, times).shape == (3, 3, 8 * times, 8 * times)
        assert times == 3 or torch.allclose(canvas_layout(x, times), layout(large), atol=1e-5)  # 32 / 12 is no whole number: parts overlap
    with pytest.raises(ValueError, match="times must be at least 1"):
        canvas_layout(x, 0)


def test_a_canvas_is_as_large_as_its_layout_and_more_pictures_begin_with_the_same():
    asked, plan = canvas_layout(scale(PICS.images[:5]), 2), Plan(n=20, sampler="ddim", steps=3)
    few, more = (drawn_by_layout(Painter(), asked[:n], plan, SPACE, chunk=2) for n in (2, 5))
    assert few.shape == (2, 3, 64, 64) and torch.equal(few, more[:2])


@pytest.mark.parametrize("unseen", [False, True])
def test_labels_are_told_by_wordings_of_one_kind(unseen):
    labels = torch.arange(10).repeat(20)
    cond, again = (by_caption(unseen, 3)(labels) for _ in range(2))
    assert torch.equal(cond.tokens, again.tokens) and cond.tokens.shape == (200, PHOTO_WORDS.length)
    mine = {caption: PHOTO_WORDS.ids([caption])[0].tolist() for caption in class_captions(labels.repeat(20), torch.Generator(), unseen)}
    assert all(row in mine.values() for row in cond.tokens.tolist())


def test_held_out_wordings_are_what_is_unseen():
    made = class_captions([0] * 300, torch.Generator().manual_seed(0), unseen=True)
    nouns = {word for caption in made for word in caption.split() if word in NOUNS}
    assert nouns == {"airplane", "plane", "aircraft"} and len(set(made)) == 3 == sum(is_unseen(k, n) for n in nouns for k in range(7))


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Tiny recipes of two steps, forty photographs, no shipped weights, a judge that knows nothing."""
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(first_stages, "data_dir", lambda: tmp_path / "nothing shipped")
    monkeypatch.setattr(photo_evaluation, "load_classifier", lambda name: judge())
    few = Pictures(PICS.images[:40], PICS.labels[:40], "few")
    monkeypatch.setitem(PICTURES, "cifar10", lambda split, source="auto", quiet=False: few)
    monkeypatch.setattr(told, "cifar10", lambda split: few)
    train, first = Train(steps=2, batch=4, drop=0.1, warmup=1), RECIPES["cifar-autoencoder-f4"]
    monkeypatch.setitem(RECIPES, first.name, replace(first, network=replace(first.network, channels=(8, 8)), train=train))
    for name, attention in (("cifar-text", (True,)), ("cifar-layout", (False,))):
        network = Network("unet", 4, (8,), 1, attention, patch=1)
        monkeypatch.setitem(RECIPES, name, replace(RECIPES[name], network=network, train=train))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_captions_from_training_to_numbers(runs, tmp_path, capsys):
    assert cli.main(["train", "cifar-text"]) == 0
    weights = str(runs / "cifar-text" / "cifar-text.safetensors")
    how = ["--steps", "2", "--sampler", "dpm_solver", "--scale", "2"]
    assert cli.main(["evaluate", weights, "-n", "20", *how, "--json", str(tmp_path / "r.json")]) == 0
    found = json.loads((tmp_path / "r.json").read_text())["samples"]
    assert set(found) == {"dpm_solver 2 scale 2, wordings of training", "dpm_solver 2 scale 2, wordings never met"}
    assert all(one["label_accuracy"]["n"] == 20 for one in found.values()) and "wordings never met: 20 samples" in capsys.readouterr().out
    for wish in (["--text", "a photo of a pony"], ["--label", "7"], []):
        assert cli.main(["sample", weights, "-n", "2", *how, "--out", str(tmp_path / "a.png"), *wish]) == 0
    assert np.load(tmp_path / "a.npz")["samples"].shape == (2, 3, 32, 32)
    assert cli.main(["sample", weights, "-n", "2", "--label", "10", "--out", str(tmp_path / "b.png")]) == 1
    assert "--label must be a class 0..9; got 10" in capsys.readouterr().err


def test_layouts_from_training_to_numbers(runs, tmp_path, capsys):
    assert cli.main(["train", "cifar-layout"]) == 0
    weights = str(runs / "cifar-layout" / "cifar-layout.safetensors")
    how = ["-n", "20", "--steps", "2", "--sampler", "dpm_solver"]
    assert cli.main(["evaluate", weights, *how, "--scale", "1.5", "--save"]) == 0
    said = capsys.readouterr().out
    assert "dpm_solver 2 scale 1.5: 20 test pictures" in said and "explained" in said
    assert set(evaluate.read_metadata(weights)["results"]["layout"]) == {"dpm_solver 2 scale 1.5"}
    assert cli.main(["sample", weights, *how, "--out", str(tmp_path / "a.png")]) == 0
    assert np.load(tmp_path / "a.npz")["samples"].shape == (20, 3, 32, 32)
    assert cli.main(["sample", weights, *how, "--label", "1", "--out", str(tmp_path / "b.png")]) == 1
    assert "these weights are told a layout of colours" in capsys.readouterr().err
