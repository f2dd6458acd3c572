"""Running a recipe: its data as batches, its steps as a generator, its files on disk."""

from __future__ import annotations

import copy
import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidiff import __version__
from minidiff.learn import distributed
from minidiff.learn.checkpoint import fill, load, load_state, read, save, save_state
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.first_stage import Features, FirstStage, Weights, first_stage_objective
from minidiff.learn.latent import LatentSpace
from minidiff.learn.loss import hybrid_loss, simple_loss
from minidiff.learn.times import LogitNormalTimes, LossAwareTimes, TimeSampler, UniformTimes
from minidiff.learn.train import Batch, Training, TrainStep, descend, fit, step_generator, uninterrupted
from minidiff.nn.autoencoder import Autoencoder
from minidiff.nn.classifier import DigitClassifier, PictureClassifier
from minidiff.nn.scene_judge import SceneJudge, map_loss
from minidiff.run.batches import batches
from minidiff.run.family_networks import OTHERS
from minidiff.run.first_stages import FirstStageFile
from minidiff.run.log import step_log
from minidiff.run.networks import build, make_network
from minidiff.run.recipes import Recipe, checked, from_dict
from minidiff.run.store import data_dir

TIMES: dict[str, Callable[[int], TimeSampler]] = {
    "uniform": UniformTimes, "aware": lambda T: LossAwareTimes(T, uniform=0.1),
    # more towards noise than the plain law: what lies where is decided above t / T = 0.8, which that would look at in 8 % of the draws
    "logit-normal": lambda T: LogitNormalTimes(T, mean=0.4, std=1.2),
}  # fmt: skip


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
        """Train from training.step to the end, one TrainStep at a time; the seconds, also the caller's, are counted in training.seconds."""
        if isinstance(self.training.model, NetworkDenoiser):
            steps = fit(self.training, self.batch, {"simple": simple_loss, "hybrid": hybrid_loss}[self.recipe.train.loss])
        elif isinstance(self.training.model, FirstStage):
            t = self.recipe.train
            features = _photograph_features(self.training.device) if t.perceptual > 0 else None
            weights = Weights(t.regulariser, t.perceptual, t.adversarial, t.late)
            steps = descend(self.training, first_stage_objective(self.training, self.batch, weights, features))
        else:
            steps = descend(self.training, self._family if self.recipe.network.type in OTHERS else self._classify)
        begun = time.monotonic() - self.training.seconds
        for step in steps:
            self.training.seconds = time.monotonic() - begun
            yield step

    def _classify(self, rng: torch.Generator) -> Tensor:
        x, labels = (part.to(self.training.device) for part in self.batch(rng))
        return (map_loss if isinstance(self.training.model, SceneJudge) else F.cross_entropy)(self.training.working()(x), labels)

    def _family(self, rng: torch.Generator) -> Tensor:
        objective: Tensor = self.training.working().objective(self.batch(rng)[0], rng)
        return objective

    def resume(self, path: Path) -> bool:
        """Take up the training state at path, if there is one; FileError if it belongs to other settings."""
        if not path.exists():
            return False
        load_state(path, self.training, self.settings, _renewed)
        return True

    def save_state(self, path: Path) -> None:
        """Write the training state, whole or not at all."""
        save_state(path, self.training, self.settings)

    def publish(self, path: Path, **results: Any) -> None:
        """Write the averaged weights with all that says how they came about."""
        t = self.training
        done = {"steps": t.step, "images_seen": t.step * self.recipe.train.batch, "seconds": round(t.seconds, 3)}
        network = t.average
        if isinstance(network, FirstStage):  # its discriminator has done its work
            autoencoder = network.autoencoder
            network, results = autoencoder, {"latent_scale": self._latent_scale(autoencoder), **results}
        save(path, network, {**self.settings, **done, **made_with(t.device), **results})

    def _latent_scale(self, autoencoder: Autoencoder) -> float:
        """One over the standard deviation of latents of 64 training batches."""
        pictures = (self.batch(step_generator(self.training.seed, -k))[0].to(self.training.device) for k in range(1, 65))
        return LatentSpace.measure(copy.deepcopy(autoencoder), pictures, step_generator(self.training.seed, 0)).scale


def _renewed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as an earlier version wrote them, with what has been added since at its default."""
    return {**settings, "recipe": from_dict(settings["recipe"]).to_dict()}


def made_with(device: torch.device) -> dict[str, Any]:
    """Where and with what weights are made: versions, machine, device, and the commit if the package lies in a git checkout."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    threads = torch.get_num_threads()
    made = {"minidiff": __version__, "torch": torch.__version__, "machine": f"{platform.machine()}, {threads} thread(s), {name}"}
    commit = _commit()
    return {**made, "device": name, "threads": threads, "processes": distributed.size(), **({"commit": commit} if commit else {})}


def _commit() -> str:
    """The commit of the checkout that holds this very file, with "-dirty" if something in it was changed; "" if there is none."""
    here = Path(__file__).resolve()
    try:
        # an environment inside somebody's checkout holds us too, but not as one of its files
        for question in (["ls-files", "--error-unmatch", here.name], ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]):
            answer = subprocess.run(["git", *question], cwd=here.parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer


def prepare(recipe: Recipe, source: str = "auto", device: str = "cpu", first_stage: FirstStageFile | None = None) -> Job:
    """The job of a recipe, with fresh weights. source: which pictures, see `mnist` and `cifar10`. device: where torch computes.

    first_stage: the autoencoder in whose latent space the recipe works, if it names one.
    """
    t, kind = recipe.train, recipe.network.type
    checked("train.precision", t.precision, ("float32", "bfloat16"))
    if kind == "autoencoder" and (t.precision != "float32" or t.compile):
        raise ValueError("an autoencoder is trained in float32 and not compiled: leave out train.precision and train.compile")
    if kind in OTHERS and (device != "cpu" or t.precision != "float32" or t.compile):
        raise ValueError(f"{recipe.name} is small: it is trained on the CPU, in float32, not compiled; leave the settings of these out")
    batch, identity = batches(recipe, source, first_stage)
    model = build(recipe) if kind in ("unet", "mlp") else make_network(recipe)
    (model.network if isinstance(model, NetworkDenoiser) else model).to(device)
    times = TIMES[checked("train.times", t.times, tuple(TIMES))](recipe.noise.T)
    training = Training(
        model, t.steps, t.lr, t.warmup, t.ema, t.seed, times=times, accumulate=t.accumulate, precision=t.precision, compile=t.compile,
        weight_decay=t.weight_decay, betas=t.betas,
    )  # fmt: skip
    return Job(recipe, training, batch, {"recipe": recipe.to_dict(), **identity})


def run(job: Job, folder: Path) -> Iterator[TrainStep]:
    """Train a job with its state kept at folder/state.pt every train.save_every steps and, in any case, when it stops.

    Ctrl-C, an error or the caller's `break` all leave the last finished step on disk; so does a kill, up to save_every
    steps. Each step is a row of folder/log.csv (see `step_log`). At the end the weights are published as folder/NAME.safetensors.
    Under torchrun the first process writes. Checked by tests/test_training_cli.py and tests/test_distributed.py.
    """
    training, writes = job.training, distributed.rank() == 0
    identity = hashlib.sha256(json.dumps(job.settings, sort_keys=True).encode()).hexdigest()
    distributed.check_agreement("recipe and data", int(identity[:12], 16))
    distributed.check_agreement("the step to go on from", training.step)
    state, saved = folder / "state.pt", training.step
    steps = job.steps()
    try:
        with step_log(folder / "log.csv", training.step) if writes else nullcontext(lambda row: None) as log:
            while training.step < training.steps:
                with uninterrupted():  # a step, its row and its file belong together
                    step = next(steps)
                    seen = step.step * job.recipe.train.batch
                    log((step.step, step.loss, step.lr, step.grad_norm, round(training.seconds, 3), seen))
                    if writes and step.step % job.recipe.train.save_every == 0:
                        job.save_state(state)
                        saved = step.step
                yield step
    finally:
        if writes and training.step > saved:
            with uninterrupted():
                job.save_state(state)
    if writes:
        job.publish(folder / f"{job.recipe.name}.safetensors")


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


def load_classifier(name: str | Path = "mnist-classifier") -> DigitClassifier | PictureClassifier:
    """The shipped classifier of digits ("mnist-classifier") or of photographs ("cifar-classifier"), or the one in a .safetensors file."""
    network, path = _judge_in(name)
    if not isinstance(network, DigitClassifier | PictureClassifier):
        raise ValueError(f"{path} holds no classifier: use minidiff.learn.load, or load_latent_space for an autoencoder")
    return network


def load_scene_judge(name: str | Path = "scenes-judge") -> SceneJudge:
    """The shipped judge of digit scenes, or the one in a .safetensors file."""
    network, path = _judge_in(name)
    if not isinstance(network, SceneJudge):
        raise ValueError(f"{path} holds no judge of scenes; `minidiff train scenes-judge` makes one")
    return network


def _judge_in(name: str | Path) -> tuple[nn.Module, Path]:
    """The network of shipped weights, or of a file, ready to judge, if it is a judge; otherwise with fresh weights; and where it lies."""
    path = Path(name) if str(name).endswith(".safetensors") else weights_path(str(name))
    tensors, metadata = read(path)
    network = make_network(from_dict(metadata.get("recipe", {})))
    if isinstance(network, DigitClassifier | PictureClassifier | SceneJudge):
        fill(network, tensors, path)
    return network.eval().requires_grad_(False), path


def _photograph_features(device: torch.device) -> Features:
    """The feature maps of the shipped judge of photographs, for the perceptual loss."""
    judge = load_classifier("cifar-classifier")
    assert isinstance(judge, PictureClassifier)
    return judge.to(device).maps
