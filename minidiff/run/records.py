"""Measured numbers as plain values, ready for JSON and for the metadata of weights."""

from __future__ import annotations

from collections.abc import Callable
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


def resampled(statistic: Callable[[Any], float], n: int, floor: float | None = None, times: int = 500) -> dict[str, Any]:
    """A statistic of n pictures, a function of their indices, with its 95% bootstrap interval, the same at every call."""
    rng = np.random.default_rng(0)
    spread = [statistic(rng.integers(0, n, n)) for _ in range(times)]
    low, high = np.quantile(spread, [0.025, 0.975])
    out = {"value": sig(statistic(np.arange(n))), "n": n, "interval_95": [sig(low), sig(high)]}
    return out if floor is None else out | {"floor": sig(floor)}


def mean_of(each: NDArray[np.float64]) -> dict[str, Any]:
    """The mean of numbers, one for each picture, as `resampled` gives it."""
    return resampled(lambda i: float(each[i].mean()), len(each))


NAMED = ("samples", "captions", "image-to-image", "inpainting", "maps", "superres", "layout")  # results kept by sampler, calls and scale


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Results kept in weights, with new ones put in: what was measured of other samplers, or not measured again, stays."""
    named = {what: {**old.get(what, {}), **new.get(what, {})} for what in NAMED}
    return {**old, **new, **{what: found for what, found in named.items() if found}}
