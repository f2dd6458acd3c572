"""Digit scenes as batches, drawn while training goes on: no scene is ever met twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.learn.train import Batch
from minidiff.run.digits import mnist
from minidiff.run.first_stages import FirstStageFile
from minidiff.run.recipes import Recipe, checked
from minidiff.run.scene_conditions import SCENE_CONDITIONS, SIDE, pictures
from minidiff.run.scenes import Scene, Scenes

MANY = 2**40  # scenes of one seed


def scene_batches(recipe: Recipe, source: str, first_stage: FirstStageFile | None = None) -> tuple[Batch, dict[str, Any]]:
    """batch(generator) of scenes with what the recipe tells of them, and the checksum of the digits; source: see `mnist`.

    Captions: scenes without the held-out combinations. Otherwise windows of crowds. The judge and the autoencoder learn both, with every
    combination, the judge of a seed of its own; it is told the maps. first_stage: the autoencoder of a recipe that works in its latents.
    """
    digits, size = mnist("train", source), (SIDE, SIDE)
    identity: dict[str, Any] = {"data_sha256": digits.checksum}
    if recipe.network.type in ("scene-judge", "autoencoder"):
        seed = recipe.train.seed + (1_000 if recipe.network.type == "scene-judge" else 0)
        both = [Scenes(digits, seed, size, "text", lambda said: True), Scenes(digits, seed, size, "crowd")]
        if recipe.network.type == "autoencoder":
            return lambda rng: (pictures(drawn(both, recipe.train.batch, rng)), None), identity

        def worn_with_maps(rng: torch.Generator) -> tuple[Tensor, Any]:
            about = drawn(both, recipe.train.batch, rng)
            return worn(pictures(about), rng), true_maps(about)

        return worn_with_maps, identity
    if recipe.latent:
        if first_stage is None:
            raise ValueError(f"{recipe.name} works in a latent space: give the autoencoder {recipe.latent}")
        if first_stage.autoencoder.z_channels != recipe.network.in_channels:
            z = first_stage.autoencoder.z_channels
            raise ValueError(f"the latents of {first_stage.name} have {z} channels; set network.in_channels={z}")
        identity["first_stage"] = first_stage.identity()
    told = SCENE_CONDITIONS[checked("told", recipe.told, SCENE_CONDITIONS)]
    some = [Scenes(digits, recipe.train.seed, size, "text" if recipe.told == "caption" else "crowd")]

    def batch(rng: torch.Generator) -> tuple[Tensor, Any]:
        about = drawn(some, recipe.train.batch, rng)
        x = pictures(about)
        cond = told.make(x, about, rng)
        if first_stage is not None:
            q = first_stage.space.encode(x)
            x = q.sample(torch.randn(q.mean.shape, generator=rng))
        if cond is not None and recipe.train.drop > 0:
            cond = cond.drop(torch.rand(len(x), generator=rng) < recipe.train.drop)
        return x, cond

    return batch, identity


def drawn(sets: list[Scenes], n: int, rng: torch.Generator) -> list[Scene]:
    """n scenes, from the sets in turn, at numbers drawn at random."""
    return [sets[i % len(sets)][k] for i, k in enumerate(torch.randint(0, MANY, (n,), generator=rng).tolist())]


def true_maps(some: list[Scene]) -> Tensor:
    """What a judge shall say of each pixel: (B, 2, H, W) whole numbers, the map and the tint."""
    return torch.from_numpy(np.stack([np.stack([s.map, s.tint]) for s in some]).astype(np.int64))


def worn(x: Tensor, rng: torch.Generator, blur: float = 0.5, noise: float = 0.12) -> Tensor:
    """Pictures a little the worse, each by a share of its own: mixed with the mean of 3 x 3 pixels, up to `blur`, and noise up to `noise`.

    A judge that has only met perfect scenes, in which a plain ground is one number everywhere, takes the faintest error of a decoder for a
    digit. Half of the pictures stay as they are.
    """
    share, std = (most * torch.rand(len(x), 1, 1, 1, generator=rng) for most in (blur, noise))
    touched = (torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5).float()
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    return x + touched * (share * (soft - x) + std * torch.randn(x.shape, generator=rng))
