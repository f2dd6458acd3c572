"""What a network is told of a scene: its caption, its map joined to the input, its map as tokens, or the scene with fewer pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.learn.condition import Condition
from minidiff.nn.scene_judge import CLASSES, TINTS
from minidiff.nn.text import PAD, CaptionEncoder, TileEncoder, Vocabulary, forget_words
from minidiff.run.captions import COLOURS, DIGITS, FORMS, PLURALS, RELATIONS
from minidiff.run.conditions import Told
from minidiff.run.scenes import Scene

_wordings = " ".join(wording for sides in RELATIONS.values() for side in sides for wording in side)
VOCABULARY = Vocabulary(tuple(sorted({*DIGITS, *PLURALS, *COLOURS, "a", "in", "of", *FORMS[3:], *_wordings.split()})))
SIDE = 32  # pixels of a training canvas
TILE = 4  # pixels a side of what one place of the latent map stands for
MAP_CHANNELS = (CLASSES + TINTS - 1) * TILE**2  # ground, ten digits, six colours: one-hot, of each pixel of a tile
FORGOTTEN = 0.02  # share of words made unknown in training


def captions(texts: Sequence[str]) -> Condition:
    """Captions as ids of words, with `places`: B strings -> Condition(tokens=(B, 14), image=(B, 2, 8, 8)); see `Vocabulary.ids`.

    "" is the empty condition, all zeros, as `Condition.null` makes it.
    """
    return _told(VOCABULARY.ids(texts))


def _told(ids: Tensor) -> Condition:
    return Condition(tokens=ids, image=places(len(ids)) * (ids != PAD).any(1)[:, None, None, None])


def places(n: int, side: int = SIDE // TILE) -> Tensor:
    """Where each place of a latent map lies, its row and its column from -1 to 1: (n, 2, side, side).

    A convolution is the same everywhere: what shall be above must know where above is. Alone it does not suffice, see the card of
    `scenes-text`.
    """
    at = torch.linspace(-1, 1, side)
    return torch.stack(torch.meshgrid(at, at, indexing="ij")).repeat(n, 1, 1, 1)


def maps(labels: Any, tint: Any) -> Condition:
    """Maps joined to latents: labels (B, H, W) of 0..10, tint (B, H, W) of 0..6 -> Condition(image=(B, 272, H / 4, W / 4)).

    One-hot, 17 numbers a pixel, and folded: each place of the latent map is told the sixteen pixels for which it stands, and nothing is
    lost. An empty map is ground everywhere; the empty *condition* is zeros, which says nothing at all. ValueError for a label outside, for
    a map that does not say for the same pixels that there is a digit as the tint does, and for sides that are no multiples of 4.
    """
    labels, tint = (torch.as_tensor(np.asarray(part)).long() for part in (labels, tint))
    for name, part, classes in (("labels", labels, CLASSES), ("tint", tint, TINTS)):
        if part.ndim != 3 or part.shape != labels.shape or not bool(((part >= 0) & (part < classes)).all()):
            got = f"shape {tuple(part.shape)}, up to {part.max()}"
            raise ValueError(f"{name} must be whole numbers 0..{classes - 1} of shape (B, H, W), the same for both; got {got}")
    if not torch.equal(labels > 0, tint > 0):
        raise ValueError("labels and tint must be 0 (ground) at the same pixels: a digit has a colour")
    if labels.shape[1] % TILE or labels.shape[2] % TILE:
        raise ValueError(f"the sides of a map must be multiples of {TILE}; got {labels.shape[1]} x {labels.shape[2]}")
    hot = torch.cat([F.one_hot(labels, CLASSES), F.one_hot(tint, TINTS)[..., 1:]], dim=-1)
    return Condition(image=F.pixel_unshuffle(hot.movedim(-1, 1).float(), TILE))


def tokens_of(image: Tensor) -> Tensor:
    """A map as tokens, one for each of its places, row by row: (B, C, h, w) -> (B, h w, C)."""
    return image.flatten(2).transpose(1, 2)


def _caption(x: Tensor, some: Sequence[Scene], rng: torch.Generator) -> Condition:
    return _told(forget_words(VOCABULARY.ids([s.caption for s in some]), FORGOTTEN, rng))


def map_of(some: Sequence[Scene], as_tokens: bool = False) -> Condition:
    """The maps of scenes of one size as a condition, joined to the input or as tokens."""
    cond = maps(np.stack([s.map for s in some]), np.stack([s.tint for s in some]))
    assert cond.image is not None
    return Condition(tokens=tokens_of(cond.image)) if as_tokens else cond


def coarse_of(x: Tensor) -> Condition:
    """Scenes with one pixel in sixteen, joined to latents: (B, 3, H, W) -> Condition(image=(B, 3, H / 4, W / 4)), the mean of each tile."""
    return Condition(image=F.avg_pool2d(x, TILE))


# As training makes them of scenes.
SCENE_CONDITIONS: dict[str, Told] = {
    "caption": Told(_caption, image_channels=2, tau=lambda: CaptionEncoder(len(VOCABULARY), VOCABULARY.length)),
    "map": Told(lambda x, some, rng: map_of(some), image_channels=MAP_CHANNELS),
    "map tokens": Told(lambda x, some, rng: map_of(some, as_tokens=True), tau=lambda: TileEncoder(MAP_CHANNELS, (SIDE // TILE) ** 2)),
    "coarse scene": Told(lambda x, some, rng: coarse_of(x), image_channels=3),
}


def pictures(some: Sequence[Scene]) -> Tensor:
    """Scenes as the models see them: (B, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack([s.picture for s in some]).transpose(0, 3, 1, 2).astype(np.float32)) / 127.5 - 1
