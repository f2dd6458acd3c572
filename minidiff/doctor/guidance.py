"""Rung 12: guidance. The guided output is unconditional + k (conditional - unconditional), and k is read off by least squares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff.doctor.patient import Bench
from minidiff.doctor.report import Finding

SCALES = (0.0, 1.0, 2.5)
FORMS = {
    "scale": ("guidance convention", "scale s, 1 is plain conditional (k = s)", lambda s: s),
    "w": ("guidance convention", "weight w, 0 is plain conditional (k = 1 + w)", lambda s: 1 + s),
    "-w": ("guidance sign", "the wrong sign: conditional + w (unconditional - conditional) (k = 1 - w)", lambda s: 1 - s),
    "-scale": ("guidance sign", "the wrong sign: unconditional + s (unconditional - conditional) (k = -s)", lambda s: -s),
}


def guidance(bench: Bench) -> Iterator[Finding]:
    """k at three scales, against the convention that the author names and the ones that are mistaken for it (guidance Eq. 6)."""
    g = bench.patient.guidance
    assert g is not None
    t = max(1, bench.schedule.T // 2)
    _, _, x = bench.noisy(t, 1)
    with_it, without = bench.ask(x, t, g.conditional), bench.ask(x, t, g.unconditional)
    d = with_it - without
    if float(np.mean(d**2)) < 1e-8 * float(np.mean(with_it**2)):
        what = "the condition changes nothing: it never reaches the network"
        yield Finding("guidance sign", what, "two outputs that differ", "the same output with the condition and without")
        return
    k = [float(((bench.ask(x, t, g.guided, s) - without) * d).sum() / (d**2).sum()) for s in SCALES]
    misses = {name: max(abs(a - form(s)) for a, s in zip(k, SCALES, strict=True)) for name, (_, _, form) in FORMS.items()}
    if misses[g.convention] < 1e-3:
        return
    best = min(misses, key=lambda name: misses[name])
    numbers = ", ".join(f"{a:.3g}" for a in k)
    right = ", ".join(f"{FORMS[g.convention][2](s):g}" for s in SCALES)
    rises = np.polyfit(SCALES, k, 1)[0] > 0  # more scale, more of the condition: the sign at least is right
    other = "guidance convention" if rises else "guidance sign", "the two outputs are mixed by another rule"
    name, what = FORMS[best][:2] if misses[best] < 1e-2 else other
    yield Finding(name, what, f"k = {right} at {g.convention} = {', '.join(f'{s:g}' for s in SCALES)}", f"k = {numbers}")
