"""Rung 5: the author's forward process, x_t = signal x_0 + noise eps, read off by least squares."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff.arrays import no_grad
from minidiff.doctor.patient import Bench, Float, checked, ours
from minidiff.doctor.report import Finding

RIGHT = 1e-3  # relative: beyond what a table in float32 does to its coefficients (4e-4)


def _forms(bench: Bench, t: int) -> dict[str, tuple[float, float]]:
    """(weight of x_0, weight of eps) at t: the right ones under "", and those of the usual slips."""
    abar, beta = bench.schedule.alpha_bar, bench.schedule.beta
    a, b = float(np.sqrt(abar[t])), float(np.sqrt(1 - abar[t]))
    forms = {
        "": (a, b), "1 - alpha_bar for its root": (a, b * b), "sqrt(alpha_bar) missing: x_0 is not shrunk": (1.0, b),
        "alpha_bar for its root": (a * a, b), "the weights of x_0 and eps are exchanged": (b, a),
        "beta for alpha_bar: one step from x_0, not t": (float(np.sqrt(1 - beta[t])), float(np.sqrt(beta[t]))),
        "one step, and beta for its root": (float(np.sqrt(1 - beta[t])), float(beta[t])),
        "1 - sqrt(alpha_bar) for sqrt(1 - alpha_bar)": (a, 1 - a), "both roots are missing": (a * a, b * b),
    }  # fmt: skip
    for shift in (-1, 1):
        if 0 <= t + shift <= bench.schedule.T:
            forms[f"the table is read at t {'+' if shift > 0 else '-'} 1"] = (
                float(np.sqrt(abar[t + shift])), float(np.sqrt(1 - abar[t + shift])),
            )  # fmt: skip
    return forms


def noising(bench: Bench) -> Iterator[Finding]:
    """The two weights at several t; what is left over must be nothing, since x_0 and eps are given."""
    T = bench.schedule.T
    times = sorted({2, max(2, T // 20), T // 4, T // 2, 3 * T // 4, T - 1})
    misses: dict[str, float] = {}
    example = "", ""
    for t in times:
        a, b, left = _weights(bench, t)
        scale = np.hypot(*_forms(bench, t)[""])
        if left > 0.05:
            yield _own_noise(bench, t, a, b)
            return
        for what, (x, y) in _forms(bench, t).items():
            misses[what] = max(misses.get(what, 0.0), np.hypot(a - x, b - y) / scale)
        if t == T // 2:
            right = _forms(bench, t)[""]
            example = f"weights {a:.4g} and {b:.4g}", f"at t = {t}: {right[0]:.4g} x_0 + {right[1]:.4g} eps"
    if misses[""] > RIGHT:
        what, miss = min(misses.items(), key=lambda item: item[1])
        yield Finding("noising", what if miss < 0.01 else "the weights of x_0 and eps are not those of the table", example[1], example[0])


def _weights(bench: Bench, t: int) -> tuple[float, float, float]:
    """Least squares of x_t on x_0 and eps, and the root of the share of the power that they leave."""
    x_0, eps, x_t = _noised(bench, t)
    basis = np.stack([x_0.ravel(), eps.ravel()], 1)
    (a, b), *_ = np.linalg.lstsq(basis, x_t.ravel(), rcond=None)
    return float(a), float(b), float(np.sqrt(np.mean((x_t.ravel() - basis @ [a, b]) ** 2) / np.mean(x_t**2)))


def _noised(bench: Bench, t: int) -> tuple[Float, Float, Float]:
    call, x_0, eps = bench.patient.noising, bench.x_0, bench.rng.standard_normal(bench.x_0.shape)
    assert call is not None
    with no_grad(bench.sample):
        x_t = ours(call(bench.theirs(x_0), bench.times(t, len(x_0)), bench.theirs(eps)))
    return x_0, eps, checked("x_t", x_t, x_0.shape, f" at t = {t}")


def _own_noise(bench: Bench, t: int, a: float, b: float) -> Finding:
    """x_t is not made of the eps handed in: another noise, whose law shows in what is left over."""
    x_0, eps, x_t = _noised(bench, t)
    rest = x_t - a * x_0 - b * eps
    z = (rest - rest.mean()) / rest.std()
    what = "x_t holds other noise than the eps that the loss compares with"
    seen = f"a rest of mean {rest.mean():.3g}, kurtosis {np.mean(z**4):.3g}"
    return Finding("noise law", what, f"only the eps handed in; mean 0, kurtosis 3 at t = {t}", seen)
