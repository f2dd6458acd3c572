"""Improved DDPM: the losses and the choice of t, with torch's gradients (so this file may import minidiff.learn)."""

from __future__ import annotations
