"""Figures and widgets for the notebooks: a leaf. Nothing else in minidiff imports this package."""

from minidiff.notebook import plots, suspects, widgets
from minidiff.notebook.setup import budget, setup

__all__ = ["budget", "plots", "setup", "suspects", "widgets"]
