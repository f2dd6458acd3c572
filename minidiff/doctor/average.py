"""Rung 13: averaged weights (EMA), from the weights alone: averaged = a raw + b start, by least squares over all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff.doctor.patient import Averaged, Bench, Float, ours
from minidiff.doctor.report import Finding

SHARE = 0.1  # of the start left in the average, or missing from its size: what counts


def average(bench: Bench) -> Iterator[Finding]:
    """Equal to raw; begun at zero and not divided by 1 - decay^steps; or still full of the start: decay^steps is far from 0."""
    claim = bench.patient.averaged
    assert isinstance(claim, Averaged)
    raw, averaged = _flat(claim.raw), _flat(claim.averaged)
    if np.array_equal(raw, averaged):
        if claim.decay > 0:
            what = "the average is the raw weights: they share memory, or it is never used"
            yield Finding("average is raw", what, "another set", "equal, bit for bit")
        return
    left = claim.decay**claim.steps
    size = float(raw @ averaged / (raw @ raw))
    if claim.start is not None:
        start = _flat(claim.start)
        (_, b), *_ = np.linalg.lstsq(np.stack([raw, start], 1), averaged, rcond=None)
        slow, straight = left > SHARE / 2, _straight(claim.decay, claim.steps)
        if b > SHARE + (0.0 if slow else straight):
            what = "the decay is too slow for so short a run" if slow else "the average was updated at fewer steps than it is said to be"
            seen = f"{b:.3g} (decay^steps = {left:.3g}; a run at constant speed would leave {straight:.3g})"
            yield Finding("average of the start", f"{what}: it is still the untrained network", f"a share of the start under {SHARE}", seen)
            return
    if left > SHARE and abs(size - (1 - left)) < abs(size - 1):
        what = "the average began at zero and is not divided by 1 - decay^steps"
        yield Finding("average from zero", what, "a size of 1, relative to raw", f"{size:.3g} (1 - decay^steps: {1 - left:.3g})")


def _straight(decay: float, steps: int) -> float:
    """The share of the start in the average of a run that goes to `raw` at constant speed: sum of decay^k / steps, k = 1..steps.

    A run that slows down, as training does, leaves less.
    """
    return float(np.sum(decay ** np.arange(1, steps + 1))) / steps


def _flat(weights: object) -> Float:
    assert hasattr(weights, "values")
    return np.concatenate([ours(w).ravel() for w in weights.values()])
