"""Running a recipe: its data as batches, its steps as a generator, its files on disk."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from minidiff.learn.checkpoint import fill, load, load_state, read, save, save_state
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.loss import hybrid_loss, simple_loss
from minidiff.learn.times import LossAwareTimes
from minidiff.learn.train import Batch, Training, TrainStep, descend, fit
from minidiff.nn.classifier import DigitClassifier
from minidiff.run.conditions import CONDITIONS
from minidiff.run.data import data_dir, mnist, scale
from minidiff.run.recipes import Recipe, build, checked, from_dict, make_network
from minidiff.toy import TOYS


@dataclass
class Job:
    """A recipe with its data at hand: `training` holds the weights, `steps()` goes on from where it stands.

    settings: the recipe and the checksum of its data, the identity by which a saved state is recognised.
    """

    recipe: Recipe
    training: Training
    batch: Batch
    settings: dict[str, Any]

    def steps(self) -> Iterator[TrainStep]:
        """Train from training.step to the end, one TrainStep at a time."""
        if isinstance(self.training.model, NetworkDenoiser):
            return fit(self.training, self.batch, {"simple": simple_loss, "hybrid": hybrid_loss}[self.recipe.train.loss])
        return descend(self.training, self._classify)

    def _classify(self, rng: torch.Generator) -> Tensor:
        x, labels = self.batch(rng)
        shift = torch.randint(-2, 3, (2,), generator=rng).tolist()  # a digit moved by two pixels is still that digit
        return F.cross_entropy(self.training.network(torch.roll(x, shift, (2, 3))), labels)

    def resume(self, path: Path) -> bool:
        """Take up the training state at path, if there is one; FileError if it belongs to other settings."""
        if not path.exists():
            return False
        load_state(path, self.training, self.settings)
        return True

    def save_state(self, path: Path) -> None:
        """Write the training state, whole or not at all."""
        save_state(path, self.training, self.settings)

    def publish(self, path: Path, **results: Any) -> None:
        """Write the averaged weights with all that says how they came about."""
        done = {"steps": self.training.step, "images_seen": self.training.step * self.recipe.train.batch}
        made = {"torch": torch.__version__, "machine": f"{platform.machine()}, {torch.get_num_threads()} thread(s), cpu"}
        save(path, self.training.average, {**self.settings, **done, **made, **results})


def prepare(recipe: Recipe, source: str = "auto") -> Job:
    """The job of a recipe, with fresh weights. source: which digits, see `minidiff.run.mnist`."""
    batch, checksum = batches(recipe, source)
    t = recipe.train
    model = make_network(recipe) if recipe.network.type == "classifier" else build(recipe)
    choice = checked("train.times", t.times, ("uniform", "aware"))
    times = LossAwareTimes(recipe.noise.T, uniform=0.1) if choice == "aware" else None
    training = Training(model, t.steps, t.lr, t.warmup, t.ema, t.seed, times=times)
    return Job(recipe, training, batch, {"recipe": recipe.to_dict(), "data_sha256": checksum})


def batches(recipe: Recipe, source: str) -> tuple[Batch, str]:
    """batch(generator) for a recipe's data, drawn with replacement, and the checksum of that data."""
    n = recipe.train.batch
    if recipe.data == "mnist":
        digits = mnist("train", source)
        labels = torch.from_numpy(digits.labels.astype(np.int64))
        told = CONDITIONS[checked("told", recipe.told, CONDITIONS)]

        def draw_digits(rng: torch.Generator) -> tuple[Tensor, Any]:
            i = torch.randint(0, len(labels), (n,), generator=rng)
            x = scale(digits.images[i.numpy()])
            if recipe.network.type == "classifier":
                return x, labels[i]
            cond = told.make(x, labels[i], rng)
            if cond is not None and recipe.train.drop > 0:
                cond = cond.drop(torch.rand(n, generator=rng) < recipe.train.drop)
            return x, cond

        return draw_digits, digits.checksum
    if recipe.data not in TOYS:
        raise ValueError(f"unknown data {recipe.data!r}; there are mnist, {', '.join(TOYS)}")
    # A fixed set of points, as with pictures; large enough that learning it by heart is out of reach.
    x = torch.from_numpy(TOYS[recipe.data](20_000, np.random.default_rng(recipe.train.seed))).float()

    def draw_points(rng: torch.Generator) -> tuple[Tensor, Any]:
        return x[torch.randint(0, len(x), (n,), generator=rng)], None

    return draw_points, hashlib.sha256(x.numpy().tobytes()).hexdigest()


def run(job: Job, folder: Path) -> Iterator[TrainStep]:
    """Train a job with its state kept at folder/state.pt every train.save_every steps and, in any case, when it stops.

    Ctrl-C, an error or the caller's `break` all leave the last finished step on disk; so does a kill, up to save_every
    steps. At the end the weights are published as folder/NAME.safetensors.
    """
    state, start = folder / "state.pt", time.monotonic()
    saved = job.training.step
    try:
        for step in job.steps():
            if step.step % job.recipe.train.save_every == 0:
                job.save_state(state)
                saved = step.step
            yield step
    finally:
        if job.training.step > saved:
            job.save_state(state)
    job.publish(folder / f"{job.recipe.name}.safetensors", seconds_of_last_run=round(time.monotonic() - start, 1))


def weights_path(name: str) -> Path:
    """Where the shipped weights of this name lie; ValueError names those that there are."""
    path = data_dir() / "weights" / f"{name}.safetensors"
    if not path.exists():
        there = sorted(p.stem for p in path.parent.glob("*.safetensors"))
        raise ValueError(f"no shipped weights named {name!r}; there are {', '.join(there) or 'none'}")
    return path


def pretrained(name: str) -> NetworkDenoiser:
    """The shipped denoiser of this name, such as "mnist-ddpm"."""
    return load(weights_path(name), build)


def load_classifier(path: str | Path | None = None) -> DigitClassifier:
    """The shipped classifier of digits, or the one at path."""
    path = Path(path) if path else weights_path("mnist-classifier")
    tensors, metadata = read(path)
    network = make_network(from_dict(metadata.get("recipe", {})))
    if not isinstance(network, DigitClassifier):
        raise ValueError(f"{path} holds a denoiser, not a classifier: use minidiff.learn.load")
    fill(network, tensors, path)
    return network.eval().requires_grad_(False)
