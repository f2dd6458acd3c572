"""Recipes: frozen, typed, saved and rebuilt; each one is run for two steps."""

import json
from dataclasses import replace

import pytest
import torch

from minidiff.learn import NetworkDenoiser, load, read_metadata, save
from minidiff.run import (
    RECIPES,
    build,
    cifar10,
    load_classifier,
    load_family,
    load_latent_space,
    load_scene_judge,
    prepare,
    pretrained,
    weights_path,
)
from minidiff.run.batches import PICTURES
from minidiff.run.families import FAMILIES, contestant
from minidiff.run.first_stages import open_first_stage
from minidiff.run.networks import make_network
from minidiff.run.recipes import find, from_dict
from minidiff.run.settings import override
from minidiff.run.store import Pictures
from minidiff.run.worlds import world


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name):
    assert from_dict(json.loads(json.dumps(RECIPES[name].to_dict()))) == RECIPES[name]


def fresh_first_stage(name, folder):
    """An untrained autoencoder of a recipe, as a file: for tests of what is built on it."""
    recipe = find(name)
    save(folder / f"{name}.safetensors", make_network(recipe).autoencoder, {"recipe": recipe.to_dict(), "latent_scale": 2.0})
    return open_first_stage(folder / f"{name}.safetensors")


@pytest.fixture
def few_photographs(monkeypatch, tmp_path):
    """Sixteen photographs in place of all."""
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "cache"))
    some = cifar10("train", "embedded", quiet=True)
    few = Pictures(some.images[:16], some.labels[:16], "few")
    monkeypatch.setitem(PICTURES, "cifar10", lambda split, source: few)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_two_steps(name, tmp_path, few_photographs):
    recipe = override(RECIPES[name], ["train.batch=4", "train.steps=2", "train.warmup=1"])
    job = prepare(recipe, "embedded", first_stage=fresh_first_stage(recipe.latent, tmp_path) if recipe.latent else None)
    steps = list(job.steps())
    assert [s.step for s in steps] == [1, 2] and all(s.loss > 0 for s in steps)
    job.publish(tmp_path / "w.safetensors", note="two steps")
    metadata = read_metadata(tmp_path / "w.safetensors")
    assert metadata["recipe"] == json.loads(json.dumps(recipe.to_dict()))
    assert metadata["steps"] == 2 and metadata["images_seen"] == 8
    assert metadata["note"] == "two steps" and len(metadata["data_sha256"]) == 64
    trained = job.training.average
    if recipe.network.type.endswith("classifier"):
        back = load_classifier(tmp_path / "w.safetensors")
    elif recipe.network.type == "scene-judge":
        back = load_scene_judge(tmp_path / "w.safetensors")
    elif recipe.network.type == "autoencoder":
        back, trained = load_latent_space(tmp_path / "w.safetensors").autoencoder, trained.autoencoder
    elif name.startswith("family-"):
        back = load_family(tmp_path / "w.safetensors")
    else:
        back = load(tmp_path / "w.safetensors", build).network
    assert all(torch.equal(v, back.state_dict()[k]) for k, v in trained.state_dict().items())


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "diffusion"])
def test_a_family_of_the_command_line_is_the_one_of_the_comparison(name):
    recipe, it = RECIPES[f"family-{name}"], contestant(name, world("ring"), steps=1)
    theirs, t = dict(it.training.network.named_parameters()), recipe.train
    assert {k: p.shape for k, p in make_network(recipe).named_parameters()} == {k: p.shape for k, p in theirs.items()}
    assert (t.lr, t.betas, t.ema, t.batch, t.warmup) == (FAMILIES[name].lr, FAMILIES[name].betas, 0.995, it.batch, it.training.warmup)
    assert prepare(recipe).training.optimizer.param_groups[0]["betas"] == FAMILIES[name].betas


def test_fresh_weights_are_a_function_of_the_seed_and_leave_torch_alone():
    recipe = RECIPES["toy-ring"]
    state = torch.random.get_rng_state()
    a, b = (build(recipe).network.state_dict() for _ in range(2))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(a[k], b[k]) for k in a)
    other = build(replace(recipe, train=replace(recipe.train, seed=1))).network.state_dict()
    assert any(not torch.equal(a[k], other[k]) for k in a)


def test_build_takes_a_name_a_recipe_or_its_dictionary():
    recipe = RECIPES["toy-ring"]
    for form in ("toy-ring", recipe, recipe.to_dict()):
        denoiser = build(form)
        assert isinstance(denoiser, NetworkDenoiser) and denoiser.schedule.T == 200 and denoiser.kind == "eps"


def test_a_network_starts_by_predicting_no_noise():
    """The last layer starts at zero: the loss per pixel begins at E eps^2 = 1, so a first loss far from 1 is a bug."""
    x = torch.randn(2, 1, 28, 28)
    assert build("mnist-ddpm")(x, 500).eps.abs().max() == 0


@pytest.mark.parametrize(
    ("settings", "check"),
    [
        (["train.steps=500"], lambda r: r.train.steps == 500),
        (["train.lr=3e-4"], lambda r: r.train.lr == 3e-4),
        (["network.channels=8,16"], lambda r: r.network.channels == (8, 16)),
        (["network.attention=true,false"], lambda r: r.network.attention == (True, False)),
        (["noise.kind=cosine", "predicts=v"], lambda r: r.noise.kind == "cosine" and r.predicts == "v"),
    ],
)
def test_overrides_are_typed(settings, check):
    assert check(override(find("mnist-ddpm"), settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train.step=5"], "unknown setting 'train.step' .did you mean train.steps"),
        (["steps=5"], "unknown setting 'steps'"),
        (["train.steps"], "key=value"),
        (["train.steps=many"], "train.steps takes a int; got 'many'"),
        (["train.steps=1.5"], "takes a int"),
        (["network.attention=perhaps,no"], "takes a bool"),
        (["name=x"], "unknown setting 'name'"),
    ],
)
def test_bad_overrides_say_what_is_allowed(settings, message):
    with pytest.raises(ValueError, match=message) as e:
        override(find("mnist-ddpm"), settings)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: find("mnist-dppm"), "unknown recipe 'mnist-dppm' .did you mean mnist-ddpm"),
        (lambda: build("mnist-classifier"), "is no denoiser: use minidiff.run.load_classifier"),
        (lambda: build("family-gan"), "family-gan is no denoiser: use minidiff.run.load_family"),
        (lambda: load_family(weights_path("mnist-ddpm")), "holds mnist-ddpm, none of the other families"),
        (lambda: prepare(find("family-vae"), device="cuda"), "family-vae is small: it is trained on the CPU"),
        (lambda: build("cifar-autoencoder-f4"), "is no denoiser: use minidiff.run.load_latent_space"),
        (lambda: build({"name": "x", "data": "ring", "colour": 1}), "no recipe of this version"),
        (lambda: build({"name": "x"}), "no recipe of this version"),
        (lambda: build(override(find("toy-ring"), ["noise.kind=triangular"])), "noise.kind must be"),
        (lambda: build(override(find("toy-ring"), ["network.type=tree"])), "network.type must be"),
        (lambda: build(override(find("mnist-ddpm"), ["train.loss=cubic"])), "train.loss must be one of 'simple', 'hybrid'; got 'cubic'"),
        (lambda: build(override(find("mnist-ddpm"), ["told=colour"])), "told must be one of '', 'label', .*; got 'colour'"),
        (lambda: prepare(override(find("mnist-ddpm"), ["train.times=late"]), "embedded"), "train.times must be one of .*, 'logit-normal'"),
        (lambda: build(override(find("toy-ring"), ["predicts=noise"])), "kind must be one of"),
        (lambda: build(override(find("mnist-ddpm"), ["network.channels=8,16,32"])), "speak of the same resolutions"),
        (lambda: prepare(replace(find("toy-ring"), data="rings")), "unknown data 'rings'"),
        (lambda: weights_path("mnist"), "no shipped weights named 'mnist'; there are .*mnist-ddpm"),
        (lambda: load_classifier(weights_path("mnist-ddpm")), "holds no classifier"),
        (lambda: pretrained("mnist-classifier"), "is no denoiser"),
    ],
)
def test_bad_calls_say_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message) as e:
        call()
    assert "\n" not in str(e.value)
