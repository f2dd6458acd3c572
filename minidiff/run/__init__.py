"""Data, recipes and the command line: where everything is put together."""

from minidiff.run.cifar import cifar10
from minidiff.run.digits import mnist
from minidiff.run.first_stages import load_latent_space
from minidiff.run.jobs import load_classifier, load_scene_judge, prepare, pretrained, weights_path
from minidiff.run.networks import build, load_family
from minidiff.run.recipes import RECIPES, Recipe
from minidiff.run.space import load_space
from minidiff.run.store import scale

__all__ = [
    "RECIPES", "Recipe", "build", "cifar10", "load_classifier", "load_family", "load_latent_space", "load_scene_judge", "load_space",
    "mnist", "prepare", "pretrained", "scale", "weights_path",
]
