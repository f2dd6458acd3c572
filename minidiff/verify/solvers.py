"""Fast samplers: orders of convergence, DPM-Solver++(2M), Heun, and the exact recursions of every sampler on Gaussian data."""

from __future__ import annotations
