"""Sliders over plain functions: `update(**values) -> Figure`."""
