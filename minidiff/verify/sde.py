"""The probability-flow ODE: continuity, exact likelihood, the stochastic divergence."""

from __future__ import annotations
