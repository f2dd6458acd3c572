"""Notebook 04: where the bits of the bound go, for Gaussian data, exactly; its explorer over T, std, schedule and variance."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minidiff.notebook.widgets import EXPLORERS, Explorer, canvas, choice, explorer, log_slider, slider
from minidiff.process import posterior_variance
from minidiff.schedule import Schedule


def budget_schedule(kind: str, T: int) -> Schedule:
    """"cosine"; "linear" with Ho et al.'s betas whatever T is; "rescaled": the same linear beta, integrated for this T."""
    if kind == "rescaled":
        u = np.arange(T + 1) / T
        return Schedule(np.exp(-(0.1 * u + 19.9 * u**2 / 2)))
    return Schedule.linear(T) if kind == "linear" else Schedule.cosine(T)


def bit_budget(T: int, std: float, kind: str, variance: str) -> dict[str, Any]:
    """The exact bound of the ideal denoiser on N(0, std^2), in bits/dim of 8-bit data (density + log2 127.5).

    prior, steps (T - 1,), needed (T - 1,): the steps at the optimal variance, decoder, total, entropy, and misfit:
    KL(data || model), which is what samples can show. Equations B1. Checked by tests/test_bit_budget.py.
    """
    schedule, t = budget_schedule(kind, T), np.arange(1, T + 1)
    power = schedule.alpha_bar * std**2 - np.expm1(schedule.log_alpha_bar)  # Var x_t
    tilde, beta = posterior_variance(schedule, t - 1, t), schedule.beta[1:]
    best = beta * power[:-1] / power[1:]  # the variance of the true reverse kernel
    choices = {"small": tilde, "large": beta, "beta": beta, "optimal": best}
    sigma2 = choices[variance].copy()
    if variance in ("small", "large"):
        sigma2[0] = tilde[1]  # what Ho et al.'s program puts at t = 1
    left, log_left, grow = schedule.alpha_bar[-1], schedule.log_alpha_bar[-1], np.sqrt(1 - beta) * power[:-1] / power[1:]
    model = 1.0  # variance of the model's samples, followed from x_T ~ N(0, 1) down to x_0
    for g, v in zip(grow[::-1], sigma2[::-1], strict=True):
        model = g**2 * model + v
    nats = {
        "prior": 0.5 * (left * (std**2 - 1) - np.log(-np.expm1(log_left))),
        "steps": 0.5 * (np.log(sigma2[1:] / tilde[1:]) + best[1:] / sigma2[1:] - 1),
        "needed": 0.5 * np.log(best[1:] / tilde[1:]),
        "decoder": 0.5 * (np.log(2 * np.pi * sigma2[0]) + best[0] / sigma2[0]) + np.log(127.5),
        "entropy": 0.5 * np.log(2 * np.pi * np.e * std**2) + np.log(127.5),
        "misfit": 0.5 * (std**2 / model - 1 - np.log(std**2 / model)),
    }
    bits = {name: value / np.log(2) for name, value in nats.items()}
    return {**bits, "total": bits["prior"] + bits["steps"].sum() + bits["decoder"]}


def budget_figure(T: int, std: float, kind: str, variance: str) -> Figure:
    """Bits of each step, with what is wasted shaded; and the whole budget as one bar, against the entropy."""
    b, t = bit_budget(T, std, kind, variance), np.arange(2, T + 1)
    fig, (a, c) = canvas(2, width=4.8)
    a.fill_between(t, b["needed"], b["steps"], color="#d1642a", alpha=0.35, label="wasted")
    a.plot(t, b["steps"], color="#d1642a", label="this variance")
    a.plot(t, b["needed"], color="#2f6db5", label="optimal variance")
    a.set(xlabel="t", ylabel="bits/dim", title="$L_{t-1}$, step by step", xscale="log", yscale="log", ylim=(1e-6, 20))
    a.legend()
    start, colours = 0.0, ("#5b6770", "#2f6db5", "#d1642a", "#3d8f5f")
    waste = float((b["steps"] - b["needed"]).sum())
    parts = {"prior": b["prior"], "steps, needed": float(b["needed"].sum()), "steps, wasted": waste, "decoder": b["decoder"]}
    for (name, size), colour in zip(parts.items(), colours, strict=True):
        c.barh(0, size, left=start, color=colour, label=name)
        start += size
    c.axvline(b["entropy"], color="black", linestyle="--", label="entropy")
    c.set(xlabel="bits/dim", title="the whole budget", yticks=[], ylim=(-0.5, 1.6))
    c.legend(ncols=2, loc="upper left", fontsize=9)
    return fig


def budget_readout(T: int, std: float, kind: str, variance: str) -> str:
    """The same in two lines, and the part of the gap that samples could show."""
    b = bit_budget(T, std, kind, variance)
    total, entropy = b["total"], b["entropy"]
    return (
        f"prior {b['prior']:.4f} + steps {b['steps'].sum():.4f} + decoder {b['decoder']:.4f} = {total:.4f} bits/dim\n"
        f"entropy {entropy:.4f}   gap {total - entropy:.4f}, of which in the samples {b['misfit']:.4f}"
    )


def budget_explorer() -> Explorer:
    """The explorer of notebook 04."""
    return explorer(
        budget_figure, budget_readout,
        T=slider(100, 10, 1000, 10), std=log_slider(0.25, 0.02, 1.0),
        kind=choice(["rescaled", "cosine", "linear"]), variance=choice(["small", "large", "beta", "optimal"]),
    )


EXPLORERS["budget"] = budget_explorer
