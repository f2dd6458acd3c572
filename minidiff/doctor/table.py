"""Rungs 1 to 3: the table of alpha_bar, whether it ends in noise, and which times training drew."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from minidiff.bound import prior_term
from minidiff.doctor.patient import Bench, Float, Patient, ours
from minidiff.doctor.report import Finding
from minidiff.schedule import Schedule

MATERIAL_NATS = 0.01  # per dimension: what the end of the chain may cost before it counts; a healthy chain pays 1e-3 or less
CHANCE = 1e-6  # a gap in the drawn times counts when luck explains it less often than this


def read_table(patient: Patient) -> tuple[Schedule | None, list[Finding]]:
    """The paper's table made of the author's, and what is wrong with that; None where no table can be made of it."""
    if isinstance(patient.schedule, Schedule):
        return patient.schedule, _length(patient, patient.schedule.T)
    row = ours(patient.schedule)
    if row.ndim != 1 or len(row) < 2 or not np.isfinite(row).all():
        raise ValueError(f"schedule must be a Schedule or a row of two or more finite alpha_bar; got shape {row.shape}")
    if np.any(row <= 0) or np.any(row > 1) or np.any(np.diff(row) >= 0):
        return _repaired(row)
    begins = row[0] == 1
    found, noisy = [], row[1:] if begins else row
    if begins and patient.first == 0:
        what = "t = 0 of the code is data without noise, so one entry is too many"
        found.append(Finding("table", what, "alpha_bar[0] < 1", "alpha_bar[0] = 1"))
    if not begins and patient.first == 1:
        what = "the table has no entry for data, so alpha_bar[t] is that of t + 1"
        found.append(Finding("table", what, "alpha_bar[0] = 1", f"alpha_bar[0] = {row[0]:.6g}"))
    table = Schedule(np.concatenate([[1.0], noisy]))
    return table, found + _length(patient, table.T) + _alphas(row)


def _length(patient: Patient, T: int) -> list[Finding]:
    if patient.T is None or patient.T == T:
        return []
    return [Finding("table", "the table is longer or shorter than the chain", f"alpha_bar for t = 1..{patient.T}", f"t = 1..{T}")]


def _alphas(row: Float) -> list[Finding]:
    """Are these the alphas of single steps? Their product, unlike themselves, ends near 0, and they begin as 1 - beta_1 does."""
    inner = row[row < 1]
    if inner[-1] < 0.5 or np.prod(inner) > 0.5:
        return []
    seen = f"the last entry is {row[-1]:.4g}; the product of all is {np.prod(inner):.2g}"
    return [Finding("alpha for alpha_bar", "alpha_t = 1 - beta_t stands where its running product belongs", "the last entry near 0", seen)]


def _repaired(row: Float) -> tuple[Schedule | None, list[Finding]]:
    betas = row[row > 0]
    if np.all((row >= 0) & (row < 1)) and len(betas) >= len(row) - 1 and np.mean(np.diff(row) >= 0) > 0.9:
        what = "the table rises: these are betas; alpha_bar is the running product of 1 - beta"
        return Schedule.from_betas(betas), [Finding("table", what, "alpha_bar falls", f"{row[0]:.3g} to {row[-1]:.3g}")]
    bad = int(np.argmax((row <= 0) | (row > 1) | np.concatenate([[False], np.diff(row) >= 0])))
    before = f" after {row[bad - 1]:.6g}" if bad else ""
    return None, [Finding("table", "alpha_bar must fall strictly within (0, 1]", "a falling row", f"entry {bad} is {row[bad]:.6g}{before}")]


def terminal(bench: Bench) -> Iterator[Finding]:
    """L_T per dimension (DDPM Eq. 5): is x_T as good as noise? A sampler starts from N(0, I) whether it is or not."""
    x, schedule = bench.x_0, bench.schedule
    scale = np.sqrt(np.mean(x**2))  # the scale of the data has a rung of its own
    nats = float(np.mean(prior_term(schedule, x / scale))) / x[0].size
    if nats > MATERIAL_NATS:
        seen = f"alpha_bar_T = {schedule.alpha_bar[-1]:.3g}, so L_T = {nats:.3g} nats/dim for data of unit power"
        yield Finding("terminal SNR", "the schedule ends before the data are noise", f"L_T < {MATERIAL_NATS} nats/dim", seen)


def coverage(bench: Bench) -> Iterator[Finding]:
    """Times that training never drew. A run of g missing among T has probability at most T (1 - g/T)^N under uniform draws."""
    T, first = bench.schedule.T, bench.patient.first
    drawn = ours(bench.patient.trained).ravel()
    if drawn.size == 0 or not np.isfinite(drawn).all() or np.any(drawn != np.round(drawn)):
        raise ValueError("trained must be a row of ints, the times that training drew")
    expected = f"{first}..{T - 1 + first}"
    outside = drawn[(drawn < first) | (drawn > T - 1 + first)]
    if outside.size:
        yield Finding("coverage", "training draws times that are not in the table", expected, f"t = {int(outside[0])} among them")
        return
    seen = np.isin(np.arange(first, T + first), drawn)
    gaps = [(sum(1 for _ in run), there) for there, run in groupby(seen.tolist())]
    gap = max((n for n, there in gaps if not there), default=0)
    if gap and T * (1 - gap / T) ** len(drawn) < CHANCE:
        missing = np.flatnonzero(~seen) + first
        span = f"{gap} times in a row never drawn ({len(missing)} in all, from t = {missing[0]} to {missing[-1]}) in {len(drawn)} draws"
        yield Finding("coverage", "the sampler asks the network at times that it never saw", expected, span)
