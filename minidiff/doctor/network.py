"""Rungs 6 to 8: what the network hears and what it says. It is judged by data noised here, where x_0 and eps are known.

The exact answer E[x_0 | x_t] has the least mean square error of all functions of x_t. So of several readings of the same output (as
eps, as v, with the other sign, told another time) the right one has the least error in x_0, and that needs no exact answer at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from minidiff.doctor.patient import Bench, Float
from minidiff.doctor.report import Finding
from minidiff.prediction import KINDS, from_output
from minidiff.process import posterior_weights

Told = dict[str, Callable[[int], int]]  # other times that a network might answer for, by name
SIGMAS = 5.0  # standard errors before a difference of errors counts
BETTER = 1.1  # another reading must lower the error by a tenth on average, or the author's stands
OWN = 0.1  # of the power of what it should say: the error that a network may have beyond a straight line's (a third in amplitude)
EVEN = 1.1  # slopes at all noise levels within a tenth of each other: one factor
SLOPE = 1.2  # a constant factor on the output counts from here
FEELS = 1.1  # a step of one in t is felt where it changes the noise by a tenth: only there is a shift by one looked for
ROWS = 10_000
ROOT = "the time whose alpha_bar is the root of this one's"


def levels(bench: Bench) -> list[int]:
    """Times spread over the noise levels, 2 to 98 per cent noise power: beyond, one of x_0 and eps can hardly be had from the other."""
    noise_power = 1 - bench.schedule.alpha_bar[1:]
    return sorted({1 + int(np.argmin(np.abs(noise_power - p))) for p in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)})


def repeats(bench: Bench, rows: int = ROWS) -> int:
    """How often each point is noised: once for pictures, often for points in the plane."""
    return max(1, rows // bench.x_0.size)


def hearing(bench: Bench) -> Iterator[Finding]:
    """Is the network told the time, and does it heed it? The same x_t is shown at nine told times."""
    T = bench.schedule.T
    probes = sorted({int(t) for t in np.linspace(1, T, 9)})
    x = bench.rng.standard_normal((min(64, len(bench.x_0)), *bench.x_0.shape[1:]))
    try:
        said = [bench.ask(x, t) for t in probes]
    except (IndexError, KeyError) as e:
        which = f"t = {bench.told(1)}..{bench.told(T)}"
        what = "the network refuses a time of the table: its own numbering is another"
        yield Finding("index offset", what, f"an answer at {which}", f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}")
        return
    # an output that is one for all x says nothing of t: such a network is dead there, which the error against t shows
    same = [bool(np.array_equal(a, b) and (a != a[0]).any()) for a, b in pairwise(said)]
    if len(probes) > 1 and sum(same) >= max(1, len(same) // 4):
        what = "the network is not told t, or ignores it" if all(same) else "the network gives one answer for many times"
        spans = ", ".join(f"{bench.told(a)} and {bench.told(b)}" for (a, b), s in zip(pairwise(probes), same, strict=True) if s)
        yield Finding("blind to t", what, "another output at another t", f"for one x_t, the same output, bit for bit, at t = {spans}")


def reading(bench: Bench) -> Iterator[Finding]:
    """The kind of output, its sign and its scale: which reading of what the network says has the least error in x_0."""
    claim, heard, slopes = bench.patient.output, [], []
    for t in levels(bench):
        x_0, eps, x_t = bench.noisy(t, repeats(bench))
        out = bench.ask(x_t, t)
        slopes.append(float((bench.goal(claim, x_0, eps, t) * out).sum() / max(float((out**2).sum()), 1e-300)))
        heard.append((t, x_0, x_t, out))
    factor = float(np.median(slopes))  # least squares of the goal on the output: 1, were it exact
    errors: dict[tuple[str, str], list[Float]] = {}
    for t, x_0, x_t, out in heard:
        scaled = {(claim, "scaled"): from_output(claim, factor * out, x_t, *bench.schedule.scales(t)).x_0}
        for key, x in (readings(bench, out, x_t, t) | scaled).items():
            errors.setdefault(key, []).append(by_point(bench, (x - x_0) ** 2))
    own = errors[claim, ""]
    score = {key: float(np.mean([np.log(e.mean() / c.mean()) for e, c in zip(rows, own, strict=True)])) for key, rows in errors.items()}
    score[claim, "scaled"] += float(np.log(BETTER))  # it has a number more to choose than the others
    best = min(score, key=lambda key: (round(score[key], 9), key[0] != claim))  # minus a score over noise is an eps: the claim's kind first
    if score[best] > -np.log(BETTER) or not surely_less(errors[best], own):
        best = claim, "scaled"  # where the error is hardly the output's, at much noise, a factor shows in the slopes alone
        if max(slopes) > EVEN * min(slopes) or min(abs(np.log(np.maximum(slopes, 1e-9)))) < np.log(SLOPE):
            return
    if best[1] != "scaled":
        yield _read_as(bench, best, score[best])
    elif abs(np.log(abs(factor))) > np.log(SLOPE):
        seen = f"the goal is {factor:.3g} times the output (median over t; {min(slopes):.3g} to {max(slopes):.3g})"
        yield Finding("output scale", "the output is off by a factor", "a factor of 1, by least squares", seen)


def readings(bench: Bench, out: Float, x_t: Float, t: int) -> dict[tuple[str, str], Float]:
    """The guess of x_0 by each reading (kind, what was done to it)."""
    signal, noise = bench.schedule.scales(t)
    read = {}
    for kind in KINDS:
        for change, factor in (("", 1.0), ("-", -1.0), ("times noise", 1 / noise), ("over noise", noise)):
            if change in ("", "-") or kind in ("eps", "x_0"):
                read[kind, change] = from_output(kind, factor * out, x_t, signal, noise).x_0
    c_0, c_t = posterior_weights(bench.schedule, t - 1, t)
    return read | {("the mean of x_{t-1}", ""): (out - c_t * x_t) / c_0}


def _read_as(bench: Bench, best: tuple[str, str], score: float) -> Finding:
    kind, change = best
    claimed = bench.patient.output
    seen = f"read as {change + ' ' if change else ''}{kind} its error in x_0 is {np.exp(-score):.3g} times smaller (mean over t)"
    name = "output kind"
    if kind == claimed:
        name = "output sign" if change == "-" else "output scale"
    elif {kind, claimed} == {"eps", "score"} and change == "-":  # a score is -eps / noise: so the sign is right, and the noise is missing
        name = "output scale"
    if name != "output kind":
        return Finding(name, f"the output is {change} {kind}", f"{claimed} reads best", seen)
    return Finding("output kind", f"the network was trained to say {change}{kind}, not {claimed}", f"{claimed} reads best", seen)


def offset(bench: Bench) -> Iterator[Finding]:
    """Is the network told the time of its input? Its error must be least there, not when it is told t - 1, t + 1, T + 1 - t or the like.

    A shift by one is sought only at the small t where it changes the noise by a tenth or more, so that a network that is a few per cent
    off, as every trained one is, is not taken for a shifted one. If over all levels of noise it answers best when told the time whose
    alpha_bar is the root of this one's, better than by any shift, it is not the time that is wrong but the table, which holds roots.
    """
    abar, T = bench.schedule.alpha_bar, bench.schedule.T
    noise = bench.schedule.scales(np.arange(T + 1))[1]
    early = [t for t in range(2, T - 1) if noise[t + 1] / noise[t] > FEELS][:8]
    shifts: Told = {f"t {d:+d}": partial(int.__add__, d) for d in (-2, -1, 1, 2)}
    others: Told = {
        "T + 1 - t": lambda t: T + 1 - t, "t / 2": lambda t: t // 2, "2 t": lambda t: 2 * t,
        ROOT: lambda t: int(np.argmin(np.abs(abar**2 - abar[t]))),
    }  # fmt: skip
    near = _best_other(_losses(bench, shifts, early, 3 * ROWS), early=True)
    losses = _losses(bench, others, levels(bench)[1:-1], ROWS)
    root, own = losses.pop(ROOT, []), losses.get("", [])
    if near and surely_less(root, own) and _best_of_all(bench, ROOT, others):
        what = "the table holds sqrt(alpha_bar), not alpha_bar: the network answers for its square"
        seen = f"told {ROOT} its error is less by {-surely(root, own):.1f} standard errors, and less than by any shift of t"
        yield Finding("table", what, "the least error when told t itself", seen)
    elif found := near or _best_other(losses, early=False):
        what = f"the network answers for another time than the one it is told: told {found[0]}, it answers better"
        yield Finding("index offset", what, "the least error when told t itself", f"told {found[0]} {found[1]}")


def _best_of_all(bench: Bench, name: str, others: Told) -> bool:
    """Whether this one of the other times beats the rest, and every constant shift of up to ten, over all levels of noise."""
    shifts = {f"t {d:+d}": partial(int.__add__, d) for d in range(-10, 11)}
    losses = _losses(bench, others | shifts, levels(bench)[1:-1], ROWS)
    return min(losses, key=lambda n: float(np.mean([np.log(e.mean()) for e in losses[n]]))) == name


def _losses(bench: Bench, others: Told, times: list[int], rows: int) -> dict[str, list[Float]]:
    """Errors of the output by point, at each of these times, told the time itself ("") and told the others."""
    losses: dict[str, list[Float]] = {}
    for t in times:
        x_0, eps, x_t = bench.noisy(t, repeats(bench, rows))
        goal = bench.goal(bench.patient.output, x_0, eps, t)
        for name, other in {"": lambda t: t, **others}.items():
            told = min(max(other(t), 1), bench.schedule.T)
            losses.setdefault(name, []).append(by_point(bench, (bench.ask(x_t, told) - goal) ** 2))
    return losses


def _best_other(losses: dict[str, list[Float]], early: bool) -> tuple[str, str] | None:
    """The told time with the least error, and by how much it is less, where that is beyond doubt."""
    if not losses:
        return None
    own = losses.pop("")
    score = {name: surely(rows, own) for name, rows in losses.items()}
    best = min(score, key=lambda name: score[name])
    gain = float(np.mean([np.log(c.mean() / e.mean()) for e, c in zip(losses[best], own, strict=True)]))
    if score[best] > -SIGMAS or (not early and gain < np.log(BETTER)):
        return None
    return best, f"its error is less by {-score[best]:.1f} standard errors"


def untrained(bench: Bench) -> Iterator[Finding]:
    """Times at which the network is worse than the best straight line through x_t, whose error is known: it depends on the variance only.

    E|x_0 - line|^2 = s^2 noise^2 / (signal^2 s^2 + noise^2) per dimension (equations B1); no exact denoiser is worse than that. Below 2 per
    cent of noise nobody is judged: there eps is guessed by nobody, and what it is guessed as hardly moves x_0.
    """
    s2 = float(bench.x_0.var(0).mean())
    worst, at = 0.0, 0
    seen = ""
    for t in sorted({*levels(bench), bench.schedule.T}):
        x_0, eps, x_t = bench.noisy(t, repeats(bench))
        signal, noise = (float(c) for c in bench.schedule.scales(t))
        goal = bench.goal(bench.patient.output, x_0, eps, t)
        error = by_point(bench, (bench.ask(x_t, t) - goal) ** 2)
        unit = {"eps": (signal / noise) ** 2, "x_0": 1.0, "v": 1 / noise**2, "score": (signal / noise**2) ** 2}[bench.patient.output]
        line, power = unit * s2 * noise**2 / (signal**2 * s2 + noise**2), float(np.mean(goal**2))
        over = (error.mean() - line) / power
        if over > max(OWN, worst) and error.mean() - line > SIGMAS * error.std() / np.sqrt(len(error)):
            worst, at = over, t
            seen = f"at t = {at} an error of {error.mean():.3g}; the line's is {line:.3g}, that of saying nothing {power:.3g}"
    if at:
        yield Finding("untrained times", "the network is worse than a straight line through x_t", "at most the line's error", seen)


def by_point(bench: Bench, squares: Float) -> Float:
    """Mean over features and repeats: one number for each point of the data, which are independent of each other."""
    return np.asarray(squares.reshape(len(bench.x_0), -1).mean(1))


def surely(rows: list[Float], others: list[Float]) -> float:
    """Standard errors by which the first errors exceed the others, pooled over t with weights 1 / SE^2."""
    means, weights = [], []
    for a, b in zip(rows, others, strict=True):
        d = a - b
        var = float(d.var(ddof=1)) / len(d)
        if var > 0:
            means.append(float(d.mean()))
            weights.append(1 / var)
    return float(np.dot(means, weights) / np.sqrt(np.sum(weights))) if weights else 0.0


def surely_less(rows: list[Float], others: list[Float]) -> bool:
    """Whether the first errors are less than the others beyond doubt."""
    return surely(rows, others) < -SIGMAS
