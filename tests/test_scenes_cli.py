"""Scenes on the command line: train, sample what was asked for, evaluate; wishes that the weights do not understand."""

import json

import numpy as np
import pytest

from minidiff.learn import read_metadata
from minidiff.run import cli, scene_evaluation
from minidiff.run.captions import unseen
from minidiff.run.scene_evaluation import held_out

SMALL = ["--set", "network.channels=(8,16)", "--set", "network.attention=(False,True)", "--set", "train.steps=2", "--set", "train.batch=4"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Untrained ones of each kind: what is tested is the way there and back."""
    folder = tmp_path_factory.mktemp("runs")
    kinds = {"scenes-autoencoder": ["--set", "network.channels=(8,8)", *SMALL[4:]]}  # first: the others work in its latents
    kinds |= {"scenes-text": SMALL, "scenes-map": SMALL, "scenes-superres": SMALL}
    kinds |= {"scenes-map-attention": SMALL, "scenes-judge": ["--set", "network.width=8", *SMALL[4:]]}
    for name, extra in kinds.items():
        assert cli.main(["train", name, "--data", "embedded", "--out", str(folder / name), *extra]) == 0
    return {name: folder / name / f"{name}.safetensors" for name in kinds}


@pytest.fixture(autouse=True)
def little_judge(weights, monkeypatch):
    load = scene_evaluation.load_scene_judge
    monkeypatch.setattr(scene_evaluation, "load_scene_judge", lambda path=weights["scenes-judge"]: load(path))
    monkeypatch.delenv("MINIDIFF_DATA", raising=False)


def sample(path, tmp_path, *extra):
    out = tmp_path / "out.png"
    code = cli.main(["sample", str(path), "-n", "2", "--steps", "2", "--out", str(out), *extra])
    return code, np.load(tmp_path / "out.npz")["samples"].shape if code == 0 else None


@pytest.mark.parametrize("name", ["scenes-text", "scenes-map", "scenes-map-attention", "scenes-superres"])
def test_sample_without_a_wish_takes_held_out_scenes(name, weights, tmp_path):
    assert sample(weights[name], tmp_path) == (0, (2, 3, 32, 32))


def test_sample_what_was_asked_for(weights, tmp_path):
    assert sample(weights["scenes-text"], tmp_path, "--text", "a red seven above a blue two", "--scale", "3") == (0, (2, 3, 32, 32))
    assert sample(weights["scenes-map"], tmp_path, "--write", "27.11.2026") == (0, (2, 3, 32, 136))


@pytest.mark.parametrize(
    ("name", "extra", "line"),
    [
        ("scenes-map", ["--text", "a red one"], "--text is for weights that are told a caption, such as scenes-text"),
        ("scenes-text", ["--write", "12"], "--write is for weights that are told a map, such as scenes-map"),
        ("scenes-map", ["--write", "abc"], "there must be digits to write"),
        ("scenes-text", ["--label", "3"], "--label asks for a class, and these weights know none"),
        ("scenes-text", ["--text", "a " * 20], "a caption may have at most 14 words; this one has 20"),
    ],
)
def test_wishes_that_are_not_understood(name, extra, line, weights, tmp_path, capsys):
    assert sample(weights[name], tmp_path, *extra) == (1, None)
    error = capsys.readouterr().err
    assert line in error and len([x for x in error.splitlines() if x.startswith("minidiff:")]) == 1


def test_an_unknown_word_is_warned_of(weights, tmp_path):
    with pytest.warns(UserWarning, match="'sevven' was never in a training caption.*did you mean seven"):
        assert sample(weights["scenes-text"], tmp_path, "--text", "a red sevven")[0] == 0


def test_labels_and_digits_are_refused_text(tmp_path, capsys):
    assert cli.main(["sample", "mnist-label", "-n", "1", "--text", "a red one", "--out", str(tmp_path / "a.png")]) == 1
    assert "--text is for weights that are told a caption" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "section"),
    [("scenes-text", "captions"), ("scenes-map", "maps"), ("scenes-map-attention", "maps"), ("scenes-superres", "superres")],
)
def test_evaluate_writes_numbers_into_the_weights(name, section, weights, tmp_path, capsys):
    how = ["-n", "20", "--steps", "2", "--sampler", "dpm_solver", "--save", "--json", str(tmp_path / "r.json")]
    assert cli.main(["evaluate", str(weights[name]), *how]) == 0
    found = json.loads((tmp_path / "r.json").read_text())
    kept = read_metadata(weights[name])["results"]
    assert found[section] == kept[section] and section in capsys.readouterr().out
    if name == "scenes-text":
        assert set(kept["captions"]) == {"dpm_solver 2, seen", "dpm_solver 2, unseen"}
        assert set(kept["image-to-image"]) == {f"dpm_solver 2, strength {s}" for s in ("0.4", "0.6", "0.8")}
        assert set(kept["inpainting"]) == {"dpm_solver 2"}


def test_another_autoencoder_of_the_wrong_width_is_refused(weights, tmp_path, capsys):
    folder = weights["scenes-text"].parents[1]
    how = ["--data", "embedded", "--out", str(folder / "x"), *SMALL, "--set", "network.in_channels=3"]
    assert cli.main(["train", "scenes-text", *how]) == 1
    assert "the latents of scenes-autoencoder have 8 channels; set network.in_channels=8" in capsys.readouterr().err


def test_evaluate_an_autoencoder(weights, capsys):
    assert cli.main(["evaluate", str(weights["scenes-autoencoder"]), "-n", "20", "--save"]) == 0
    kept = read_metadata(weights["scenes-autoencoder"])["results"]["reconstruction"]
    assert {"psnr", "all", "pixels", "digits"} <= set(kept) and kept["n"] == 20 and kept["all"]["floor"] <= 1
    assert "through the autoencoder" in capsys.readouterr().out


def test_evaluate_a_judge(weights, capsys):
    assert cli.main(["evaluate", str(weights["scenes-judge"]), "-n", "20"]) == 0
    assert "ceiling of the judge" in capsys.readouterr().out


def test_held_out_scenes_are_of_test_digits_and_of_the_kind_asked_for():
    assert not any(unseen(s.said) for s in held_out(40, "text"))
    assert all(unseen(s.said) for s in held_out(10, "text", allowed=scene_evaluation.KINDS["unseen"]))
    assert held_out(1, "crowd", size=(32, 64))[0].map.shape == (32, 64)
