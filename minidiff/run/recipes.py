"""Recipes: everything that makes a trained model, as frozen values.

A recipe is saved inside the weights it made. Nothing else is needed to rebuild the network (networks.py), or to train it again.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Network:
    """type "unet" (pictures and latents), "mlp" (points in the plane), "classifier", "autoencoder" (vector-quantised if codes > 0), or
    the name of another family of points: a key of minidiff.run.family_networks.FAMILIES.

    The other fields are as the constructors of these name them.
    """

    type: str = "unet"
    in_channels: int = 1
    channels: tuple[int, ...] = (48, 96)
    blocks: int = 2
    attention: tuple[bool, ...] = (False, True)
    patch: int = 2
    frequencies: tuple[int, ...] = ()
    width: int = 128
    depth: int = 3
    factor: int = 4
    z_channels: int = 4
    codes: int = 0


@dataclass(frozen=True)
class Noise:
    """The schedule: kind "linear", "cosine" or "sigmoid", with T steps; beta_1 and beta_T belong to the linear one."""

    kind: str = "linear"
    T: int = 1000
    beta_1: float = 1e-4
    beta_T: float = 0.02


@dataclass(frozen=True)
class Train:
    """How long and how: see minidiff.learn.Training. save_every: steps between two training states on disk.

    loss: "simple", or "hybrid" for a network that learns its variance too. times: "uniform", "aware" (LossAwareTimes) or "logit-normal".
    drop: the share of training examples whose condition is emptied, for classifier-free guidance. accumulate: the batch in so many
    parts, one after the other. precision: "float32", or "bfloat16" (torch's autocast; for GPUs). compile: torch.compile the network.
    weight_decay: of AdamW, for classifiers; betas: of its averages. The last four are for autoencoders, see minidiff.learn.Weights.
    """

    steps: int = 16_000
    loss: str = "simple"
    times: str = "uniform"
    drop: float = 0.0
    batch: int = 64
    lr: float = 1e-3
    warmup: int = 200
    ema: float = 0.999
    seed: int = 0
    save_every: int = 250
    accumulate: int = 1
    precision: str = "float32"
    compile: bool = False
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    regulariser: float = 1e-6
    perceptual: float = 0.0
    adversarial: float = 0.0
    late: int = 0


@dataclass(frozen=True)
class Recipe:
    """One model: its name, data ("mnist", "cifar10", or a name of minidiff.toy.TOYS), what it predicts, network, noise and training.

    told: what the network is told of x_0, a name of minidiff.run.conditions.CONDITIONS; "" for nothing. latent: the recipe of the
    autoencoder in whose latent space this one works; "" for the pixels.
    """

    name: str
    data: str
    predicts: str = "eps"
    told: str = ""
    latent: str = ""
    network: Network = field(default_factory=Network)
    noise: Noise = field(default_factory=Noise)
    train: Train = field(default_factory=Train)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return dataclasses.asdict(self)


def _toy(name: str) -> Recipe:
    # T = 200 with betas five times Ho et al.'s: the same alpha_bar_T as T = 1000 with the usual ones (notebook 02).
    noise = Noise("linear", T=200, beta_1=5e-4, beta_T=0.1)
    return Recipe(f"toy-{name}", name, network=Network("mlp"), noise=noise, train=Train(steps=3000, batch=512, lr=1e-2, ema=0.995))


def _family(name: str, width: int, steps: int, lr: float, betas: tuple[float, float] = (0.9, 0.999)) -> Recipe:
    """30,000 weights on the ring, for about the steps of 12 seconds; the diffusion model beside them is `toy-ring`."""
    train = Train(steps=steps, batch=256, lr=lr, warmup=50, ema=0.995, betas=betas)
    return Recipe(f"family-{name}", "ring", network=Network(name, width=width), train=train)


def _scenes_autoencoder(z_channels: int, channels: tuple[int, ...], steps: int) -> Recipe:
    network = Network("autoencoder", 3, channels, blocks=1, factor=4, z_channels=z_channels)
    return Recipe("scenes-autoencoder", "scenes", network=network, train=Train(steps=steps, batch=32, lr=2e-3))


def _autoencoder(factor: int, z_channels: int, channels: tuple[int, ...], steps: int, codes: int = 0) -> Recipe:
    # perceptual: 0.03 costs two tenths of a decibel, and brings the distance of features down to a fifth (BENCHMARKS.md)
    network = Network("autoencoder", 3, channels, blocks=1, factor=factor, z_channels=z_channels, codes=codes)
    train = Train(steps=steps, batch=32, lr=2e-3, regulariser=1.0 if codes else 1e-6, perceptual=0.03)
    return Recipe(f"cifar-autoencoder{'-vq' if codes else ''}-f{factor}", "cifar10", network=network, train=train)


def _diffusion(name: str, in_channels: int, factor: int = 0) -> Recipe:
    """One U-Net for every space. A map of 32 x 32 is folded first, so that f = 2 costs what pixels cost, and each further f a quarter."""
    network = Network("unet", in_channels, (64, 128, 128), attention=(False, True, True), patch=2 if factor < 2 else 1)
    latent = f"cifar-autoencoder-f{factor}" if factor else ""
    return Recipe(name, "cifar10", "v", "label", latent, network, Noise("cosine"), Train(steps=8000, drop=0.1))


def _scenes(name: str, told: str, attend: bool, steps: int, **train: Any) -> Recipe:
    """Digit scenes of 32 x 32 in a latent space of f = 4."""
    network = Network("unet", 8, (64, 96), blocks=2, attention=(attend, attend), patch=1)
    small: dict[str, Any] = {"batch": 32, "lr": 2e-3, "drop": 0.1}  # in the first hour many steps are worth more than quiet ones
    return Recipe(name, "scenes", "v", told, "scenes-autoencoder", network, Noise("cosine"), Train(steps=steps, **(small | train)))


def _photographs(name: str, told: str, steps: int) -> Recipe:
    """Latents of f = 4, told more than a label; the network is narrower than that of `cifar-latent-f4`, which was trained for longer."""
    network = Network("unet", 4, (48, 96, 96), attention=(False, True, True), patch=1)
    return Recipe(name, "cifar10", "v", told, "cifar-autoencoder-f4", network, Noise("cosine"), Train(steps=steps, drop=0.1))


RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in [
        _toy("ring"),
        _toy("swirl"),
        _toy("moons"),
        _toy("checkerboard"),
        _family("gan", 59, 1500, 3e-3, (0.0, 0.99)),
        _family("gan-minimax", 59, 2500, 2e-3, (0.0, 0.99)),
        _family("vae", 60, 3500, 5e-3),
        _family("flow", 42, 1500, 5e-3),
        _family("autoregressive", 82, 4000, 5e-3),
        Recipe("mnist-ddpm", "mnist"),
        Recipe(
            "mnist-learned-variance", "mnist", network=Network(frequencies=(8, 32, 128)), noise=Noise("cosine"),
            train=Train(steps=12_000, loss="hybrid", times="aware"),
        ),
        Recipe("mnist-label", "mnist", told="label", noise=Noise("cosine"), train=Train(steps=7000, drop=0.1)),
        # smaller networks: a quarter of an hour is enough for superres, while a hole, which leaves more open, takes three times as long
        Recipe(
            "mnist-superres", "mnist", told="low-resolution", network=Network(channels=(32, 64)), noise=Noise("cosine"),
            train=Train(steps=4000),
        ),
        Recipe(
            "mnist-inpaint", "mnist", told="known-part", network=Network(channels=(32, 64)), noise=Noise("cosine"),
            train=Train(steps=12_000),
        ),
        # five minutes on one core: few channels, for many steps are worth more than a large network that makes few (BENCHMARKS.md)
        Recipe(
            "mnist-quick", "mnist", predicts="v", network=Network(channels=(24, 48), blocks=1), noise=Noise("cosine"),
            train=Train(steps=5000, batch=32, lr=2e-3, warmup=50, ema=0.995),
        ),
        Recipe("mnist-classifier", "mnist", "label", network=Network("classifier", width=24), train=Train(steps=4000, batch=64, lr=2e-3)),
        # the judge of photographs, and the feature space of distances: about nine epochs
        Recipe(
            "cifar-classifier", "cifar10", "label", network=Network("picture-classifier", width=24),
            train=Train(steps=14_000, batch=64, lr=2e-3, warmup=1000, weight_decay=0.05),
        ),
        _autoencoder(1, 3, (32,), 4000),
        _autoencoder(2, 4, (48,), 2000),
        _autoencoder(4, 4, (48, 96), 4000),
        _autoencoder(8, 4, (48, 96, 128), 3500),
        _autoencoder(4, 4, (48, 96), 2500, codes=512),
        Recipe(
            "scenes-judge", "scenes", network=Network("scene-judge", 3, width=24),
            train=Train(steps=4000, batch=64, lr=2e-3, warmup=300, weight_decay=0.01),
        ),
        _scenes_autoencoder(8, (48, 96), 4000),
        # an earlier run, at 2e-3, jumped once to half as much loss again, and drew digits as told only after some 5,000 steps
        _scenes("scenes-text", "caption", True, 20_000, lr=1.5e-3, warmup=500, times="logit-normal"),
        # meant as equal seconds, to be compared: the network with attention takes 1.8 times as long for a step, making a batch is the same
        _scenes("scenes-map", "map", False, 8000),
        _scenes("scenes-map-attention", "map tokens", True, 5000),
        _scenes("scenes-superres", "coarse scene", False, 4000),
        _diffusion("cifar-pixel", 3),
        _diffusion("cifar-latent-f1", 3, 1),
        _diffusion("cifar-latent-f2", 4, 2),
        _diffusion("cifar-latent-f4", 4, 4),
        _diffusion("cifar-latent-f8", 4, 8),
        _photographs("cifar-text", "class caption", 3000),
        _photographs("cifar-layout", "layout", 6000),
    ]
}


def find(name: str) -> Recipe:
    """The recipe of this name; ValueError with the nearest names if there is none."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}{nearest(name, RECIPES)}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def checked(key: str, value: str, allowed: Iterable[str]) -> str:
    """value, if it is allowed; ValueError with all that are."""
    if value not in allowed:
        raise ValueError(f"{key} must be one of {', '.join(repr(a) for a in allowed)}; got {value!r}")
    return value


def from_dict(values: dict[str, Any]) -> Recipe:
    """The inverse of Recipe.to_dict; ValueError names an unknown or missing key."""
    try:
        parts = {"network": Network, "noise": Noise, "train": Train}
        made = {k: parts[k](**_tuples(v)) if k in parts else v for k, v in values.items()}
        return Recipe(**made)
    except (TypeError, AttributeError) as e:
        raise ValueError(f"this is no recipe of this version of minidiff: {e}") from e


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only; in a recipe they are tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def nearest(name: str, names: Iterable[str]) -> str:
    """Which of the names may have been meant, for an error message."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.4)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
