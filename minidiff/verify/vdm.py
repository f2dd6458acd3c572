"""VDM: the bound as a function of the signal-to-noise ratio, its refinement and its continuous limit."""

from __future__ import annotations
