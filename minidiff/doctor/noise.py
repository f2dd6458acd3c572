"""What a sampler's steps add: the law of the noise, whether it is fresh, and whether the state itself is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from minidiff.doctor.patient import Bench, Float
from minidiff.doctor.report import Finding
from minidiff.doctor.steps import Heard
from minidiff.process import posterior_variance, posterior_weights

FLOAT32 = 1e-4  # of the root mean square of x: what a step in float32, with a table in float32, may be off by
ALIKE = 0.999  # a correlation of the noise of two steps, or of two examples, beyond which it is one draw, up to float32


def _basis(bench: Bench, h: Heard) -> Float:
    x_0, _ = h.read(bench.patient.output, bench.schedule)
    before = [] if h.before is None else [h.before]  # solvers of second order look back
    return np.stack([v.ravel() for v in (np.ones_like(h.x), h.x, x_0, np.clip(x_0, *h.box), *before)], 1)


def rest(bench: Bench, h: Heard) -> Float:
    """What is left of x_s when all that x_t and the guess of x_0 explain is taken away: the noise, up to its scale."""
    basis = _basis(bench, h)
    weights, *_ = np.linalg.lstsq(basis, h.x_next.ravel(), rcond=None)
    return np.asarray(h.x_next.ravel() - basis @ weights)


def noisy(bench: Bench, h: Heard) -> bool:
    """Whether this step adds noise, beyond what rounding to float32 looks like."""
    return bool(rest(bench, h).std() > 10 * FLOAT32 * np.sqrt(np.mean(h.x**2)))


def noise_law(bench: Bench, chosen: list[Heard]) -> Finding | None:
    """Kurtosis of the noise: 3 if it is normal (standard error sqrt(24 / n)), 1.8 if uniform."""
    parts = [r / r.std() for h in chosen if noisy(bench, h) for r in [rest(bench, h)]]
    if not parts:
        return None
    z = np.concatenate(parts)
    kurtosis, error = float(np.mean(z**4)), float(np.sqrt(24 / len(z)))
    if kurtosis < 2.4 and kurtosis < 3 - 6 * error:  # 2.4: half-way to the uniform law's
        seen = f"{kurtosis:.3g}; 1.8 is that of a uniform law"
        return Finding("noise law", "the noise added is not normal", f"kurtosis 3 ({error:.2g})", seen)
    return None


def repeated(bench: Bench, chosen: list[Heard]) -> Finding | None:
    """Noise around the posterior mean, of a right variance, that is one draw for all steps, all examples or all features.

    A wrong mean, too, may move all examples alike, but then it does so step by step: such a drift is not taken for noise.
    """
    each = [_standard(bench, h, h.x.size) for h in chosen]
    pairs = [float(np.mean(a * b)) for a, b in pairwise(each) if a is not None and b is not None]
    one = [z.mean(0) for h in chosen if (z := _standard(bench, h, h.x[0].size)) is not None]
    shared = [float(np.mean(z**2)) for z in one]
    drift = float(np.mean([np.mean(a * b) for a, b in pairwise(one)])) if len(one) > 1 else 1.0
    expected = "independent draws, a correlation of 0"
    if len(pairs) >= len(chosen) // 2 >= 1 and np.median(pairs) > ALIKE:
        seen = f"a correlation of {np.median(pairs):.3g} from step to step"
        return Finding("noise law", "one draw of noise is added at every step: it is made before the loop", expected, seen)
    if len(shared) > len(chosen) // 2 and np.median(shared) > ALIKE and drift < 0.5:
        seen = f"a correlation of {np.median(shared):.3g} from example to example"
        return Finding("noise law", "one draw of noise is added to every example of the batch", expected, seen)
    flat = [z.reshape(len(z), -1) for h in chosen if (z := _standard(bench, h, len(h.x))) is not None]
    alike = [float(np.mean(z.mean(1) ** 2)) for z in flat if z.shape[1] > 1]
    if len(alike) > len(chosen) // 2 and np.median(alike) > ALIKE:
        seen = f"a correlation of {np.median(alike):.3g} from feature to feature"
        return Finding("noise law", "one draw of noise is added to every feature of an example", expected, seen)
    return None


def _standard(bench: Bench, h: Heard, n: int) -> Float | None:
    """The noise of a step around the posterior mean, to unit power; None where its power is not that of n draws of a right variance."""
    schedule = bench.schedule
    x_0, _ = h.read(bench.patient.output, schedule)
    c_0, c_t = posterior_weights(schedule, h.s, h.t)
    r = h.x_next - c_0 * x_0 - c_t * h.x
    power, slack = float(np.mean(r**2)), 1 + 6 * np.sqrt(2 / n)
    right = posterior_variance(schedule, h.s, h.t) / slack <= power <= schedule.beta_ts(h.s, h.t) * slack
    return r / np.sqrt(power) if right else None


def clipped_states(chosen: list[Heard]) -> Finding | None:
    """More than one in a hundred numbers of x_s share its greatest or its least value: the state is cut, not the guess of x_0."""
    shares = [float(np.mean((h.x_next == h.x_next.max()) | (h.x_next == h.x_next.min()))) for h in chosen]
    if np.median(shares) < 0.01 + 4 / chosen[0].x.size:
        return None
    h = chosen[len(chosen) // 2]
    seen = f"{np.median(shares):.1%} of its numbers at {h.x_next.min():.4g} or {h.x_next.max():.4g}"
    return Finding("clipping", "x_t itself is clipped; it is normal at much noise, and one in three lies beyond 1", "no ends", seen)
