"""Measured numbers as plain values, ready for JSON and for the metadata of weights."""

from __future__ import annotations

from typing import Any

from minidiff.metrics import Measured


def plain(m: Measured) -> dict[str, Any]:
    """A Measured as plain values of five digits."""
    return {"value": sig(m.value), "n": m.n, "floor": sig(m.floor), "interval_95": [sig(m.low), sig(m.high)]}


def sig(value: float) -> float:
    """Five significant digits: more than any of these numbers has."""
    return float(f"{value:.5g}")
