"""How well does a network draw photographs that it is told by a caption, or by a layout of colours?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from minidiff.learn.checkpoint import load, read_metadata
from minidiff.learn.condition import Condition
from minidiff.neighbours import share
from minidiff.nn.classifier import Judge
from minidiff.prediction import Denoiser
from minidiff.run.class_captions import class_captions, photo_captions
from minidiff.run.conditions import layout
from minidiff.run.evaluate import JUDGES, Plan, Tell, described, feature_distances, features, judge_samples
from minidiff.run.jobs import load_classifier
from minidiff.run.networks import build
from minidiff.run.records import plain, resampled
from minidiff.run.sampling import path
from minidiff.run.space import Space, space_of
from minidiff.run.store import Pictures, scale
from minidiff.wrappers import Guided

CHUNK = 100  # pictures sampled at once
JUDGED = ("class caption", "layout")  # what weights are told that are judged here


def evaluate_photographs(file: Path, train: Pictures, test: Pictures, plan: Plan) -> dict[str, Any]:
    """Of weights that are told captions: "samples", twice, by wordings of training and by others. Told layouts: "layout".

    Plain values, ready for JSON; train and test: see `minidiff.run.evaluate.evaluate`. Checked by tests/test_photo_evaluation.py.
    """
    metadata = read_metadata(file)
    denoiser, space, judge = load(file, build), space_of(metadata, file.parent.parent), load_classifier(JUDGES["cifar10"])
    result: dict[str, Any] = {"data": described(train, test)}
    result["data"]["trained_on_these"] = metadata.get("data_sha256") == train.checksum
    if metadata["recipe"]["told"] == "layout":
        return result | {"layout": {plan.name: judge_layouts(denoiser, judge, train, test, plan, space)}}
    found = {}
    for name, unseen in (("wordings of training", False), ("wordings never met", True)):
        rng = np.random.default_rng(plan.seed)
        found[f"{plan.name}, {name}"] = judge_samples(denoiser, judge, train, test, plan, rng, space, by_caption(unseen, plan.seed))
    return result | {"samples": found}


def by_caption(unseen: bool, seed: int) -> Tell:
    """Tells labels (B,) by captions, a wording drawn at random for each: those of training, or with unseen=True those it never has."""
    rng = torch.Generator().manual_seed(seed)
    return lambda labels: photo_captions(class_captions(labels, rng, unseen))


def judge_layouts(denoiser: Denoiser, judge: Judge, train: Pictures, test: Pictures, plan: Plan, space: Space) -> dict[str, Any]:
    """One picture for the layout of each of n test pictures.

    "explained": 1 - E|layout of the drawn - layout asked for|^2 / variance of layouts, 1 for the pictures themselves; "by_another": the
    same if every picture is held against the next one's layout. "same_class": how often the judge reads the class of the picture from
    which the layout was; floor: of that picture. And the four distances of features.
    """
    rng = np.random.default_rng(plan.seed)
    order = rng.permutation(len(test))[: plan.n]
    x, labels = scale(test.images[order]), torch.from_numpy(test.labels[order].astype(np.int64))
    y = drawn_by_layout(denoiser, layout(x), plan, space)
    read, real = (torch.cat([judge(part).argmax(1) for part in a.split(500)]) == labels for a in (y, x))
    known = scale(train.images[rng.permutation(len(train))[: len(x) * min(5, len(train) // len(x))]])
    return {
        "n": len(x),
        "explained": explained(layout(y), layout(x)), "by_another": explained(layout(y), layout(x).roll(1, 0)),
        "same_class": plain(share(int(read.sum()), len(x), float(real.double().mean()))),
    } | feature_distances(features(judge, y), features(judge, x), features(judge, known), rng)  # fmt: skip


def drawn_by_layout(denoiser: Denoiser, asked: Tensor, plan: Plan, space: Space, chunk: int = CHUNK) -> Tensor:
    """One picture for each layout (n, 3, h, w), on a canvas of latents of that size: (n, 3, 4 h, 4 w) in [-1, 1].

    Guided by plan.scale, towards the layout and away from none; chunk by chunk, each with a seed of its own.
    """
    inner: Denoiser = denoiser if plan.scale == 1 else Guided(denoiser, plan.scale)
    parts = []
    bar = tqdm(total=len(asked), unit="picture", desc=plan.sampler, disable=None)
    for i in range(0, len(asked), chunk):
        part = asked[i : i + chunk]
        rng = torch.Generator().manual_seed(1_000_003 * plan.seed + i)
        x = torch.randn(len(part), space.shape[0], *part.shape[2:], generator=rng)
        for step in path(inner, x, plan.sampler, plan.steps, rng, Condition(image=part)):
            x = step.x_t
        parts.append(space.show(x))
        bar.update(len(part))
    bar.close()
    return torch.cat(parts)


def canvas_layout(x: Tensor, times: int) -> Tensor:
    """The layout of a canvas `times` as large on which the same picture lies enlarged: (B, 3, 32, 32) -> (B, 3, 8 times, 8 times).

    times = 1 is `layout`. A tile of the canvas is eight pixels a side and covers 8 / times of the picture.
    """
    if times < 1 or x.ndim != 4:
        raise ValueError(f"times must be at least 1, x of shape (B, C, H, W); got {times} and {tuple(x.shape)}")
    tiles = F.adaptive_avg_pool2d(x, (x.shape[2] * times // 8, x.shape[3] * times // 8))
    return F.interpolate(tiles, scale_factor=2.0, mode="nearest")


def explained(made: Tensor, asked: Tensor) -> dict[str, Any]:
    """1 - E|made - asked|^2 / variance of what was asked, over pictures: 1 if the layouts agree, 0 if the mean would do as well."""
    error = ((made - asked) ** 2).mean((1, 2, 3)).double().numpy()
    spread = ((asked - asked.mean((0, 2, 3), keepdim=True)) ** 2).mean((1, 2, 3)).double().numpy()
    return resampled(lambda i: float(1 - error[i].mean() / spread[i].mean()), len(error), 1.0)
