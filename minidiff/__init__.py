"""Diffusion models: derived, checked and run. This module holds the mathematics, on NumPy arrays or torch tensors alike.

Reading order: gaussian, schedule, process, prediction, reverse, bound, toy (an exact denoiser), sample, wrappers.
Importing minidiff does not import torch; networks are in minidiff.nn, training in minidiff.learn, data and recipes in
minidiff.run, figures in minidiff.notebook.
"""

from minidiff.bound import Bound, bits_per_dim, decoder_term, density_term, prior_term, step_term, variational_bound
from minidiff.gaussian import Gaussian
from minidiff.prediction import Denoiser, Prediction, from_output, target
from minidiff.process import marginal, posterior, transition
from minidiff.reverse import reverse_transition
from minidiff.sample import Step, ddim, ddpm, last
from minidiff.schedule import Schedule
from minidiff.toy import ExactDenoiser, GaussianMixture
from minidiff.wrappers import Clipped, Guided

__version__ = "0.1.0"

__all__ = [
    "Bound", "Clipped", "Denoiser", "ExactDenoiser", "Gaussian", "GaussianMixture", "Guided", "Prediction", "Schedule", "Step",
    "bits_per_dim", "ddim", "ddpm", "decoder_term", "density_term", "from_output", "last", "marginal", "posterior", "prior_term",
    "reverse_transition", "step_term", "target", "transition", "variational_bound",
]
