"""The command line of latent models: the autoencoder comes first, samples are decoded, everything is judged."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from minidiff.learn import read_metadata
from minidiff.nn.classifier import PictureClassifier
from minidiff.run import cifar10, cli, evaluate, first_stages
from minidiff.run.batches import PICTURES
from minidiff.run.recipes import RECIPES, Network, Train
from minidiff.run.store import Pictures

LATENT, FIRST = "cifar-latent-f4", "cifar-autoencoder-f4"


@pytest.fixture
def runs(monkeypatch, tmp_path):
    """Tiny recipes of two steps, forty photographs, no shipped weights."""
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(first_stages, "data_dir", lambda: tmp_path / "nothing shipped")
    some = cifar10("train", "embedded", quiet=True)
    few = Pictures(some.images[:40], some.labels[:40], "few")
    monkeypatch.setitem(PICTURES, "cifar10", lambda split, source="auto", quiet=False: few)
    train = Train(steps=2, batch=4, drop=0.1, warmup=1)
    network = Network("unet", 4, (8,), 1, (False,), patch=1)
    monkeypatch.setitem(RECIPES, FIRST, replace(RECIPES[FIRST], network=replace(RECIPES[FIRST].network, channels=(8, 8)), train=train))
    monkeypatch.setitem(RECIPES, LATENT, replace(RECIPES[LATENT], network=network, train=train))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def test_the_autoencoder_is_trained_first_if_it_is_missing_and_only_then(runs, capsys):
    assert cli.main(["train", LATENT]) == 0
    said = capsys.readouterr().out
    assert f"the autoencoder {FIRST} is neither in runs nor shipped: it is trained first" in said
    first, latent = (read_metadata(runs / name / f"{name}.safetensors") for name in (FIRST, LATENT))
    assert first["latent_scale"] > 0 and latent["first_stage"]["scale"] == first["latent_scale"] and latent["steps"] == 2
    before = (runs / FIRST / f"{FIRST}.safetensors").read_bytes()
    assert cli.main(["train", LATENT, "--out", str(runs / "again")]) == 0
    assert f"latents by runs/{FIRST}/{FIRST}.safetensors" in capsys.readouterr().out.replace(str(runs.parent) + "/", "")
    assert (runs / FIRST / f"{FIRST}.safetensors").read_bytes() == before


def test_samples_are_decoded_into_a_picture_and_an_npz(runs, tmp_path, capsys):
    cli.main(["train", LATENT])
    weights = runs / LATENT / f"{LATENT}.safetensors"
    out = tmp_path / "s.png"
    assert cli.main(["sample", str(weights), "-n", "5", "--steps", "3", "--scale", "2", "--label", "8", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.mode == "RGB" and picture.size == (2 * (3 * 34 + 2), 2 * (2 * 34 + 2))
    x = np.load(out.with_suffix(".npz"), allow_pickle=False)["samples"]
    assert x.shape == (5, 3, 32, 32) and np.abs(x).max() <= 1
    capsys.readouterr()


def test_another_autoencoder_is_refused_in_one_line(runs, capsys):
    cli.main(["train", LATENT])
    (runs / FIRST / f"{FIRST}.safetensors").unlink()
    (runs / FIRST / "state.pt").unlink()
    cli.main(["train", FIRST, "--set", "train.seed=1"])
    capsys.readouterr()
    assert cli.main(["sample", str(runs / LATENT / f"{LATENT}.safetensors"), "-n", "2", "--steps", "2"]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"these weights work in the latent space of {FIRST} with checksum" in said


def test_both_are_judged(runs, monkeypatch, capsys):
    cli.main(["train", LATENT])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = PictureClassifier(8).eval()
    monkeypatch.setattr(evaluate, "load_classifier", lambda name: judge)
    first, latent = (str(runs / name / f"{name}.safetensors") for name in (FIRST, LATENT))
    capsys.readouterr()
    assert cli.main(["evaluate", first, "-n", "30", "--save"]) == 0
    said = capsys.readouterr().out
    assert "reconstruction: 30 test pictures" in said and "psnr" in said and "latent_std" in said
    assert read_metadata(first)["results"]["reconstruction"]["ssim"]["n"] == 30
    assert cli.main(["evaluate", latent, "-n", "30", "--steps", "2", "--sampler", "dpm_solver", "--save"]) == 0
    said = capsys.readouterr().out
    assert "dpm_solver 2: 30 samples" in said and "label_accuracy" in said and "bits/dim" not in said
    assert cli.main(["sample", latent, "-n", "1", "--steps", "2"]) == 0  # the saved numbers changed neither checksum
