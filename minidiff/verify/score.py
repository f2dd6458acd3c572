"""Scores and parameterisations: denoising score matching, v, and the weights that turn one loss into another."""

from __future__ import annotations
