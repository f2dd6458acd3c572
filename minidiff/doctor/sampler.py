"""Rungs 9 and 10: the sampler's times, and its steps. Each known way to step, right or wrong, predicts x_s; the most likely one is named.

The likelihood is Gaussian, summed over steps and numbers. A defect is named only where the right steps are refuted by it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff.doctor.forms import BETWEEN, CLIPS, SMALL, VARIANCES, Form, means, pair
from minidiff.doctor.noise import FLOAT32, clipped_states, noise_law, noisy, repeated, rest
from minidiff.doctor.patient import Bench
from minidiff.doctor.report import Finding
from minidiff.doctor.steps import Heard
from minidiff.doctor.table import MATERIAL_NATS
from minidiff.process import posterior_variance

NATS = 20.0  # by which a wrong step must be likelier than every right one: odds of e^20, against some 60 forms looked at
MOST = 96  # steps looked at, over the whole way


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
    power, off = float(np.mean(heard[0].x ** 2)), float(6 * np.sqrt(2 / heard[0].x.size))
    if not 1 - off < power < 1 + off:
        what = "the walk does not start from a draw of N(0, I)"
        yield Finding("sampler start", what, f"a mean square of 1 ({off:.2g})", f"{power:.3g} at the first call, t = {told(first)}")
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
    """All steps but the last: law of the noise, then the likeliest form of mean and variance, and whether that fits at all."""
    chosen = [h for h in heard[:-1] if h.s < h.t]
    if len(chosen) > MOST:
        chosen = [chosen[i] for i in sorted({int(i) for i in np.linspace(0, len(chosen) - 1, MOST)})]
    if not chosen:
        return
    if law := noise_law(bench, chosen) or repeated(bench, chosen) or clipped_states(chosen) or _quiet(bench, chosen):
        yield law
        return
    scores, seen = likelihoods(bench, chosen)
    right = max((form for form in scores if not form.defect), key=lambda f: scores[f])
    best = max(scores, key=lambda f: scores[f])
    if scores[best] - scores[right] <= NATS or (best in CLIPS and not _cuts(bench, chosen[0])):
        best = Form("", best.what, best.still) if best in CLIPS else right
    if misfit := unexplained(bench, chosen, best):
        yield misfit
    elif best.defect:
        nats = f"likelier by {scores[best] - scores[right]:.3g} nats than {right.what} steps"
        yield Finding(best.defect, best.what, _expected(bench, chosen), f"{seen[best]}; {nats} (over {len(chosen)} steps)")


def _quiet(bench: Bench, chosen: list[Heard]) -> Finding | None:
    """Steps that go to the posterior mean without noise, among others that add it. (A walk that changes to DDIM is right.)"""
    quiet = [h for h in chosen if not noisy(bench, h)]
    if not 2 <= len(quiet) < len(chosen):
        return None
    scores, _ = likelihoods(bench, quiet)
    best, right = max(scores, key=lambda f: scores[f]), max(score for form, score in scores.items() if not form.defect)
    if best.defect != "missing noise" or scores[best] - right <= NATS:
        return None
    seen = f"{len(quiet)} of {len(chosen)} steps add none, t = {bench.told(quiet[-1].t)} to {bench.told(quiet[0].t)}"
    return Finding("missing noise", "some steps return the mean only", "noise at every step but the last", seen)


def _cuts(bench: Bench, h: Heard) -> bool:
    """Whether clipping there would cut real data off."""
    return bool(np.mean((bench.x_0 < h.box[0] - 1e-6) | (bench.x_0 > h.box[1] + 1e-6)) > 0.01)


def likelihoods(bench: Bench, chosen: list[Heard]) -> tuple[dict[Form, float], dict[Form, str]]:
    """log p of all chosen steps under each form, and what was seen at the middle one. A variance that is free within bounds pays
    log(n) / 2 a step for being chosen after the fact (BIC). Where the ends of the table exclude a form, the best right one stands in."""
    table = [_at(bench, h) for h in chosen]
    forms = {form for row in table for form in row if sum(form in other for other in table) >= len(table) - 2}
    instead = [max(score for form, (score, _) in row.items() if not form.defect) for row in table]
    sums = {form: sum(row[form][0] if form in row else other for row, other in zip(table, instead, strict=True)) for form in forms}
    k = len(chosen) // 2
    at = f"at t = {bench.told(chosen[k].t)} a variance of"
    return sums, {form: f"{at} {table[k][form][1]:.3g} around this mean" if form in table[k] else "" for form in forms}


def _at(bench: Bench, h: Heard) -> dict[Form, tuple[float, float]]:
    """(log p, mean square around the mean) of one step under each form; of a form that comes twice, the better."""
    found: dict[Form, tuple[float, float]] = {}
    floor, p = FLOAT32**2 * float(np.mean(h.x**2)), pair(h, bench.schedule)
    for form, mean, low, high in means(h, bench.patient.output, bench.schedule):
        msr = float(np.mean((h.x_next - mean) ** 2))
        ways = [(form, float(np.clip(msr, low, high)), np.log(h.x.size) / 2 if low < high else 0.0)]
        if form == SMALL:
            ways += [(Form(*name), var(p), 0.0) for name, var in VARIANCES.items()]
            if h.s < h.t - 1:
                stride = Form("stride", "the variance of a step to t - 1 although times are skipped")
                variances = posterior_variance(bench.schedule, h.t - 1, h.t), bench.schedule.beta[h.t]
                ways += [(stride, float(v), 0.0) for v in variances]
        for way, var, price in ways:
            score = -h.x.size / 2 * (np.log(2 * np.pi * (var + floor)) + msr / (var + floor)) - price
            if way not in found or score > found[way][0]:
                found[way] = score, msr
    return found


def _expected(bench: Bench, chosen: list[Heard]) -> str:
    h = chosen[len(chosen) // 2]
    low, high = float(posterior_variance(bench.schedule, h.s, h.t)), float(bench.schedule.beta_ts(h.s, h.t))
    return f"the posterior mean with a variance of {low:.3g} to {high:.3g} at t = {bench.told(h.t)}, or DDIM's step"


def unexplained(bench: Bench, chosen: list[Heard], best: Form) -> Finding | None:
    """Does even the likeliest form fit? Noise around its mean must not depend on x_t or x_0 (chi^2), and have its variance.

    Steps without noise must at least be consistent: a constant x_0 and eps go to signal_s x_0 + noise_s eps, as in every solver.
    """
    chi2, variances, misses = [], [], []
    for h in chosen:
        fits = [(m, a, b) for f, m, a, b in means(h, bench.patient.output, bench.schedule) if f.what == best.what or _around(f, best)]
        if not fits:
            continue
        mean, low, high = min(fits, key=lambda fit: float(np.mean((h.x_next - fit[0]) ** 2)))
        r, left = (h.x_next - mean).ravel(), rest(bench, h)
        if noisy(bench, h):
            chi2.append(max(0.0, float((r**2).sum() - (left**2).sum())) / float(left.var()))
            slack = 1 + 6 * np.sqrt(2 / r.size)
            variances.append(max(left.var() / max(high * slack, 1e-300), low / (left.var() * slack)))
        else:
            misses.append(_inconsistent(bench, h) if np.sqrt(np.mean(r**2)) > 10 * FLOAT32 * np.sqrt(np.mean(h.x**2)) else 0.0)
    freedom = 5 * len(chi2)  # the columns of the basis
    excess = (sum(chi2) - freedom) / np.sqrt(2 * max(1, freedom))
    if chi2 and excess > 6:
        seen = f"the rest depends on them: chi^2 of {sum(chi2):.3g} with {freedom} degrees of freedom, {_weights(bench, chosen)}"
        return Finding("mean coefficients", "the mean is none that the doctor knows", "noise that is independent of x_t and x_0", seen)
    if variances and max(variances) > 1 and not best.defect:
        name = "mean coefficients" if all(_usual(bench, h) for h in chosen) else "reverse variance"
        what = f"the {name.split()[-1 if name[0] == 'r' else 0]} is none that the doctor knows, right or wrong"
        return Finding(name, what, _expected(bench, chosen), _weights(bench, chosen))
    if misses and max(misses) > 0.01:
        return Finding("DDIM direction", "the step is none that the doctor knows", _expected(bench, chosen), _weights(bench, chosen))
    return None


def _usual(bench: Bench, h: Heard) -> bool:
    """Whether the noise of this step has a variance within beta-tilde and beta (six standard errors): then it is not to blame."""
    var, slack = float(rest(bench, h).var()), 1 + 6 * np.sqrt(2 / h.x.size)
    return bool(posterior_variance(bench.schedule, h.s, h.t) / slack <= var <= bench.schedule.beta_ts(h.s, h.t) * slack)


def _around(form: Form, best: Form) -> bool:
    """Whether best is a wrong variance around the right mean, which is form's."""
    return form == BETWEEN and (best.defect, best.what) in VARIANCES


def _weights(bench: Bench, chosen: list[Heard]) -> str:
    h = chosen[len(chosen) // 2]
    x_0, e = h.read(bench.patient.output, bench.schedule)
    (p, q), *_ = np.linalg.lstsq(np.stack([x_0.ravel(), e.ravel()], 1), h.x_next.ravel(), rcond=None)
    signal, noise = bench.schedule.scales(h.s)
    left = float(rest(bench, h).var())
    return f"{p:.3g} x_0 + {q:.3g} eps at t = {bench.told(h.t)}, rest {left:.3g} (DDIM: {signal:.3g} and {noise:.3g})"


def _inconsistent(bench: Bench, h: Heard) -> float:
    """How far a step without noise is from DDIM's weights and a share of the last turn of x_0: 0 for every right solver."""
    x_0, e = h.read(bench.patient.output, bench.schedule)
    basis = np.stack([x_0.ravel(), e.ravel(), (x_0 - h.before if h.before is not None else np.zeros_like(x_0)).ravel()], 1)
    weights, *_ = np.linalg.lstsq(basis, h.x_next.ravel(), rcond=None)
    left = float(np.sqrt(np.mean((h.x_next.ravel() - basis @ weights) ** 2)))
    signal, noise = bench.schedule.scales(h.s)
    return float(abs(weights[0] - signal) + abs(weights[1] - noise) + left)
