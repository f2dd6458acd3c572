"""Figures, widgets and exercise checks for the notebooks: a leaf. Nothing else in minidiff imports this package."""

from minidiff.notebook import exercises, plots, widgets
from minidiff.notebook.exercises import check
from minidiff.notebook.setup import budget, setup

__all__ = ["budget", "check", "exercises", "plots", "setup", "widgets"]
