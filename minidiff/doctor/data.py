"""Rung 4: the range and the scale of the data. The forward process takes for granted that their power is about 1."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff.doctor.patient import Bench
from minidiff.doctor.report import Finding

LATENT = 1.25  # a std beyond this factor moves every log SNR by more than 2 log 1.25 = 0.45, a fifteenth of the linear schedule's
POWER = 10.0  # without any claim: data this many times too strong or too weak (mean square against 1) count


def data_scale(bench: Bench) -> Iterator[Finding]:
    """Against what the author claims: data_range, latent; without a claim, against a power of 1 within a factor of ten."""
    x, claim = bench.x_0, bench.patient.data_range
    low, high, std = float(x.min()), float(x.max()), float(x.std())
    if claim is not None:
        a, b = claim
        width = high - low
        wide = 0.02 * (b - a)  # rounding, interpolation: a fiftieth of the range
        if low < a - wide or high > b + wide or width < 0.6 * (b - a):
            what = "the data are not scaled as the model is told: pixels are k / 127.5 - 1"
            yield Finding("data range", what, f"{a:g} to {b:g}", f"{low:.4g} to {high:.4g}")
    elif bench.patient.latent:
        if not 1 / LATENT < std < LATENT:
            what = "latents must be divided by their measured standard deviation"
            yield Finding("latent scale", what, f"std within 1 / {LATENT} and {LATENT}", f"std {std:.3g}")
    elif not 1 / POWER < np.mean(x**2) < POWER:
        what = "the noise has power 1, so the table is a table of signal to noise only for data of like power"
        yield Finding("data scale", what, f"mean square within 1/{POWER:g} and {POWER:g}", f"{np.mean(x**2):.3g}")
