"""A sampler overheard: every call it makes of the network, and so every step, without knowing how it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minidiff.arrays import Array, no_grad
from minidiff.doctor.patient import Bench, Float, checked, ours
from minidiff.prediction import from_output
from minidiff.schedule import Schedule


class Refused(ValueError):
    """The network does not answer at a time outside the table that the sampler asks it for."""


@dataclass(frozen=True, eq=False)
class Heard:
    """One step: at x the network, told t (the paper's), said out; then came x_next, for which it will be told s (0: the end).

    before, earlier: the guess of x_0 one step earlier, which solvers of second order use, and the time that was told there. box: where
    guesses of x_0 are clipped, if they are.
    """

    x: Float
    out: Float
    x_next: Float
    t: int
    s: int
    before: Float | None = None
    earlier: int | None = None
    box: tuple[float, float] = (-1.0, 1.0)

    def read(self, kind: str, schedule: Schedule, t: int | None = None) -> tuple[Float, Float]:
        """(x_0, eps) as the sampler may have made them of the output, at its own time or another."""
        pred = from_output(kind, self.out, self.x, *schedule.scales(self.t if t is None else t))
        return pred.x_0, pred.eps


def overhear(bench: Bench, rows: int) -> list[Heard]:
    """Run the patient's sampler from `rows` draws of N(0, I), and write down its calls; ValueError if it makes none.

    Calls that are given t as a number or as a row alike are understood; a row must hold one time.
    """
    patient, sampler = bench.patient, bench.patient.sampler
    assert sampler is not None
    calls: list[tuple[Float, Float, int]] = []

    def call(x: Array, t: Any) -> Array:
        told = ours(t).ravel()
        if told.size == 0 or np.any(told != told[0]):
            raise ValueError("the sampler must tell one time to all of a batch; it told several")
        paper = int(told[0]) + 1 - patient.first
        try:
            out = patient.call(x, t)
        except (ValueError, IndexError, KeyError) as e:
            if 1 <= paper <= bench.schedule.T:
                raise
            raise Refused(f"t = {int(told[0])}, which it refuses") from e
        calls.append((ours(x), ours(out), paper))
        return out

    start = bench.rng.standard_normal((rows, *bench.x_0.shape[1:]))
    with no_grad(bench.sample):
        end = ours(sampler(call, bench.theirs(start)))
    if not calls:
        raise ValueError("the sampler never called the network: it must call what it is handed, sampler(call, x) -> samples")
    states = [x for x, _, _ in calls] + [checked("the sampler's result", end, start.shape)]
    times = [t for _, _, t in calls] + [0]
    heard: list[Heard] = []
    before, earlier, box = None, None, box_of(states[-1])
    for k, (x, out, t) in enumerate(calls):
        checked("x_t of a call", x, start.shape, f" at t = {t}")
        heard.append(Heard(x, checked("the output", out, x.shape, f" at t = {t}"), states[k + 1], t, times[k + 1], before, earlier, box))
        earlier = t
        inside = 1 <= t <= bench.schedule.T
        before = heard[-1].read(patient.output, bench.schedule)[0] if inside else None
    return heard


def box_of(result: Float) -> tuple[float, float]:
    """The ends at which a result was clipped: values that many of its numbers share exactly; otherwise the usual -1 and 1."""
    many = max(3, result.size // 1000)
    low, high = float(result.min()), float(result.max())
    near = 1e-6  # the same up to float32
    return low if (result <= low + near).sum() >= many else -1.0, high if (result >= high - near).sum() >= many else 1.0
