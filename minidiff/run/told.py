"""All that a network may be told, by name (the field `told` of a recipe), and what to tell it when samples are asked for."""

from __future__ import annotations

import numpy as np
import torch

from minidiff.learn.condition import Condition
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.run.cifar import cifar10
from minidiff.run.class_captions import CLASS_CAPTION, class_captions, photo_captions
from minidiff.run.conditions import CONDITIONS, Told, for_samples, layout
from minidiff.run.digits import mnist
from minidiff.run.scene_conditions import SCENE_CONDITIONS, SIDE, captions, coarse_of, map_of, maps, pictures
from minidiff.run.scenes import Scenes
from minidiff.run.store import scale
from minidiff.run.writing import written

TOLD: dict[str, Told] = CONDITIONS | SCENE_CONDITIONS | {"class caption": CLASS_CAPTION}


def for_sampling(
    told: str, denoiser: NetworkDenoiser, n: int, label: int | None = None, text: str | None = None, write: str | None = None
) -> tuple[Condition | None, tuple[int, int] | None]:
    """(condition, canvas) for n samples: what was asked for, otherwise labels in turn, or what is known of n test pictures or scenes.

    text: a caption, for "caption" and "class caption". write: digits, for "map"; the canvas is as wide as they need, and None stands for
    the usual one. ValueError for a wish that the network does not understand.
    """
    if text is not None and "caption" not in told:
        raise ValueError("--text is for weights that are told a caption, such as scenes-text")
    if write is not None and told != "map":
        raise ValueError("--write is for weights that are told a map, such as scenes-map")
    if told == "class caption":
        rng = torch.Generator().manual_seed(0)
        return photo_captions([text] * n if text is not None else class_captions(_in_turn(n, label), rng)), None
    if told == "layout":
        if label is not None:
            raise ValueError("--label asks for a class, and these weights are told a layout of colours")
        return Condition(image=layout(scale(cifar10("test").images[:n]))), None
    if told not in SCENE_CONDITIONS:
        return for_samples(denoiser.network, n, label), None
    if label is not None:
        raise ValueError("--label asks for a class, and these weights know none")
    if text is not None:
        return captions([text] * n), None
    if write is not None:
        labels, tint = (np.repeat(part[None], n, 0) for part in written(write))
        return maps(labels, tint), (labels.shape[1], labels.shape[2])
    made = Scenes(mnist("test"), 1_000_000, (SIDE, SIDE), "text" if told == "caption" else "crowd")
    some = [made[k] for k in range(n)]
    if told == "caption":
        return captions([s.caption for s in some]), None
    if told == "coarse scene":
        return coarse_of(pictures(some)), None
    return map_of(some, as_tokens=told == "map tokens"), None


def _in_turn(n: int, wanted: int | None) -> list[int]:
    if wanted is not None and not 0 <= wanted <= 9:
        raise ValueError(f"--label must be a class 0..9; got {wanted}")
    return [i % 10 if wanted is None else wanted for i in range(n)]
