"""Recipes: everything that makes a trained model, as frozen values; and `build`, where a network meets a denoiser.

A recipe is saved inside the weights it made. Nothing else is needed to rebuild the network, or to train it again.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.nn.classifier import DigitClassifier
from minidiff.nn.mlp import MLP
from minidiff.nn.unet import UNet
from minidiff.run.conditions import CONDITIONS
from minidiff.schedule import Schedule


@dataclass(frozen=True)
class Network:
    """type "unet" (pictures), "mlp" (points in the plane) or "classifier"; the other fields as their constructors name them."""

    type: str = "unet"
    channels: tuple[int, ...] = (48, 96)
    blocks: int = 2
    attention: tuple[bool, ...] = (False, True)
    patch: int = 2
    frequencies: tuple[int, ...] = ()
    width: int = 128
    depth: int = 3


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

    loss: "simple", or "hybrid" for a network that learns its variance too. times: "uniform", or "aware" (LossAwareTimes).
    drop: the share of training examples whose condition is emptied, for classifier-free guidance. accumulate: the batch in so many
    parts, one after the other. precision: "float32", or "bfloat16" (torch's autocast; for GPUs). compile: torch.compile the network.
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


@dataclass(frozen=True)
class Recipe:
    """One model: its name, data ("mnist", or a name of minidiff.toy.TOYS), what it predicts, network, noise and training.

    told: what the network is told of x_0, a name of minidiff.run.conditions.CONDITIONS; "" for nothing.
    """

    name: str
    data: str
    predicts: str = "eps"
    told: str = ""
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


RECIPES: dict[str, Recipe] = {
    r.name: r
    for r in [
        _toy("ring"),
        _toy("swirl"),
        _toy("moons"),
        _toy("checkerboard"),
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
    ]
}


def find(name: str) -> Recipe:
    """The recipe of this name; ValueError with the nearest names if there is none."""
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}{_nearest(name, RECIPES)}; there are {', '.join(RECIPES)}")
    return RECIPES[name]


def build(recipe: Recipe | str | dict[str, Any]) -> NetworkDenoiser:
    """The denoiser of a recipe, with fresh weights that are a function of its seed; a name or a saved dictionary will do.

    Raises ValueError for an unknown name, key or kind, and for a recipe that makes no denoiser (the classifier).
    """
    recipe = find(recipe) if isinstance(recipe, str) else from_dict(recipe) if isinstance(recipe, dict) else recipe
    if recipe.network.type == "classifier":
        raise ValueError(f"{recipe.name} is a classifier, not a denoiser: use minidiff.run.load_classifier")
    return NetworkDenoiser(make_network(recipe), make_schedule(recipe.noise), recipe.predicts)


def make_network(recipe: Recipe) -> nn.Module:
    """The network alone, initialised from the recipe's seed without touching the global random state."""
    n = recipe.network
    with torch.random.fork_rng():
        torch.manual_seed(recipe.train.seed)
        if n.type == "unet":
            # channels-last is how the CPU's convolutions like their pictures: about a quarter faster here
            out = {"simple": 1, "hybrid": 2}[checked("train.loss", recipe.train.loss, ("simple", "hybrid"))]
            told = CONDITIONS[checked("told", recipe.told, CONDITIONS)]
            unet = UNet(1, out, n.channels, n.blocks, n.attention, n.patch, told.vector_dim, told.image_channels, n.frequencies)
            return unet.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
        if n.type == "mlp":
            return MLP(2, 2, n.width, n.depth)
        if n.type == "classifier":
            return DigitClassifier(n.width)
    raise ValueError(f'network.type must be "unet", "mlp" or "classifier"; got {n.type!r}')


def make_schedule(noise: Noise) -> Schedule:
    """The schedule that a recipe names."""
    if noise.kind == "linear":
        return Schedule.linear(noise.T, noise.beta_1, noise.beta_T)
    if noise.kind == "cosine":
        return Schedule.cosine(noise.T)
    if noise.kind == "sigmoid":
        return Schedule.sigmoid(noise.T)
    raise ValueError(f'noise.kind must be "linear", "cosine" or "sigmoid"; got {noise.kind!r}')


def checked(key: str, value: str, allowed: typing.Iterable[str]) -> str:
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


def override(recipe: Recipe, settings: list[str]) -> Recipe:
    """The recipe with settings such as "train.steps=500" applied; typed, and an unknown key names the nearest ones."""
    for setting in settings:
        key, eq, text = setting.partition("=")
        if not eq:
            raise ValueError(f"a setting reads key=value, such as train.steps=500; got {setting!r}")
        recipe = _set(recipe, key.strip(), text.strip())
    return recipe


def _set(recipe: Recipe, key: str, text: str) -> Recipe:
    known = {f"{part}.{f.name}" for part in ("network", "noise", "train") for f in dataclasses.fields(getattr(recipe, part))}
    known |= {"predicts", "told"}
    if key not in known:
        raise ValueError(f"unknown setting {key!r}{_nearest(key, known)}; `minidiff train {recipe.name} --show` lists all")
    if "." not in key:
        return replace(recipe, predicts=text) if key == "predicts" else replace(recipe, told=text)
    part, name = key.split(".")
    old = getattr(recipe, part)
    kind = typing.get_type_hints(type(old))[name]
    return replace(recipe, **{part: replace(old, **{name: _parse(key, text, kind)})})


def _parse(key: str, text: str, kind: Any) -> Any:
    """text as a value of this type: int, float, bool, str, or a tuple of them ("32,64")."""
    if typing.get_origin(kind) is tuple:
        return tuple(_parse(key, item.strip(), typing.get_args(kind)[0]) for item in text.strip("()").split(",") if item.strip())
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        return kind(text)
    except (ValueError, KeyError):
        raise ValueError(f"{key} takes a {kind.__name__}; got {text!r}") from None


def _nearest(name: str, names: typing.Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.4)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
