"""The samplers that the command line knows, by name and by the number of network calls."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from minidiff.arrays import normal
from minidiff.prediction import Denoiser
from minidiff.sample import Step, ddim, ddpm, dpm_solver, heun

SAMPLERS = ("ddim", "ddpm", "dpm_solver", "heun")


def path(denoiser: Denoiser, x: Tensor, sampler: str, calls: int, rng: torch.Generator, cond: Any = None) -> Iterator[Step]:
    """The named sampler from x_T on. Heun's method calls the network twice a step but for the last, so it takes half as many steps.

    Raises ValueError for a name that is none of SAMPLERS. Checked by tests/test_evaluate.py.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}; got {sampler!r}")
    times = denoiser.schedule.times((calls + 1) // 2 if sampler == "heun" else calls)
    if sampler == "ddpm":
        return ddpm(denoiser, x, times, normal(rng), cond)
    if sampler == "ddim":
        return ddim(denoiser, x, times, cond=cond)
    return heun(denoiser, x, times, cond) if sampler == "heun" else dpm_solver(denoiser, x, times, cond)
