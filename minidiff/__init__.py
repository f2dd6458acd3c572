"""Diffusion models: derived, checked and run. This module holds the mathematics, on NumPy arrays or torch tensors alike.

Reading order: gaussian, schedule, process, prediction, reverse, bound, estimate, mixture (an exact denoiser), sample, wrappers, likelihood,
edit. Importing minidiff does not import torch; networks are in minidiff.nn, training in minidiff.learn, data and recipes in
minidiff.run, figures in minidiff.notebook.
"""

from minidiff.bound import Bound, bits_per_dim, decoder_term, density_term, prior_term, step_term, variational_bound
from minidiff.edit import inpaint, start_from
from minidiff.estimate import BoundEstimate, stratified_bound
from minidiff.gaussian import Gaussian
from minidiff.likelihood import flow_log_prob, invert
from minidiff.mixture import ClassDenoiser, ExactDenoiser, GaussianMixture, Label
from minidiff.prediction import Denoiser, Prediction, from_output, target
from minidiff.process import marginal, posterior, transition
from minidiff.reverse import optimal_variance, reverse_transition
from minidiff.sample import Step, ddim, ddpm, dpm_solver, heun, last
from minidiff.schedule import Schedule
from minidiff.wrappers import Clipped, Guided, Windowed

__version__ = "0.1.0"

__all__ = [
    "Bound", "BoundEstimate", "ClassDenoiser", "Clipped", "Denoiser", "ExactDenoiser", "Gaussian", "GaussianMixture", "Guided",
    "Label", "Prediction", "Schedule", "Step", "Windowed", "bits_per_dim", "ddim", "ddpm", "decoder_term", "density_term", "dpm_solver",
    "flow_log_prob", "from_output", "heun", "inpaint", "invert", "last", "marginal", "optimal_variance", "posterior", "prior_term",
    "reverse_transition", "start_from", "step_term", "stratified_bound", "target", "transition", "variational_bound",
]
