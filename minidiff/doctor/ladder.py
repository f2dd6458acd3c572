"""The ladder: rungs in an order in which what an earlier one finds explains what later ones would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minidiff.arrays import Array, namespace
from minidiff.doctor.average import average
from minidiff.doctor.data import data_scale
from minidiff.doctor.guidance import guidance
from minidiff.doctor.last_step import last_step
from minidiff.doctor.network import hearing, offset, reading, untrained
from minidiff.doctor.noising import noising
from minidiff.doctor.patient import Bench, Patient, ours
from minidiff.doctor.report import Finding, Report
from minidiff.doctor.sampler import order_of_calls, steps
from minidiff.doctor.steps import Refused, overhear
from minidiff.doctor.table import coverage, read_table, terminal

Rung = Callable[[Bench], Iterator[Finding]]
NETWORK: tuple[tuple[str, Rung], ...] = (
    ("hearing", hearing), ("kind of output", reading), ("index offset", offset), ("error against t", untrained),
)  # fmt: skip
NUMBERS = 4000  # numbers of a state that are enough: standard errors of a variance of 2 per cent, at each of up to 96 steps


def examine(patient: Patient, x_0: Array, seed: int = 0) -> Report:
    """Climb the ladder and report what is wrong, the most likely cause first.

    x_0: a sample of the data as the network is trained on them, (n, ...), n >= 16, NumPy or torch; by its library the patient is called.
    Rungs: table, end of the table, coverage, data, noising, hearing, kind of output, index offset, error against t, times, steps and last
    step of the sampler, guidance, average; those for which the patient brings nothing are skipped, and of the four that judge the network
    and the three that judge the sampler the first that finds something hides the others of its kind, which it would explain. Raises
    ValueError for data or outputs that are not finite or of wrong shapes. Takes seconds for points, and as long as the patient's sampler
    takes for one small batch. Checked by tests/test_doctor.py, and on 186 models, sick and healthy, by tests/test_doctor_corpus.py.
    """
    table, found = read_table(patient)
    bench = Bench(patient, x_0, _data(x_0), table, np.random.default_rng(seed))
    done: list[str] = ["table"]
    skipped: list[str] = []
    if table is None:
        return Report(tuple(found), tuple(done), (("all later rungs", "there is no table to judge them by"),))
    first: tuple[tuple[str, Rung, bool], ...] = (
        ("end of the table", terminal, not found), ("coverage", coverage, patient.trained is not None),
        ("data", data_scale, True), ("noising", noising, patient.noising is not None),
    )  # fmt: skip
    for name, rung, there in first:
        (done if there else skipped).append(name)
        if there:
            found += rung(bench)
    done += [name for name, _ in NETWORK]
    for _, rung in NETWORK:
        if new := list(rung(bench)):
            found += new
            break
    more: tuple[tuple[str, Any, Rung], ...] = (("guidance", patient.guidance, guidance), ("average", patient.averaged, average))
    for name, claim, rung in more:
        (skipped if claim is None else done).append(name)
        if claim is not None:
            found += rung(bench)
    reasons = [(name, "the table is wrong" if name == "end of the table" else "the patient brings none") for name in skipped]
    if patient.sampler is None:
        reasons.append(("sampler", "the patient brings none"))
    else:
        sampler_found, note = _sampler(bench)
        found += sampler_found
        done.append("sampler")
        reasons += note
    return Report(tuple(found), tuple(done), tuple(reasons))


def _sampler(bench: Bench) -> tuple[list[Finding], list[tuple[str, str]]]:
    try:
        heard = overhear(bench, int(np.clip(NUMBERS // bench.x_0[0].size, 16, NUMBERS)))
    except Refused as e:
        times = f"{bench.told(1)}..{bench.told(bench.schedule.T)}"
        return [Finding("sampler index", "the sampler tells the network times that the table has not", times, str(e))], []
    if found := list(order_of_calls(bench, heard)):
        return found, []
    again = sum(h.s == h.t for h in heard[:-1])
    if 3 * again > len(heard):
        return [], [("steps of the sampler", "it calls the network twice at a time, and only one-call steps are known here")]
    found = list(steps(bench, heard)) or list(last_step(bench, heard))
    if again and not found:
        seen = f"{again} of {len(heard)} calls repeat t"
        found = [Finding("sampler index", "the network is told the same time twice", "falling t", seen)]
    return found, []


def _data(x_0: Any) -> Any:
    namespace(x_0)
    x = ours(x_0)
    if x.ndim < 2 or len(x) < 16 or x[0].size == 0:
        raise ValueError(f"x_0 must hold 16 or more examples, (n, ...); points on a line are (n, 1); got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("x_0 must be finite; got NaN or infinity")
    if not (x != x[0]).any():
        raise ValueError("x_0 must hold different examples; all of them are equal")
    return x
