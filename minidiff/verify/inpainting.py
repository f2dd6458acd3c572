"""Inpainting by replacement, its bias in closed form, resampling, and editing from a picture."""

from __future__ import annotations
