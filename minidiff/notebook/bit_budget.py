"""Notebook 04: where the bits of the bound go, for Gaussian data, exactly; its explorer over schedule, variance and an error."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from minidiff.notebook.setup import COLOURS
from minidiff.notebook.widgets import EXPLORERS, Explorer, canvas, choice, explorer, log_slider, slider
from minidiff.process import posterior_variance
from minidiff.schedule import Schedule


def budget_schedule(kind: str, T: int) -> Schedule:
    """"cosine"; "linear" with Ho et al.'s betas whatever T is; "rescaled": the same linear beta, integrated for this T."""
    if kind == "rescaled":
        u = np.arange(T + 1) / T
        return Schedule(np.exp(-(0.1 * u + 19.9 * u**2 / 2)))
    return Schedule.linear(T) if kind == "linear" else Schedule.cosine(T)


def bit_budget(T: int, std: float, kind: str, variance: str, output: str = "eps", error: float = 0.0) -> dict[str, Any]:
    """The exact bound on N(0, std^2) of a denoiser whose `output` ("eps", "x_0", "v" or "score") is off by `error` at every
    t, in bits/dim of 8-bit data (density + log2 127.5); ideal if error is 0, and then the output makes no difference.

    prior, steps (T - 1,), needed (T - 1,): the steps of the ideal denoiser at the optimal variance, erring (T - 1,): the part of the
    steps that the error costs, decoder, total, entropy, and misfit: KL(data || model), which is what samples can show.
    Equations B1. Checked by tests/test_bit_budget.py.
    """
    schedule, t = budget_schedule(kind, T), np.arange(1, T + 1)
    power = schedule.alpha_bar * std**2 - np.expm1(schedule.log_alpha_bar)  # Var x_t
    tilde, beta = posterior_variance(schedule, t - 1, t), schedule.beta[1:]
    best = beta * power[:-1] / power[1:]  # the variance of the true reverse kernel
    choices = {"small": tilde, "large": beta, "beta": beta, "optimal": best}
    sigma2 = choices[variance].copy()
    if variance in ("small", "large"):
        sigma2[0] = tilde[1]  # what Ho et al.'s program puts at t = 1
    signal, noise = schedule.scales(t)
    off = error * {"eps": noise / signal, "x_0": np.ones(T), "v": noise, "score": noise**2 / signal}[output]  # of x_0-hat
    off = off * np.sqrt(schedule.alpha_bar[:-1]) * beta / noise**2  # of the mean of the step: x_0's weight in the posterior mean
    left, log_left, grow = schedule.alpha_bar[-1], schedule.log_alpha_bar[-1], np.sqrt(1 - beta) * power[:-1] / power[1:]
    centre, model = 0.0, 1.0  # mean and variance of the model's samples, followed from x_T ~ N(0, 1) down to x_0
    for g, v, shift in zip(grow[::-1], sigma2[::-1], off[::-1], strict=True):
        centre, model = g * centre + shift, g**2 * model + v
    nats = {
        "prior": 0.5 * (left * (std**2 - 1) - np.log(-np.expm1(log_left))),
        "steps": 0.5 * (np.log(sigma2[1:] / tilde[1:]) + (best[1:] + off[1:] ** 2) / sigma2[1:] - 1),
        "needed": 0.5 * np.log(best[1:] / tilde[1:]),
        "erring": 0.5 * off[1:] ** 2 / sigma2[1:],
        "decoder": 0.5 * (np.log(2 * np.pi * sigma2[0]) + (best[0] + off[0] ** 2) / sigma2[0]) + np.log(127.5),
        "entropy": 0.5 * np.log(2 * np.pi * np.e * std**2) + np.log(127.5),
        "misfit": 0.5 * ((std**2 + centre**2) / model - 1 - np.log(std**2 / model)),
    }
    bits = {name: value / np.log(2) for name, value in nats.items()}
    return {**bits, "total": bits["prior"] + bits["steps"].sum() + bits["decoder"]}


def budget_figure(T: int, std: float, kind: str, variance: str, output: str, error: float) -> Figure:
    """Bits of each step, with what is wasted shaded; and the whole budget as one bar, against the entropy."""
    b, t = bit_budget(T, std, kind, variance, output, error), np.arange(2, T + 1)
    fig, (a, c) = canvas(2, width=4.8)
    a.fill_between(t, b["needed"], b["steps"], color=COLOURS[1], alpha=0.35, label="wasted")
    a.plot(t, b["steps"], color=COLOURS[1], label="this model")
    a.plot(t, b["needed"], color=COLOURS[0], label="ideal, optimal variance")
    a.set(xlabel="t", ylabel="bits/dim", title="$L_{t-1}$, step by step", xscale="log", yscale="log", ylim=(1e-6, 20))
    a.set_xticks([10, 100, 1000], ["10", "100", "1000"])  # words, no formulas, and no small ticks: half the time of drawing
    a.set_yticks([1e-6, 1e-4, 1e-2, 1], ["1e-6", "1e-4", "0.01", "1"])
    a.minorticks_off()
    a.set_xlim(2, T)
    a.legend(loc="upper right", fontsize=9)
    start, colours = 0.0, (COLOURS[5], COLOURS[0], COLOURS[1], COLOURS[3], COLOURS[2])
    needed, erring = float(b["needed"].sum()), float(b["erring"].sum())
    waste = float(b["steps"].sum()) - needed - erring
    parts = {"prior": b["prior"], "steps, needed": needed, "variance": waste, "error": erring, "decoder": b["decoder"]}
    for (name, size), colour in zip(parts.items(), colours, strict=True):
        c.barh(0, size, left=start, color=colour, label=name)
        start += size
    c.axvline(b["entropy"], color="black", linestyle="--", label="entropy")
    c.set(xlabel="bits/dim", title="the whole budget", yticks=[], ylim=(-0.5, 1.6))
    c.legend(ncols=2, loc="upper left", fontsize=9)
    return fig


def budget_readout(T: int, std: float, kind: str, variance: str, output: str, error: float) -> str:
    """The same in two lines, and the part of the gap that samples could show."""
    b = bit_budget(T, std, kind, variance, output, error)
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
        output=choice(["eps", "x_0", "v", "score"]), error=slider(0.0, 0.0, 0.1, 0.002),
    )


EXPLORERS["budget"] = budget_explorer
