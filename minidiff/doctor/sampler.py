"""Rungs 9 and 10: the sampler's times, and its steps. Each known way to step, right or wrong, predicts x_s; the most likely one is named.

The likelihood is Gaussian, summed over steps and numbers. A defect is named only where the right steps are refuted by it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff.doctor.forms import ANCESTRAL, VARIANCES, Form, Pair, means
from minidiff.doctor.patient import Bench, Float
from minidiff.doctor.report import Finding
from minidiff.doctor.steps import Heard
from minidiff.doctor.table import MATERIAL_NATS
from minidiff.process import posterior_variance

FLOAT32 = 1e-4  # of the root mean square of x: what a step in float32, with a table in float32, may be off by
NATS = 20.0  # by which a wrong step must be likelier than every right one: odds of e^20, against some 60 forms looked at
MOST = 24  # steps looked at, over the whole way


def order_of_calls(bench: Bench, heard: list[Heard]) -> Iterator[Finding]:
    """Where the sampler starts, and that its times fall. Not from T but lower is right as long as x_t there is as good as noise."""
    schedule, told = bench.schedule, bench.told
    T, first = schedule.T, heard[0].t
    outside = [h.t for h in heard if not 1 <= h.t <= T]
    if outside:
        what = "the sampler tells the network times that the table has not"
        yield Finding("sampler index", what, f"{told(1)}..{told(T)}", f"t = {told(outside[0])} among its {len(heard)} calls")
        return
    rising = [h for h in heard[:-1] if h.s > h.t]
    if rising:
        yield Finding("stride", "the sampler walks towards the noise", "falling t", f"{told(rising[0].t)}, then {told(rising[0].s)}")
        return
    a = float(schedule.alpha_bar[first])
    nats = -(a + np.log1p(-a)) / 2 + a * float(np.mean(bench.x_0**2)) / 2
    if first < T and nats > max(MATERIAL_NATS, 2 * _end(bench)):
        seen = f"t = {told(first)} of {told(T)}, where alpha_bar = {a:.3g}: {nats:.2g} nats/dim from N(0, I)"
        counted = len(heard) > 1 and [h.t for h in heard] == list(range(len(heard), 0, -1)) and any(steps(bench, heard))
        what = "the network is told the number of the step, not its time" if counted else "the walk starts below the noise it starts from"
        yield Finding("stride" if counted else "sampler start", what, f"a start at t = {told(T)}", seen)


def _end(bench: Bench) -> float:
    a = float(bench.schedule.alpha_bar[-1])
    return float(-(a + np.log1p(-a)) / 2 + a * np.mean(bench.x_0**2) / 2)


def steps(bench: Bench, heard: list[Heard]) -> Iterator[Finding]:
    """All steps but the last: law of the noise, then the likeliest form of mean and variance."""
    chosen = [h for h in heard[:-1] if h.s < h.t]
    if len(chosen) > MOST:
        chosen = [chosen[i] for i in sorted({int(i) for i in np.linspace(0, len(chosen) - 1, MOST)})]
    if not chosen:
        return
    law = noise_law(bench, chosen)
    if law:
        yield law
        return
    scores, seen = likelihoods(bench, chosen)
    right = max((form for form in scores if not form.defect), key=lambda f: scores[f])
    best = max(scores, key=lambda f: scores[f])
    if best.defect == "clipping" and not _cuts(bench):
        return  # data inside the box: clipping the guess is allowed, and usual
    if best.defect and scores[best] - scores[right] > NATS:
        nats = f"likelier by {scores[best] - scores[right]:.3g} nats than {right.what} steps"
        yield Finding(best.defect, best.what, _expected(bench, chosen), f"{seen[best]}; {nats} (over {len(chosen)} steps)")
    elif not best.defect and (odd := _misfit(bench, chosen, best)):
        yield odd


def _cuts(bench: Bench) -> bool:
    low, high = box(bench)
    return bool(np.mean((bench.x_0 < low) | (bench.x_0 > high)) > 0.01)


def box(bench: Bench) -> tuple[float, float]:
    """Where a sampler would clip: the usual [-1, 1], if the author does not say otherwise."""
    return -1.0, 1.0


def likelihoods(bench: Bench, chosen: list[Heard]) -> tuple[dict[Form, float], dict[Form, str]]:
    """log p of all chosen steps under each form that applies to all of them, and what was seen at the middle one."""
    sums: dict[Form, float] = {}
    counts: dict[Form, int] = {}
    seen: dict[Form, str] = {}
    for k, h in enumerate(chosen):
        floor = (FLOAT32**2) * float(np.mean(h.x**2))
        at_this: dict[Form, float] = {}
        for form, mean, low, high in means(h, bench.patient.output, bench.schedule, box(bench)):
            msr = float(np.mean((h.x_next - mean) ** 2))
            ways = {form: float(np.clip(msr, low, high))}
            if form == ANCESTRAL:
                p = Pair(float(bench.schedule.alpha_bar[h.s]), float(bench.schedule.alpha_bar[h.t]))
                ways |= {Form(*name): var(p) for name, var in VARIANCES.items()} | _neighbours(bench, h)
            for way, var in ways.items():
                score = -h.x.size / 2 * (np.log(2 * np.pi * (var + floor)) + msr / (var + floor))
                if score > at_this.get(way, -np.inf):
                    at_this[way] = score
                    if k == len(chosen) // 2:
                        seen[way] = f"at t = {bench.told(h.t)} a variance of {msr:.3g} around this mean"
        for way, score in at_this.items():
            sums[way] = sums.get(way, 0.0) + score
            counts[way] = counts.get(way, 0) + 1
    full = {form: score for form, score in sums.items() if counts[form] == len(chosen)}
    partial = [f for f in sums if f not in full and counts[f] >= len(chosen) - 2]
    for form in partial:  # a form that the ends of the table exclude is compared where it applies, with the best form elsewhere
        full[form] = _filled(bench, chosen, form)
    return full, {form: seen.get(form, "") for form in full}


def _filled(bench: Bench, chosen: list[Heard], form: Form) -> float:
    total = 0.0
    for h in chosen:
        here, _ = _single(bench, h)
        total += here.get(form, max(score for f, score in here.items() if not f.defect))
    return total


def _single(bench: Bench, h: Heard) -> tuple[dict[Form, float], dict[Form, str]]:
    return likelihoods(bench, [h])


def _neighbours(bench: Bench, h: Heard) -> dict[Form, float]:
    """beta-tilde and beta of other entries of the table."""
    out = {}
    for d in (-1, 1):
        if 0 < h.s + d and h.t + d <= bench.schedule.T:
            out[Form("reverse variance", f"beta-tilde of t {d:+d}")] = float(posterior_variance(bench.schedule, h.s + d, h.t + d))
    if h.s < h.t - 1:
        form = Form("stride", "the variance of a step to t - 1 although times are skipped")
        out[form] = float(np.clip(0, posterior_variance(bench.schedule, h.t - 1, h.t), bench.schedule.beta[h.t]))
    return out


def _expected(bench: Bench, chosen: list[Heard]) -> str:
    h = chosen[len(chosen) // 2]
    low, high = float(posterior_variance(bench.schedule, h.s, h.t)), float(bench.schedule.beta_ts(h.s, h.t))
    return f"the posterior mean with a variance of {low:.3g} to {high:.3g} at t = {bench.told(h.t)}, or DDIM's step"


def rest(bench: Bench, h: Heard) -> Float:
    """What is left of x_s when all that x_t and the guess of x_0 explain is taken away: the noise, up to its scale."""
    x_0, _ = h.read(bench.patient.output, bench.schedule)
    basis = np.stack([v.ravel() for v in (np.ones_like(h.x), h.x, x_0, np.clip(x_0, *box(bench)))], 1)
    weights, *_ = np.linalg.lstsq(basis, h.x_next.ravel(), rcond=None)
    return np.asarray(h.x_next.ravel() - basis @ weights)


def noise_law(bench: Bench, chosen: list[Heard]) -> Finding | None:
    """Kurtosis of the noise: 3 if it is normal (standard error sqrt(24 / n)), 1.8 if uniform."""
    parts = []
    for h in chosen:
        r = rest(bench, h)
        if r.std() > 10 * FLOAT32 * np.sqrt(np.mean(h.x**2)):
            parts.append(r / r.std())
    if not parts:
        return None
    z = np.concatenate(parts)
    kurtosis, error = float(np.mean(z**4)), float(np.sqrt(24 / len(z)))
    if kurtosis < 2.4 and kurtosis < 3 - 6 * error:  # 2.4: half-way to the uniform law's
        return Finding("noise law", "the noise added is not normal", f"kurtosis 3 ({error:.2g})", f"{kurtosis:.3g}; 1.8 is that of a uniform law")
    return None


def _misfit(bench: Bench, chosen: list[Heard], form: Form) -> Finding | None:
    """No known form fits: is the likeliest right one off by more than float32, in the mean or in the variance?

    Any consistent solver maps a constant x_0 and eps to signal_s x_0 + noise_s eps: weights by least squares, at the worst step.
    """
    worst: tuple[float, str, str] | None = None
    for h in chosen:
        x_0, e = h.read(bench.patient.output, bench.schedule)
        low, high = float(posterior_variance(bench.schedule, h.s, h.t)), float(bench.schedule.beta_ts(h.s, h.t))
        fits = {f: (float(np.mean((h.x_next - m) ** 2)), a, b) for f, m, a, b in means(h, bench.patient.output, bench.schedule, box(bench))}
        msr, a, b = fits.get(form, (0.0, 0.0, 0.0))
        floor = (10 * FLOAT32) ** 2 * float(np.mean(h.x**2))
        over = max(msr / (b + floor), (a - floor) / (msr + floor))
        if over > 1 + 6 * np.sqrt(2 / h.x.size) + 0.05 and (worst is None or over > worst[0]):
            expected = f"a variance of {low:.3g} to {high:.3g}, or DDIM's step, at t = {bench.told(h.t)}"
            basis = np.stack([x_0.ravel(), e.ravel()], 1)
            (p, q), *_ = np.linalg.lstsq(basis, h.x_next.ravel(), rcond=None)
            left = float(np.var(rest(bench, h)))
            worst = over, expected, f"a variance of {left:.3g} around {p:.3g} x_0 + {q:.3g} eps"
    if worst is None or _consistent(bench, chosen):
        return None
    noisy = any(np.std(rest(bench, h)) > 10 * FLOAT32 * np.sqrt(np.mean(h.x**2)) for h in chosen)
    name = "reverse variance" if noisy and _mean_fits(bench, chosen) else "mean coefficients" if noisy else "DDIM direction"
    return Finding(name, "the step is none that the doctor knows, right or wrong", worst[1], worst[2])


def _mean_fits(bench: Bench, chosen: list[Heard]) -> bool:
    """Whether the posterior mean leaves no more than what x_t and x_0 cannot explain."""
    ratios = []
    for h in chosen:
        mean = next(m for f, m, _, _ in means(h, bench.patient.output, bench.schedule, box(bench)) if f == ANCESTRAL)
        ratios.append(float(np.mean((h.x_next - mean) ** 2) / max(np.var(rest(bench, h)), 1e-300)))
    return bool(np.median(ratios) < 1.05)


def _consistent(bench: Bench, chosen: list[Heard]) -> bool:
    """A deterministic step of a solver of higher order: exact in (x_0, eps, the turn of x_0), with DDIM's weights for the first two."""
    for h in chosen:
        x_0, e = h.read(bench.patient.output, bench.schedule)
        signal, noise = bench.schedule.scales(h.s)
        basis = np.stack([x_0.ravel(), e.ravel(), (x_0 - h.before if h.before is not None else np.zeros_like(x_0)).ravel()], 1)
        weights, *_ = np.linalg.lstsq(basis, h.x_next.ravel(), rcond=None)
        left = float(np.sqrt(np.mean((h.x_next.ravel() - basis @ weights) ** 2)))
        if abs(weights[0] - signal) + abs(weights[1] - noise) > 0.01 or left > 0.01:
            return False
    return True
