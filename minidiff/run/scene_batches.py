"""Digit scenes as batches, drawn while training goes on: no scene is ever met twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
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
        make = _with_maps if recipe.network.type == "scene-judge" else _alone
        return lambda rng: make(drawn(both, recipe.train.batch, rng)), identity
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


def _alone(some: list[Scene]) -> tuple[Tensor, Any]:
    return pictures(some), None


def _with_maps(some: list[Scene]) -> tuple[Tensor, Any]:
    return pictures(some), torch.from_numpy(np.stack([np.stack([s.map, s.tint]) for s in some]).astype(np.int64))
