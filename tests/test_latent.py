"""The latent space: its scale, its frozen autoencoder, latents kept on disk, and weights that belong to one autoencoder."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from minidiff.gaussian import Gaussian
from minidiff.learn import FileError, LatentSpace, save
from minidiff.learn.checkpoint import fingerprint, read, read_metadata
from minidiff.nn.autoencoder import Autoencoder
from minidiff.run import first_stages, latents, store
from minidiff.run.batches import batches
from minidiff.run.first_stages import its_first_stage, open_first_stage
from minidiff.run.recipes import RECIPES, Network, find
from minidiff.run.space import space_of


class Doubling:
    """z = 2 x + 3 with variance 0.49."""

    factor = 1

    def encode(self, x):
        return Gaussian(2 * x + 3, 0.49)

    def decode(self, z):
        return (z - 3) / 2


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_scale_is_one_over_the_standard_deviation_of_draws_about_their_mean():
    x = noise(400, 1, 8, 8)
    space = LatentSpace.measure(Doubling(), x.split(50), torch.Generator().manual_seed(1))
    assert abs(space.scale - (4 + 0.49) ** -0.5) < 0.005
    z = space.encode(x).sample(noise(400, 1, 8, 8, seed=2))
    assert abs(z.std() - 1) < 0.01
    assert torch.allclose(space.decode(space.encode(x).mean), x, atol=1e-5)
    assert abs(float(space.encode(x).var) - 0.49 * space.scale**2) < 1e-12


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ValueError, match="scale must be a number > 0"):
        LatentSpace(Doubling(), scale)


def test_pictures_are_needed_for_a_scale():
    with pytest.raises(ValueError, match="at least two numbers"):
        LatentSpace.measure(Doubling(), [], torch.Generator())


def test_the_autoencoder_is_frozen_and_gets_no_gradient():
    model = Autoencoder(2, 2, (8,), 1)
    space = LatentSpace(model, 1.0)
    weight = torch.ones(1, requires_grad=True)
    z = weight * space.encode(noise(2, 3, 8, 8)).mean
    (z.square().sum() + space.decode(z).square().sum()).backward()
    assert weight.grad is not None and all(p.grad is None and not p.requires_grad for p in model.parameters()) and not model.training


# Files


RECIPE = replace(find("cifar-autoencoder-f4"), network=Network("autoencoder", 3, (8, 8), 1, factor=4, z_channels=2))


def write(path, seed=0, scale=0.7, recipe=RECIPE):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Autoencoder(4, 2, (8, 8), 1)
    save(path, model, {"recipe": recipe.to_dict(), "latent_scale": scale})
    return path


def test_an_autoencoder_is_opened_with_its_scale(tmp_path):
    path = write(tmp_path / "a.safetensors")
    found = open_first_stage(path)
    assert found.space.scale == 0.7 and found.name == "cifar-autoencoder-f4" and found.autoencoder.factor == 4
    assert first_stages.load_latent_space(path).scale == 0.7


def test_what_is_no_autoencoder_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save(path, Autoencoder(4, 2, (8, 8), 1), {"recipe": RECIPE.to_dict()})
    with pytest.raises(FileError, match="no autoencoder with a measured latent scale"):
        open_first_stage(path)
    raw = write(path).read_bytes()
    path.write_bytes(raw[:-40])
    with pytest.raises(FileError, match="not a readable safetensors file"):
        open_first_stage(path)
    with pytest.raises(ValueError, match="no autoencoder named 'cifar-autoencoder-f9'"):
        first_stages.load_latent_space("cifar-autoencoder-f9")


def test_the_checksum_of_weights_is_of_the_weights(tmp_path):
    path = write(tmp_path / "a.safetensors")
    tensors, metadata = read(path)
    save(tmp_path / "b.safetensors", tensors, {**metadata, "results": {"psnr": 1}})
    assert fingerprint(read(tmp_path / "b.safetensors")[0]) == fingerprint(tensors) != fingerprint(read(write(path, seed=1))[0])
    name = next(iter(tensors))
    assert fingerprint(tensors) != fingerprint({**tensors, name: tensors[name] * 1.001})
    assert fingerprint({"a": torch.zeros(2, 3)}) != fingerprint({"a": torch.zeros(3, 2)})


def test_a_model_of_latents_knows_its_own_autoencoder(tmp_path):
    own = open_first_stage(write(tmp_path / "runs" / RECIPE.name / f"{RECIPE.name}.safetensors"))
    metadata = {"recipe": find("cifar-latent-f4").to_dict(), "first_stage": own.identity()}
    assert its_first_stage(metadata, tmp_path / "runs").sha256 == own.sha256
    space = space_of(metadata, tmp_path / "runs")
    assert space.shape == (2, 8, 8) and not space.bounded
    pictures = space.show(5 * noise(3, 2, 8, 8))
    assert pictures.shape == (3, 3, 32, 32) and pictures.abs().max() <= 1
    write(tmp_path / "runs" / RECIPE.name / f"{RECIPE.name}.safetensors", seed=1)
    with pytest.raises(FileError, match=f"latent space of {RECIPE.name} with checksum {own.sha256[:12]}"):
        its_first_stage(metadata, tmp_path / "runs")


# Latents on disk


@pytest.fixture
def kept(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIDIFF_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    pictures = store.Pictures(rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 6, dtype=np.uint8), "few")
    return open_first_stage(write(tmp_path / "a.safetensors")), pictures, tmp_path / "cache" / "latents"


def test_latents_are_the_moments_of_both_the_picture_and_its_mirror_image(kept):
    first_stage, pictures, _ = kept
    z = latents.latents(first_stage, pictures)
    assert z.moments.shape == (2, 6, 2, 2, 8, 8) and z.channels == 2
    x = store.scale(pictures.images)
    for mirror, picture in enumerate((x, x.flip(3))):
        q = first_stage.space.encode(picture)
        assert np.allclose(z.moments[mirror, :, 0], q.mean, rtol=2e-3, atol=2e-3)
        assert np.allclose(z.moments[mirror, :, 1], q.var.sqrt(), rtol=2e-3)


def test_a_draw_is_from_the_posterior_and_not_its_mean(kept):
    first_stage, pictures, _ = kept
    z = latents.latents(first_stage, pictures)
    i = torch.full((4000,), 3)
    mirror = torch.arange(4000) % 2
    draws = z.draw(i, mirror, torch.Generator().manual_seed(0))
    mean = torch.from_numpy(z.moments[:, 3, 0].astype(np.float32))
    std = torch.from_numpy(z.moments[:, 3, 1].astype(np.float32))
    wanted = mean.mean(0)
    error = (draws.mean(0) - wanted).abs() / (draws.std(0) / 4000**0.5)
    assert error.max() < 5
    for k in (0, 1):
        assert ((draws[k::2].mean(0) - mean[k]).abs() / (draws[k::2].std(0) / 2000**0.5)).max() < 5
    assert torch.allclose(draws.var(0), (std**2).mean(0) + mean.var(0, correction=0), rtol=0.2)
    assert torch.equal(draws, z.draw(i, mirror, torch.Generator().manual_seed(0)))


def test_latents_are_encoded_once_for_the_same_weights_and_pictures(kept, monkeypatch, tmp_path, capsys):
    first_stage, pictures, folder = kept
    first = np.array(latents.latents(first_stage, pictures).moments)
    assert "encoding 6 pictures" in capsys.readouterr().err
    latents.latents(first_stage, pictures)
    assert capsys.readouterr().err == "" and len(list(folder.iterdir())) == 1
    other = open_first_stage(write(tmp_path / "b.safetensors", seed=1))
    assert not np.allclose(latents.latents(other, pictures).moments, first) and len(list(folder.iterdir())) == 2
    (path,) = [p for p in folder.iterdir() if first_stage.sha256[:16] in p.name]
    path.write_bytes(path.read_bytes()[:-100])
    assert np.array_equal(latents.latents(first_stage, pictures).moments, first)


def test_the_batches_of_a_latent_recipe(kept, monkeypatch):
    first_stage, pictures, _ = kept
    monkeypatch.setitem(batches.__globals__["PICTURES"], "cifar10", lambda split, source: pictures)
    recipe = replace(find("cifar-latent-f4"), network=replace(find("cifar-latent-f4").network, in_channels=2))
    batch, identity = batches(recipe, "auto", first_stage)
    x, cond = batch(torch.Generator().manual_seed(0))
    assert x.shape == (recipe.train.batch, 2, 8, 8) and cond.vector.shape == (recipe.train.batch, 10)
    assert identity == {"data_sha256": pictures.checksum, "first_stage": first_stage.identity()}
    with pytest.raises(ValueError, match="set network.in_channels=2"):
        batches(find("cifar-latent-f4"), "auto", first_stage)
    with pytest.raises(ValueError, match="give the autoencoder cifar-autoencoder-f4"):
        batches(recipe, "auto")


def test_every_latent_recipe_names_an_autoencoder_that_fits():
    named = [r for r in RECIPES.values() if r.latent]
    assert len(named) >= 3
    for recipe in named:
        first = find(recipe.latent)
        assert first.network.type == "autoencoder" and recipe.network.in_channels == first.network.z_channels and recipe.data == first.data


def test_metadata_of_pixels_need_no_autoencoder():
    assert space_of({"recipe": find("cifar-pixel").to_dict()}).shape == (3, 32, 32)
    assert space_of({"recipe": find("mnist-ddpm").to_dict()}).bounded and not space_of({"recipe": find("toy-moons").to_dict()}).bounded


def test_read_metadata_has_the_scale(tmp_path):
    assert read_metadata(write(tmp_path / "a.safetensors"))["latent_scale"] == 0.7
