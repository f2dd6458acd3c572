"""Torch: where networks meet the core."""

from minidiff.learn.checkpoint import FileError, load, load_state, read_metadata, save, save_state
from minidiff.learn.condition import Condition
from minidiff.learn.denoiser import NetworkDenoiser
from minidiff.learn.first_stage import FirstStage, Weights, first_stage_objective, first_stage_terms
from minidiff.learn.latent import LatentSpace
from minidiff.learn.loss import hybrid_loss, simple_loss, vlb_loss
from minidiff.learn.times import LogitNormalTimes, LossAwareTimes, UniformTimes
from minidiff.learn.train import Training, TrainStep, descend, fit

__all__ = [
    "Condition", "FileError", "FirstStage", "LatentSpace", "LogitNormalTimes", "LossAwareTimes", "NetworkDenoiser", "TrainStep", "Training",
    "UniformTimes", "Weights", "descend", "first_stage_objective", "first_stage_terms", "fit", "hybrid_loss", "load", "load_state",
    "read_metadata", "save", "save_state", "simple_loss", "vlb_loss",
]
