"""Digit scenes as batches, drawn while training goes on: no scene is ever met twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from minidiff.learn.train import Batch
from minidiff.run.digits import mnist
from minidiff.run.recipes import Recipe, checked
from minidiff.run.scene_conditions import SCENE_CONDITIONS, SIDE, pictures
from minidiff.run.scenes import Scene, Scenes

MANY = 2**40  # scenes of one seed


def scene_batches(recipe: Recipe, source: str) -> tuple[Batch, dict[str, Any]]:
    """batch(generator) of scenes with what the recipe tells of them, and the checksum of the digits; source: see `mnist`.

    Captions: scenes without the held-out combinations. Otherwise windows of crowds. The judge learns both, of a seed of its own, with
    every combination, and is told the maps.
    """
    digits, size = mnist("train", source), (SIDE, SIDE)
    identity = {"data_sha256": digits.checksum}
    if recipe.network.type == "scene-judge":
        seed = 1_000 + recipe.train.seed
        both = [Scenes(digits, seed, size, "text", lambda said: True), Scenes(digits, seed, size, "crowd")]
        return lambda rng: _with_maps(drawn(both, recipe.train.batch, rng)), identity
    told = SCENE_CONDITIONS[checked("told", recipe.told, SCENE_CONDITIONS)]
    some = [Scenes(digits, recipe.train.seed, size, "text" if recipe.told == "caption" else "crowd")]

    def batch(rng: torch.Generator) -> tuple[Tensor, Any]:
        about = drawn(some, recipe.train.batch, rng)
        x = pictures(about)
        cond = told.make(x, about, rng)
        if cond is not None and recipe.train.drop > 0:
            cond = cond.drop(torch.rand(len(x), generator=rng) < recipe.train.drop)
        return x, cond

    return batch, identity


def drawn(sets: list[Scenes], n: int, rng: torch.Generator) -> list[Scene]:
    """n scenes, from the sets in turn, at numbers drawn at random."""
    return [sets[i % len(sets)][k] for i, k in enumerate(torch.randint(0, MANY, (n,), generator=rng).tolist())]


def _with_maps(some: list[Scene]) -> tuple[Tensor, Tensor]:
    return pictures(some), torch.from_numpy(np.stack([np.stack([s.map, s.tint]) for s in some]).astype(np.int64))
