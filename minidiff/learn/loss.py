"""Training losses, one number per example."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from minidiff.arrays import sum_features
from minidiff.prediction import Denoiser
from minidiff.process import marginal


def simple_loss(denoiser: Denoiser, x_0: Tensor, t: Any, eps: Tensor, cond: Any = None) -> Tensor:
    """L_simple: ||eps - eps_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t)||^2.

    Source: DDPM (Ho et al. 2020), Eq. 14. Shapes: x_0, eps (B, ...), t int or (B,) in 1..T -> (B,), summed over features
    (programs that print a mean over features print 1/dims of it). Includes t = 1, where it stands for the decoder.
    Its exact minimum on Gaussian data is dims * abar_t s^2 / (abar_t s^2 + 1 - abar_t): tests/test_learn.py.
    """
    x_t = marginal(denoiser.schedule, x_0, t).sample(eps)
    return sum_features((eps - denoiser(x_t, t, cond).eps) ** 2)
