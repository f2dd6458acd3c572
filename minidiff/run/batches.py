"""A recipe's data as batches: digits, photographs, points, latents of photographs, all drawn with replacement; or scenes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.learn.condition import Condition
from minidiff.learn.train import Batch
from minidiff.run.cifar import cifar10
from minidiff.run.digits import mnist
from minidiff.run.first_stages import FirstStageFile
from minidiff.run.latents import Latents, latents
from minidiff.run.recipes import Recipe, checked
from minidiff.run.scene_batches import scene_batches
from minidiff.run.store import Pictures, scale
from minidiff.run.told import TOLD
from minidiff.toy import TOYS

PICTURES: dict[str, Callable[..., Pictures]] = {"mnist": mnist, "cifar10": cifar10}


def batches(recipe: Recipe, source: str, first_stage: FirstStageFile | None = None) -> tuple[Batch, dict[str, Any]]:
    """batch(generator) for a recipe's data, and the identity of that data: its checksum and, of latents, that of the autoencoder.

    source: which pictures, see `mnist` and `cifar10`. first_stage: the autoencoder of a recipe that works in a latent space. Photographs
    are mirrored by a coin, which changes no law of theirs that matters; for a classifier they are shifted too. Raises ValueError for
    unknown data and for a latent space that does not fit the network.
    """
    if recipe.data == "scenes":
        return scene_batches(recipe, source, first_stage)
    if recipe.data not in PICTURES:
        return _points(recipe)
    pictures = PICTURES[recipe.data]("train", source)
    identity: dict[str, Any] = {"data_sha256": pictures.checksum}
    labels = torch.from_numpy(pictures.labels.astype(np.int64))
    if recipe.network.type.endswith("classifier"):
        return _for_classifier(pictures, labels, recipe), identity
    z: Latents | None = None
    if recipe.latent:
        if first_stage is None:
            raise ValueError(f"{recipe.name} works in a latent space: give the autoencoder {recipe.latent}")
        z = latents(first_stage, pictures)
        if z.channels != recipe.network.in_channels:
            raise ValueError(f"the latents of {first_stage.name} have {z.channels} channels; set network.in_channels={z.channels}")
        identity |= {"first_stage": first_stage.identity()}

    def draw(i: Tensor, rng: torch.Generator) -> tuple[Tensor, Callable[[], Tensor]]:
        mirror = torch.randint(0, 2, (len(i),), generator=rng) if recipe.data == "cifar10" else torch.zeros_like(i)

        def picture() -> Tensor:
            x = scale(pictures.images[i.numpy()])
            return torch.where(mirror[:, None, None, None] == 1, x.flip(3), x)

        return (picture() if z is None else z.draw(i, mirror, rng)), picture

    return _told(draw, labels, recipe), identity


Draw = Callable[[Tensor, torch.Generator], tuple[Tensor, Callable[[], Tensor]]]


def _told(draw: Draw, labels: Tensor, recipe: Recipe) -> Batch:
    """Batches of x_0 and its picture = draw(indices, generator), with what the recipe tells of them, emptied for some."""
    told, n = TOLD[checked("told", recipe.told, TOLD)], recipe.train.batch

    def batch(rng: torch.Generator) -> tuple[Tensor, Condition | None]:
        i = torch.randint(0, len(labels), (n,), generator=rng)
        x, picture = draw(i, rng)
        cond = told.make(x, picture() if told.of == "picture" else labels[i], rng)
        if cond is not None and recipe.train.drop > 0:
            cond = cond.drop(torch.rand(n, generator=rng) < recipe.train.drop)
        return x, cond

    return batch


def _for_classifier(pictures: Pictures, labels: Tensor, recipe: Recipe) -> Batch:
    n = recipe.train.batch

    def digits(rng: torch.Generator) -> tuple[Tensor, Tensor]:
        i = torch.randint(0, len(labels), (n,), generator=rng)
        x = scale(pictures.images[i.numpy()])
        shift = torch.randint(-2, 3, (2,), generator=rng).tolist()  # a digit moved by two pixels is still that digit
        return torch.roll(x, shift, (2, 3)), labels[i]

    def photographs(rng: torch.Generator) -> tuple[Tensor, Tensor]:
        i = torch.randint(0, len(labels), (n,), generator=rng)
        return shifted(mirrored(scale(pictures.images[i.numpy()]), rng), rng), labels[i]

    return digits if recipe.data == "mnist" else photographs


def mirrored(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each picture as it is or mirrored left to right, by a coin: (B, C, H, W) -> the same."""
    coin = torch.rand(len(x), 1, 1, 1, generator=rng) < 0.5
    return torch.where(coin, x.flip(3), x)


def shifted(x: Tensor, rng: torch.Generator, most: int = 4) -> Tensor:
    """Each picture moved by up to `most` pixels either way, the border filled by reflection: (B, C, H, W) -> the same."""
    B, _, H, W = x.shape
    padded = F.pad(x, (most,) * 4, mode="reflect")
    down, right = (torch.randint(0, 2 * most + 1, (B, 1), generator=rng) for _ in range(2))
    rows, columns = torch.arange(H) + down, torch.arange(W) + right
    return padded[torch.arange(B)[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def _points(recipe: Recipe) -> tuple[Batch, dict[str, Any]]:
    if recipe.data not in TOYS:
        raise ValueError(f"unknown data {recipe.data!r}; there are {', '.join(PICTURES)}, scenes, {', '.join(TOYS)}")
    # A fixed set of points, as with pictures; large enough that learning it by heart is out of reach.
    x = torch.from_numpy(TOYS[recipe.data](20_000, np.random.default_rng(recipe.train.seed))).float()

    def batch(rng: torch.Generator) -> tuple[Tensor, None]:
        return x[torch.randint(0, len(x), (recipe.train.batch,), generator=rng)], None

    return batch, {"data_sha256": hashlib.sha256(x.numpy().tobytes()).hexdigest()}
