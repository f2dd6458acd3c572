"""DDIM: a family of processes with the same marginals, its samplers and its ODE."""

from __future__ import annotations
