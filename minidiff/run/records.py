"""Measured numbers as plain values, ready for JSON and for the metadata of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidiff.metrics import Measured


def plain(m: Measured) -> dict[str, Any]:
    """A Measured as plain values of five digits."""
    return {"value": sig(m.value), "n": m.n, "floor": sig(m.floor), "interval_95": [sig(m.low), sig(m.high)]}


def sig(value: float) -> float:
    """Five significant digits: more than any of these numbers has."""
    return float(f"{value:.5g}")


def resampled(each: NDArray[np.float64], times: int = 500) -> dict[str, Any]:
    """The mean of numbers, one for each picture, with its 95% bootstrap interval; by a fixed seed, so that it comes back the same."""
    rng = np.random.default_rng(0)
    spread = [each[rng.integers(0, len(each), len(each))].mean() for _ in range(times)]
    low, high = np.quantile(spread, [0.025, 0.975])
    return {"value": sig(float(each.mean())), "n": len(each), "interval_95": [sig(float(low)), sig(float(high))]}


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Results kept in weights, with new ones put in: what was measured of other samplers, or not measured again, stays."""
    samples = {**old.get("samples", {}), **new.get("samples", {})}
    return {**old, **new, **({"samples": samples} if samples else {})}
