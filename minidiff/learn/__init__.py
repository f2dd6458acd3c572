"""Torch: where networks meet the core."""

from minidiff.learn.checkpoint import FileError, load, load_state, read_metadata, save, save_state
from minidiff.learn.condition import Condition
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.loss import simple_loss
from minidiff.learn.train import Training, TrainStep, descend, fit

__all__ = [
    "Condition", "FileError", "NetworkDenoiser", "TrainStep", "Training",
    "descend", "fit", "load", "load_state", "read_metadata", "save", "save_state", "simple_loss",
]
