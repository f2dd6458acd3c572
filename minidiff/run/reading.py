"""What is in a picture of a scene, read by the judge, and whether that is what a caption or a map asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from minidiff.nn.scene_judge import CLASSES, SceneJudge
from minidiff.run.captions import Described
from minidiff.run.placing import Placed, related

SMALLEST = 12  # pixels: what is smaller is a speck, no digit
CHUNK = 100_000  # pixels looked at together


@torch.no_grad()
def log_shares(judge: SceneJudge, x: Tensor) -> tuple[Tensor, Tensor]:
    """log p of class and of colour for every pixel: (B, 3, H, W) -> (B, 11, H, W), (B, 7, H, W)."""
    many = max(1, CHUNK // (x.shape[2] * x.shape[3]))
    logits = torch.cat([judge(part) for part in x.split(many)])
    return torch.log_softmax(logits[:, :CLASSES], 1), torch.log_softmax(logits[:, CLASSES:], 1)


def digits_seen(judge: SceneJudge, x: Tensor) -> list[list[Placed]]:
    """The digits that the judge sees in each picture, with their boxes; pixels that touch are one digit, of one class and colour."""
    classes, tints = (part.numpy() for part in log_shares(judge, x))
    found: list[list[Placed]] = []
    for shares, tint in zip(classes, tints, strict=True):
        pieces, _ = ndimage.label(shares.argmax(0) > 0)
        seen = []
        for k, (rows, columns) in enumerate(ndimage.find_objects(pieces), 1):
            inside = pieces == k
            if inside.sum() < SMALLEST:
                continue
            digit, colour = (int(part[1:, inside].sum(1).argmax()) for part in (shares, tint))
            seen.append(Placed(digit, colour, rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start))
        found.append(seen)
    return found


def agrees(seen: Sequence[Placed], said: Described) -> dict[str, bool]:
    """Whether what is seen is what was said: the digits, the colours, each digit in its colour, how they lie; and all of it.

    Each is asked of the whole picture, so a digit too many or too few makes all of them false.
    """
    wanted, there = sorted(said.what), sorted((p.digit, p.colour) for p in seen)
    digit, colour = (sorted(one[i] for one in wanted) == sorted(one[i] for one in there) for i in (0, 1))
    things = wanted == there
    lie = len(seen) == len(said.what) and _lie(list(seen), said, things)
    return {"digit": digit, "colour": colour, "things": things, "relation": lie, "all": things and lie}


def _lie(seen: list[Placed], said: Described, things: bool) -> bool:
    if said.form == "alone":
        return True
    middles = np.array([p.middle for p in seen])
    down, right = np.ptp(middles, axis=0)
    if said.form in ("above", "left of"):
        if not things:  # which is which cannot be told: do they at least lie along that line?
            return bool(down >= right if said.form == "above" else down < right)
        first, second = seen if (seen[0].digit, seen[0].colour) == said.what[0] else seen[::-1]
        alike = said.what[0] == said.what[1]
        return related(first, second) == said.form or (alike and related(second, first) == said.form)
    if said.form == "square":
        order = middles[np.argsort(middles[:, 0])]
        return bool(order[1, 0] + 3 < order[2, 0] and all(abs(np.diff(two[:, 1]))[0] > 5 for two in (order[:2], order[2:])))
    return bool(down < right / 2 if said.form == "row" else right < down / 2)


def map_agreement(judge: SceneJudge, x: Tensor, maps: Tensor) -> dict[str, np.ndarray]:
    """For each picture the share of pixels that the judge gives the class of the map, of all pixels and of those in boxes.

    x (B, 3, H, W), maps (B, H, W) whole numbers 0..10 -> "pixels" (B,) and "boxes" (B,), the second nan where there is no box.
    """
    right = log_shares(judge, x)[0].argmax(1) == maps
    inside = maps > 0
    boxes = torch.where(inside, right, torch.zeros_like(right)).flatten(1).sum(1) / inside.flatten(1).sum(1)
    return {"pixels": right.double().mean((1, 2)).numpy(), "boxes": boxes.double().numpy()}
