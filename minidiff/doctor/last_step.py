"""Rung 11: the step to t = 0, which must give the guess of x_0 itself: beta-tilde is 0 there, and alpha_bar_0 is 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from minidiff.doctor.forms import BETWEEN, DDIM, means
from minidiff.doctor.noise import FLOAT32, rest
from minidiff.doctor.patient import Bench, Float
from minidiff.doctor.report import Finding
from minidiff.doctor.steps import Heard

SEEN = 1e-2  # of the noise left at the last time: what may be wrong with the result before it counts


def last_step(bench: Bench, heard: list[Heard]) -> Iterator[Finding]:
    """Against x_0-hat, clipped or not; then against what the usual slips give instead."""
    h, schedule = heard[-1], bench.schedule
    x_0, e = h.read(bench.patient.output, schedule)
    noise = float(schedule.scales(h.t)[1])
    bound = max(SEEN * noise, 10 * FLOAT32 * float(np.sqrt(np.mean(x_0**2))))
    miss = min(rms(h.x_next - guess) for guess in (x_0, np.clip(x_0, *h.box), np.clip(x_0, *_range(bench))))
    if miss <= bound:
        return
    told = bench.told(h.t)
    expected, seen = f"x_0-hat, within {bound:.2g}", f"off by {miss:.3g} after the call at t = {told}"
    if h.t > 1 and (early := _earlier(bench, h, bound)):
        yield Finding("stops early", early, f"a last step to data: {expected}", seen)
        return
    left = float(np.std(rest(bench, h)))
    if left > bound / 2:
        yield Finding("last-step noise", "noise is added on the step to t = 0", f"{expected}", f"noise of std {left:.3g} on the result")
        return
    signal_1, noise_1 = schedule.scales(1)
    what = "the result is not the guess of x_0"
    if rms(h.x_next - signal_1 * x_0 - noise_1 * e) < bound:
        what = "alpha_bar_1 stands for alpha_bar_0 = 1, so noise is left in the result"
    elif rms(h.x_next - h.x) < bound:
        what = "the state before the last step is returned"
    yield Finding("last step", what, expected, seen)


def _earlier(bench: Bench, h: Heard, bound: float) -> str:
    """Is the result x_{t-1}, a state that still holds noise?"""
    there = replace(h, s=h.t - 1)
    for form, mean, low, high in means(there, bench.patient.output, bench.schedule):
        msr = float(np.mean((h.x_next - mean) ** 2))
        if form in (BETWEEN, DDIM) and low * 0.8 - bound**2 <= msr <= high * 1.2 + bound**2:
            return f"the loop ends with x_{bench.told(h.t - 1)}: the step to data is missing"
    return "the loop ends with the state it had" if rms(h.x_next - h.x) < bound else ""


def _range(bench: Bench) -> tuple[float, float]:
    return bench.patient.data_range or (-np.inf, np.inf)


def rms(x: Float) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(x**2)))
