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
        if b > SHARE and left > SHARE / 2:
            what = "the decay is too slow for so short a run: the average is still the untrained network"
            yield Finding("average of the start", what, f"a share of the start under {SHARE}", f"{b:.3g} (decay^steps = {left:.3g})")
            return
    if left > SHARE and abs(size - (1 - left)) < abs(size - 1):
        what = "the average began at zero and is not divided by 1 - decay^steps"
        yield Finding("average from zero", what, "a size of 1, relative to raw", f"{size:.3g} (1 - decay^steps: {1 - left:.3g})")


def _flat(weights: object) -> Float:
    assert hasattr(weights, "values")
    return np.concatenate([ours(w).ravel() for w in weights.values()])
