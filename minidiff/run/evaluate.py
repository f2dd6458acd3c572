"""How good are weights for pictures? Samples judged four ways, and bits/dim two ways; every number with its n, floor and interval.

Real pictures are drawn at random from the splits: the first half of MNIST's test split is easier than the second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from minidiff.learn.checkpoint import load, read_metadata
from minidiff.learn.condition import Condition
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.metrics import frechet_distance, kernel_distance
from minidiff.neighbours import memorised, precision_recall, share
from minidiff.nn.classifier import Judge
from minidiff.nn.unet import UNet
from minidiff.prediction import Denoiser
from minidiff.run.batches import PICTURES
from minidiff.run.bits import bits, told_labels
from minidiff.run.conditions import label
from minidiff.run.fid import find_fidelity, inception_fid
from minidiff.run.first_stages import open_first_stage
from minidiff.run.jobs import load_classifier
from minidiff.run.networks import build
from minidiff.run.recipes import RECIPES
from minidiff.run.reconstruction import judge_reconstruction
from minidiff.run.records import plain, sig
from minidiff.run.restoration import judge_restoration
from minidiff.run.sampling import SAMPLERS, path
from minidiff.run.space import Space, pixels, space_of
from minidiff.run.store import Pictures, scale
from minidiff.wrappers import Clipped, Guided

DIGITS = pixels(RECIPES["mnist-ddpm"])
CHUNK = 100  # pictures sampled at once
SURE = 0.9  # a picture is clear if the judge gives one class a probability above this
Tell = Callable[[Tensor], Condition]
FLOORS = 5  # the floor is a mean over up to this many sets of n training pictures


@dataclass(frozen=True)
class Plan:
    """n samples by a sampler with `steps` network calls each (0: none); bits/dim of `bound` pictures term by term and of `stratified` ones.

    scale: of guidance, for weights that are told labels. Raises ValueError for a number out of range.
    """

    n: int = 500
    sampler: str = "ddim"
    steps: int = 50
    scale: float = 1.0
    bound: int = 16
    stratified: int = 256
    seed: int = 0
    fid: bool = False

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {self.sampler!r}")
        for name, value, least in (("n", self.n, 20), ("bound", self.bound, 2), ("stratified", self.stratified, 2)):
            if value != 0 and value < least:
                raise ValueError(f"{name} must be 0 (leave it out) or at least {least}, so that it has an interval; got {value}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0; got {self.seed}")

    @property
    def name(self) -> str:
        """Under which the numbers are kept: sampler, calls and, if there is guidance, its scale."""
        return f"{self.sampler} {self.steps}" + ("" if self.scale == 1 else f" scale {self.scale:g}")


JUDGES = {"mnist": "mnist-classifier", "cifar10": "cifar-classifier"}


def real_pictures(metadata: dict[str, Any]) -> tuple[Pictures, Pictures]:
    """The training and test pictures by which weights with this metadata are judged; ValueError if they are of no pictures."""
    name = metadata.get("recipe", {}).get("data")
    if name not in JUDGES:
        raise ValueError(f"evaluate judges weights for {' and '.join(JUDGES)}; these are for {name}")
    return PICTURES[name]("train"), PICTURES[name]("test")


def evaluate_file(path: Path, train: Pictures, test: Pictures, plan: Plan = Plan()) -> dict[str, Any]:
    """`evaluate` for the weights in a file, or `judge_reconstruction` if they are an autoencoder's."""
    metadata = read_metadata(path)
    judge = load_classifier(JUDGES[metadata["recipe"]["data"]])
    if metadata["recipe"]["network"]["type"] == "autoencoder":
        found = judge_reconstruction(open_first_stage(path), judge, train, test, plan.n, plan.seed)
        result = {"data": described(train, test), "reconstruction": found}
    else:
        result = evaluate(load(path, build), judge, train, test, plan, space_of(metadata, path.parent.parent))
    result["data"]["trained_on_these"] = metadata.get("data_sha256") == train.checksum
    return result


def described(train: Pictures, test: Pictures) -> dict[str, Any]:
    """Which pictures a result is of, and how many."""
    return {"train": [train.name, len(train)], "test": [test.name, len(test)]}


def evaluate(
    denoiser: NetworkDenoiser, judge: Judge, train: Pictures, test: Pictures, plan: Plan = Plan(), space: Space = DIGITS
) -> dict[str, Any]:
    """Plain values, ready for JSON: `data`, `samples` (by sampler and calls) and, in pixels, `bits_per_dim`, as the plan asks.

    Weights that restore given pictures get `restoration` alone. judge: the classifier and, by its features, the space of distances.
    train: the pictures the weights were trained on. space: where samples live. Raises ValueError for weights of no pictures, and for
    guidance where there are no labels. Checked by tests/test_evaluate.py.
    """
    network = denoiser.network
    if not isinstance(network, UNet):
        raise ValueError(f"evaluate judges pictures, made by a UNet; these weights are of a {type(network).__name__}")
    if plan.scale != 1 and not told_labels(denoiser):
        raise ValueError(f"guidance needs weights that are told labels; these are told none, so scale must be 1; got {plan.scale}")
    if plan.fid:
        find_fidelity()  # before an hour of sampling, not after
    result: dict[str, Any] = {"data": described(train, test)}
    rng = np.random.default_rng(plan.seed)
    if network.image_channels:  # weights that restore given pictures: they draw none of their own, and are no model of p(x_0)
        found = judge_restoration(denoiser, judge, test, min(plan.n, len(test)), plan.steps, plan.seed) if plan.n else {}
        return result | {"restoration": found}
    if plan.n:
        result["samples"] = {plan.name: judge_samples(denoiser, judge, train, test, plan, rng, space)}
    if space.bounded and (plan.bound or plan.stratified):
        result["bits_per_dim"] = bits(denoiser, test, plan.bound, plan.stratified, plan.seed)
    return result


def judge_samples(
    denoiser: NetworkDenoiser, judge: Judge, train: Pictures, test: Pictures, plan: Plan, rng: np.random.Generator, space: Space = DIGITS,
    tell: Tell | None = None,
) -> dict[str, Any]:  # fmt: skip
    """n samples against as many test pictures, or as there are. tell: see `draw_pictures`."""
    start = time.monotonic()
    x, labels = draw_pictures(denoiser, plan, space, tell)
    out: dict[str, Any] = {"n": plan.n, "seconds": round(time.monotonic() - start)}
    m = min(plan.n, len(test), len(train))
    held_out = rng.permutation(len(test))[:m]
    y = scale(test.images[held_out])
    out |= recognised(judge, x, labels, y, torch.from_numpy(test.labels[held_out].astype(np.int64)))
    real = scale(train.images[rng.permutation(len(train))[: m * min(FLOORS, len(train) // m)]])
    out |= feature_distances(features(judge, x[:m]), features(judge, y), features(judge, real), rng)
    out |= copies(x, y, scale(train.images))
    if plan.fid:
        out["inception_fid"] = {"value": inception_fid(x[:m], y), "n": m, "floor": inception_fid(real[:m], y)}
    return out


def draw_pictures(denoiser: NetworkDenoiser, plan: Plan, space: Space = DIGITS, tell: Tell | None = None) -> tuple[Tensor, Tensor | None]:
    """n pictures (n, C, H, W) in [-1, 1], and the labels asked for: 0 to 9 in turn, or None where the network is told nothing.

    tell: labels (B,) -> what the network is told of them; one-hot vectors where it takes them. Chunk by chunk, each with a seed of its
    own, so that more samples begin with the same ones.
    """
    told = tell or (label if told_labels(denoiser) else None)
    inner: Denoiser = Guided(denoiser, plan.scale) if told and plan.scale != 1 else denoiser
    labels, parts = torch.arange(plan.n) % 10, []
    sampled: Denoiser = Clipped(inner) if space.bounded else inner
    bar = tqdm(total=plan.n, unit="picture", desc=plan.sampler, disable=None)
    for i in range(0, plan.n, CHUNK):
        rng = torch.Generator().manual_seed(1_000_003 * plan.seed + i)
        x = torch.randn((min(CHUNK, plan.n - i), *space.shape), generator=rng)
        for step in path(sampled, x, plan.sampler, plan.steps, rng, told(labels[i : i + len(x)]) if told else None):
            x = step.x_t
        parts.append(space.show(x))
        bar.update(len(x))
    bar.close()
    return torch.cat(parts), labels if told else None


def recognised(judge: Judge, x: Tensor, asked: Tensor | None, y: Tensor, labels: Tensor) -> dict[str, Any]:
    """What the judge sees: the share of clear digits, the classes and, where labels were asked for, how often it sees those.

    Floors: the same of the real digits y and their labels.
    """
    p, q = (torch.cat([torch.softmax(judge(part), 1) for part in a.split(500)]) for a in (x, y))
    n = len(x)
    clear, real = ((a.amax(1) > SURE).sum().item() for a in (p, q))
    out = {"clear": plain(share(int(clear), n, real / len(y))), "classes": torch.bincount(p.argmax(1), minlength=10).tolist()}
    if asked is not None:
        hits, right = int((p.argmax(1) == asked).sum()), float((q.argmax(1) == labels).float().mean())
        out["label_accuracy"] = plain(share(hits, n, right))
    return out


def features(judge: Judge, x: Tensor) -> Tensor:
    """The judge's numbers for each picture: (n, 128) for digits, (n, 192) for photographs."""
    return torch.cat([judge.features(part) for part in x.split(500)])


def feature_distances(x: Tensor, y: Tensor, real: Tensor, rng: np.random.Generator) -> dict[str, Any]:
    """Four distances of features: not FID and KID, which are of Inception's features, and comparable only under one judge."""
    both = precision_recall(x, y, real)
    frechet, kernel = (f(x, y, real, rng) for f in (frechet_distance, kernel_distance))
    found = {"frechet": frechet, "kernel": kernel, "precision": both.precision, "recall": both.recall}
    return {name: plain(m) for name, m in found.items()}


def copies(x: Tensor, held_out: Tensor, train: Tensor) -> dict[str, Any]:
    """Nearest training pictures by pixels: the share of samples nearer than all but 1 % of test pictures are, and median distances.

    Photographs are compared at half their size: a copy is a copy there too, and all 50,000 take a quarter of the memory.
    """
    small, others, known = ((F.avg_pool2d(a, 2) if a.shape[1] == 3 else a).flatten(1) for a in (x, held_out, train))
    found = memorised(small, others, known)
    middle = {"samples": sig(np.median(found.distance)), "test": sig(np.median(found.held_out))}
    return {"near_copies": plain(found.closer), "distance_to_train": middle}


def table(result: dict[str, Any]) -> str:
    """The result for the eye: one line a number, with its interval, its floor and its n."""
    lines = [f"{split}: {{}}, {{:,}} pictures".format(*result["data"][split]) for split in ("train", "test")]
    if not result["data"].get("trained_on_these", True):
        lines.append("these weights were trained on other pictures: they may know these test pictures, and may copy pictures not looked at")
    for name, found in result.get("samples", {}).items():
        lines += ["", f"{name}: {found['n']} samples, {found['seconds']} s", *_rows(found, "real")]
        lines.append(f"classes 0 to 9: {', '.join(map(str, found['classes']))}")
        lines.append("median distance to the nearest training picture: samples {samples}, test {test}".format(**found["distance_to_train"]))
    if found := result.get("reconstruction"):
        lines += ["", f"reconstruction: {found['n']} test pictures", *_rows(found, "real")]
        lines += [f"{key:<24}{value!s:>10}" for key, value in found.items() if key != "n" and not isinstance(value, dict)]
    for name, found in (result.get("restoration", {}) | result.get("layout", {})).items():
        lines += ["", f"{name}: {found['n']} test pictures", *_rows(found, "right")]
    for how, variances in result.get("bits_per_dim", {}).items():
        lines += ["", f"bits/dim, {how}"]
        for variance, m in variances.items():
            lines.append(ROW.format(variance, m["value"], "{} to {}".format(*m["interval_95"]), "", m["n"]))
            lines.append("  " + ", ".join(f"{k} {v}" for k, v in m.items() if k not in ("value", "interval_95", "n")))
    return "\n".join(lines)


ROW = "{:<24}{:>10}  {:<24}{:>12}{:>8}"


def _rows(found: dict[str, Any], right: str) -> list[str]:
    """A header and one line for each number with an n; right: the name of its floor."""
    numbers = {key: m for key, m in found.items() if isinstance(m, dict) and "value" in m}
    intervals = {key: "{} to {}".format(*m["interval_95"]) if "interval_95" in m else "" for key, m in numbers.items()}
    head = ROW.format("", "value", "95% interval", right, "n")
    return [head, *(ROW.format(key, m["value"], intervals[key], m.get("floor", ""), m["n"]) for key, m in numbers.items())]
