"""Training losses, one number per example, in nats where the name says vlb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minidiff.arrays import sum_features
from minidiff.bound import decoder_term, step_term
from minidiff.prediction import Denoiser, Prediction
from minidiff.process import marginal
from minidiff.schedule import Schedule

Decoder = Callable[..., Tensor]


def simple_loss(denoiser: Denoiser, x_0: Tensor, t: Any, eps: Tensor, cond: Any = None) -> Tensor:
    """L_simple: ||eps - eps_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, t)||^2.

    Source: DDPM (Ho et al. 2020), Eq. 14. Shapes: x_0, eps (B, ...), t int or (B,) in 1..T -> (B,), summed over features
    (programs that print a mean over features print 1/dims of it). Includes t = 1, where it stands for the decoder.
    Its exact minimum on Gaussian data is dims * abar_t s^2 / (abar_t s^2 + 1 - abar_t): tests/test_learn.py.
    """
    x_t = marginal(denoiser.schedule, x_0, t).sample(eps)
    return sum_features((eps - denoiser(x_t, t, cond).eps) ** 2)


def vlb_loss(
    denoiser: Denoiser, x_0: Tensor, t: Any, eps: Tensor, cond: Any = None, variance: Any = "learned", decoder: Decoder = decoder_term
) -> Tensor:
    """T L_{t-1} at the given t (T L_0 at t = 1), nats, (B,): its mean over uniform t is the bound without the prior term.

    Source: Improved DDPM (Nichol & Dhariwal 2021), Eq. 4-7; DDPM Eq. 5. variance and decoder as in `variational_bound`; x_0 on the 256
    levels unless decoder is `density_term`. Checked by `minidiff verify` (improved_ddpm 4-7) against `variational_bound`.
    """
    x_t = marginal(denoiser.schedule, x_0, t).sample(eps)
    pred = denoiser(x_t, t, cond)
    return denoiser.schedule.T * _term(denoiser.schedule, pred, x_0, x_t, t, variance, decoder)


def hybrid_loss(
    denoiser: Denoiser, x_0: Tensor, t: Any, eps: Tensor, cond: Any = None, weight: float = 1e-3, decoder: Decoder = decoder_term
) -> Tensor:
    """L_simple + weight * L_vlb, the mean held fixed in the second: the bound teaches the variance and nothing else.

    Source: Improved DDPM, Eq. 16 (weight = 0.001). Needs a denoiser with var_mix. One call of the denoiser serves both parts. (B,).
    Checked by `minidiff verify` (improved_ddpm 16): eps gets the gradient of L_simple alone, var_mix that of the bound alone.
    """
    schedule = denoiser.schedule
    x_t = marginal(schedule, x_0, t).sample(eps)
    pred = denoiser(x_t, t, cond)
    held = Prediction(pred.x_0.detach(), pred.eps.detach(), pred.var_mix)
    vlb = schedule.T * _term(schedule, held, x_0, x_t, t, "learned", decoder)
    return sum_features((eps - pred.eps) ** 2) + weight * vlb


def _term(schedule: Schedule, pred: Prediction, x_0: Tensor, x_t: Tensor, t: Any, variance: Any, decoder: Decoder) -> Tensor:
    """L_{t-1} of each example at its own t: the decoder's term where t = 1, a KL elsewhere."""
    row = torch.as_tensor(schedule.check(t, low=1)).expand(len(x_0))
    out = x_0.new_zeros(len(x_0))
    for mine, first in ((row == 1, True), (row > 1, False)):
        if mine.any():
            part = Prediction(pred.x_0[mine], pred.eps[mine], None if pred.var_mix is None else pred.var_mix[mine])
            at = row[mine].numpy()
            if first:
                out[mine] = decoder(schedule, part, x_0[mine], x_t[mine], variance)
            else:
                out[mine] = step_term(schedule, part, x_0[mine], x_t[mine], at - 1, at, variance)
    return out
