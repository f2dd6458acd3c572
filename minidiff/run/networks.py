"""Where a recipe becomes a network, and a network meets a denoiser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from minidiff.families.family import Family
from minidiff.learn.checkpoint import FileError, fill, read
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.first_stage import FirstStage
from minidiff.nn.autoencoder import Autoencoder, VQAutoencoder
from minidiff.nn.classifier import DigitClassifier, PictureClassifier
from minidiff.nn.discriminator import PatchDiscriminator
from minidiff.nn.mlp import MLP
from minidiff.nn.scene_judge import SceneJudge
from minidiff.nn.unet import UNet
from minidiff.run.family_networks import OTHERS
from minidiff.run.recipes import Noise, Recipe, checked, find, from_dict
from minidiff.run.told import TOLD
from minidiff.schedule import Schedule

LOADERS = {"classifier": "load_classifier", "picture-classifier": "load_classifier", "autoencoder": "load_latent_space",
           "scene-judge": "load_scene_judge", **dict.fromkeys(OTHERS, "load_family")}


def build(recipe: Recipe | str | dict[str, Any]) -> NetworkDenoiser:
    """The denoiser of a recipe, with fresh weights that are a function of its seed; a name or a saved dictionary will do.

    Raises ValueError for an unknown name, key or kind, and for a recipe that makes no denoiser (classifiers, autoencoders, other families).
    """
    recipe = find(recipe) if isinstance(recipe, str) else from_dict(recipe) if isinstance(recipe, dict) else recipe
    if recipe.network.type in LOADERS:
        raise ValueError(f"{recipe.name} is no denoiser: use minidiff.run.{LOADERS[recipe.network.type]}")
    return NetworkDenoiser(make_network(recipe), make_schedule(recipe.noise), recipe.predicts)


def make_network(recipe: Recipe) -> nn.Module:
    """The network alone, initialised from the recipe's seed without touching the global random state."""
    makers = {
        "unet": _unet,
        "mlp": lambda r: MLP(2, 2, r.network.width, r.network.depth),
        "classifier": lambda r: DigitClassifier(r.network.width),
        "picture-classifier": lambda r: PictureClassifier(r.network.width),
        "scene-judge": lambda r: SceneJudge(r.network.width),
        "autoencoder": _first_stage,
    } | dict.fromkeys(OTHERS, lambda r: OTHERS[r.network.type].build(2, False, r.network.width))
    with torch.random.fork_rng():
        torch.manual_seed(recipe.train.seed)
        made: nn.Module = makers[checked("network.type", recipe.network.type, makers)](recipe)
    # channels-last is how the CPU's convolutions like their pictures: about a quarter faster here
    large = recipe.network.type != "classifier"  # which is so small that it is not
    return made.to(memory_format=torch.channels_last) if large else made  # type: ignore[call-overload,no-any-return]


def _unet(recipe: Recipe) -> UNet:
    n, told = recipe.network, TOLD[checked("told", recipe.told, TOLD)]
    out = {"simple": 1, "hybrid": 2}[checked("train.loss", recipe.train.loss, ("simple", "hybrid"))] * n.in_channels
    tau = told.tau() if told.tau else None
    return UNet(n.in_channels, out, n.channels, n.blocks, n.attention, n.patch, told.vector_dim, told.image_channels, n.frequencies, tau)


def _first_stage(recipe: Recipe) -> FirstStage:
    n, shape = recipe.network, (recipe.network.factor, recipe.network.z_channels, recipe.network.channels, recipe.network.blocks)
    made = VQAutoencoder(*shape, n.in_channels, n.codes) if n.codes else Autoencoder(*shape, n.in_channels)
    return FirstStage(made, PatchDiscriminator(in_channels=n.in_channels) if recipe.train.adversarial > 0 else None)


def load_family(path: str | Path) -> Family:
    """The GAN, VAE, flow or autoregressive model in a .safetensors file that `minidiff train family-*` wrote; FileError for another's."""
    tensors, metadata = read(path)
    recipe = from_dict(metadata.get("recipe", {}))
    if recipe.network.type not in OTHERS:
        raise FileError(f"{path} holds {recipe.name}, none of the other families; `minidiff train family-flow` makes one")
    network = make_network(recipe)
    fill(network, tensors, path)
    network.eval().requires_grad_(False)
    return network  # type: ignore[return-value]


def make_schedule(noise: Noise) -> Schedule:
    """The schedule that a recipe names."""
    if noise.kind == "linear":
        return Schedule.linear(noise.T, noise.beta_1, noise.beta_T)
    if noise.kind == "cosine":
        return Schedule.cosine(noise.T)
    if noise.kind == "sigmoid":
        return Schedule.sigmoid(noise.T)
    raise ValueError(f'noise.kind must be "linear", "cosine" or "sigmoid"; got {noise.kind!r}')
