"""The ledger: every equation checked by two different routes. `run()`, `table(results)`, `show("ddpm", "7")`."""

from minidiff.verify import (
    ddim,
    ddim_bound,
    ddim_ode,
    ddpm,
    ddpm_bound,
    ddpm_training,
    decoder,
    families,
    families_exact,
    first_stage,
    gaussian_data,
    guidance,
    improved_ddpm,
    improved_training,
    inpainting,
    latent,
    ledger,
    mixture,
    mixture_bound,
    score,
    sde,
    solvers,
    vdm,
    windows,
)
from minidiff.verify.registry import REGISTRY, Check, Equation, Result, at_most, check, close, equation, find, monte_carlo, run
from minidiff.verify.report import Shown, as_json, markdown, show, summary, table

__all__ = [
    "REGISTRY", "Check", "Equation", "Result", "Shown", "as_json", "at_most", "check", "close", "equation", "find", "markdown",
    "monte_carlo", "run", "show", "summary", "table",
    "ddim", "ddim_bound", "ddim_ode", "ddpm", "ddpm_bound", "ddpm_training", "decoder", "families", "families_exact",
    "first_stage", "gaussian_data", "guidance", "improved_ddpm", "improved_training", "inpainting", "latent", "ledger", "mixture",
    "mixture_bound", "score", "sde", "solvers", "vdm", "windows",
]  # fmt: skip
