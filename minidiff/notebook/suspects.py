"""The suspects of notebook 03: two posteriors with one mistake each. Do not read on before you have named them."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidiff.gaussian import Gaussian
from minidiff.process import posterior, transition
from minidiff.schedule import Schedule


def suspect_a(schedule: Schedule, x_0: Any, x_t: Any, s: int, t: int) -> Gaussian:
    """Says it is q(x_s | x_t, x_0). Is it? Do not read on: ask for numbers (notebook 03)."""
    q = posterior(schedule, x_0, x_t, s, t)
    survived, left = np.sqrt(schedule.alpha_bar[t]), 1 - schedule.alpha_bar[s]
    wanted = np.sqrt(schedule.alpha_bar_ts(s, t))
    return Gaussian(q.mean + (survived - wanted) * left / (1 - schedule.alpha_bar[t]) * x_t, q.var)


def suspect_b(schedule: Schedule, x_0: Any, x_t: Any, s: int, t: int) -> Gaussian:
    """Says it is q(x_s | x_t, x_0). Is it? Do not read on: ask for numbers (notebook 03)."""
    return Gaussian(posterior(schedule, x_0, x_t, s, t).mean, transition(schedule, x_t, s, t).var)
