"""Where the samples of some weights live, in pixels or in a latent space, and how pictures come of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidiff.learn.checkpoint import read_metadata
from minidiff.run.first_stages import its_first_stage
from minidiff.run.jobs import weights_path
from minidiff.run.recipes import Recipe, from_dict

SIZES = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32), "scenes": (3, 32, 32)}
CHUNK = 100  # latents decoded at once


@dataclass(frozen=True, eq=False)
class Space:
    """shape: of one sample. bounded: pixels, which lie in [-1, 1], so that samplers may clip their guess of x_0.

    show: samples to pictures. encode: pictures to samples, of latents their mean. data: whose pictures they are, "mnist", "cifar10",
    "scenes" or the name of a toy.
    """

    data: str
    shape: tuple[int, ...]
    bounded: bool
    show: Callable[[Tensor], Tensor]
    encode: Callable[[Tensor], Tensor] = lambda x: x

    def noise(self, n: int, size: tuple[int, int], rng: torch.Generator) -> Tensor:
        """x_T of n pictures of H x W pixels, of whatever shape samples of that size have here."""
        C, h, w = self.shape
        H, W = SIZES[self.data][1:]
        return torch.randn(n, C, size[0] * h // H, size[1] * w // W, generator=rng)


def space_of(metadata: dict[str, Any], runs: Path = Path("runs")) -> Space:
    """The space of weights with this metadata; of latent ones the autoencoder is found and recognised, FileError if it is not there."""
    recipe = from_dict(metadata["recipe"])
    if not recipe.latent:
        return pixels(recipe)
    first_stage = its_first_stage(metadata, runs)
    _, H, W = SIZES[recipe.data]
    f = first_stage.autoencoder.factor

    def decoded(z: Tensor) -> Tensor:
        return torch.cat([first_stage.space.decode(part) for part in z.split(CHUNK)]).clamp(-1, 1)

    shape = (first_stage.autoencoder.z_channels, H // f, W // f)
    return Space(recipe.data, shape, False, decoded, lambda x: first_stage.space.encode(x).mean)


def load_space(name: str) -> Space:
    """The space in which the shipped weights of this name draw."""
    path = weights_path(name)
    return space_of(read_metadata(path), path.parent.parent)


def pixels(recipe: Recipe) -> Space:
    """The space of a recipe that works on the data as they are: pictures, or points in the plane."""
    return Space(recipe.data, SIZES.get(recipe.data, (2,)), recipe.data in SIZES, lambda x: x)
