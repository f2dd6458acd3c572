"""Data, recipes and the command line: where everything is put together."""

from minidiff.run.data import mnist, scale
from minidiff.run.jobs import load_classifier, prepare, pretrained, weights_path
from minidiff.run.recipes import RECIPES, Recipe, build

__all__ = ["RECIPES", "Recipe", "build", "load_classifier", "mnist", "prepare", "pretrained", "scale", "weights_path"]
