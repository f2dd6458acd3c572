"""Classifier-free guidance on Gaussian classes: what it does at one t, and what its samplers draw."""

from __future__ import annotations
