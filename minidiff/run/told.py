"""All that a network may be told, by name (the field `told` of a recipe), and what to tell it when samples are asked for."""

from __future__ import annotations

import numpy as np

from minidiff.learn.condition import Condition
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.run.class_captions import CLASS_CAPTION
from minidiff.run.conditions import CONDITIONS, Told, coarse, for_samples
from minidiff.run.digits import mnist
from minidiff.run.scene_conditions import SCENE_CONDITIONS, SIDE, captions, map_of, maps, pictures
from minidiff.run.scenes import Scenes
from minidiff.run.writing import written

TOLD: dict[str, Told] = CONDITIONS | SCENE_CONDITIONS | {"class caption": CLASS_CAPTION}


def for_sampling(
    told: str, denoiser: NetworkDenoiser, n: int, label: int | None = None, text: str | None = None, write: str | None = None
) -> tuple[Condition | None, tuple[int, int] | None]:
    """(condition, canvas) for n samples: what was asked for, otherwise labels in turn, or what is known of n scenes of test digits.

    text: a caption, for "caption". write: digits, for "map"; the canvas is as wide as they need, and None stands for the usual one.
    ValueError for a wish that the network does not understand.
    """
    for name, wish, kind in (("--text", text, "caption"), ("--write", write, "map")):
        if wish is not None and told != kind:
            raise ValueError(f"{name} is for weights that are told a {kind}, such as scenes-{'text' if kind == 'caption' else 'map'}")
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
        return coarse(pictures(some)), None
    return map_of(some, as_tokens=told == "map tokens"), None
