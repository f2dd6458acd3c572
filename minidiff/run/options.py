"""The options of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from minidiff import __version__

Command = Callable[[argparse.Namespace], int]


def parser(run: Mapping[str, Command]) -> argparse.ArgumentParser:
    """All commands and their options. run: what each command does, by its name."""
    p = argparse.ArgumentParser(prog="minidiff", description="Diffusion models: derived, checked and run.")
    p.add_argument("--version", action="version", version=f"minidiff {__version__}")
    commands = p.add_subparsers(required=True, metavar="COMMAND")

    c = commands.add_parser("verify", help="check every equation numerically; exit status 1 if one fails")
    c.add_argument("--json", action="store_true", help="machine-readable results")
    c.add_argument("--only", metavar="PAPER", help="one paper, such as ddpm")
    c.add_argument("--seed", type=int, default=0, help="other random points and draws (default: 0); the verdicts must not change")
    c.set_defaults(command=run["verify"])

    c = commands.add_parser("tour", help="equations, a 2-D diffusion and digits, in a few minutes, into one report")
    c.add_argument("--out", default="out", metavar="DIR", help="folder of the report (default: out)")
    c.set_defaults(command=run["tour"])

    c = commands.add_parser("train", help="train a recipe; goes on by itself where it was stopped; torchrun -m minidiff.run.cli train ...")
    c.add_argument("recipe", metavar="RECIPE", help="such as mnist-ddpm; an unknown name lists all")
    c.add_argument("--out", metavar="DIR", help="folder for state and weights (default: runs/RECIPE)")
    c.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="such as train.steps=500")
    c.add_argument("--data", default="auto", choices=["auto", "embedded", "full"], help="which pictures (default: full if present)")
    c.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda: one GPU a process (default: cpu)")
    c.add_argument("--show", action="store_true", help="print the recipe and stop")
    c.set_defaults(command=run["train"])

    _sample_options(commands, run)
    _evaluate_options(commands, run)
    c = commands.add_parser("doctor", help="examine a denoiser's weights and name the likeliest defect; exit status 1 if there is one")
    c.add_argument("weights", metavar="WEIGHTS", help="a .safetensors file, or the name of shipped weights such as mnist-ddpm")
    c.add_argument("-n", type=int, help="examples of its training data (default: 2000 points, 32 pictures)")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--json", action="store_true", help="machine-readable report")
    c.set_defaults(command=run["doctor"])

    c = commands.add_parser("data", help="which data are at hand; fetch the full MNIST or CIFAR-10")
    c.add_argument("action", choices=["list", "fetch"])
    c.add_argument("name", nargs="?", default="mnist")
    c.set_defaults(command=run["data"])

    c = commands.add_parser("lab", help="open the course in JupyterLab, in a folder of your own")
    c.add_argument("--folder", default="my-course", help="where your notebooks are, or shall be (default: my-course)")
    c.add_argument("jupyter", nargs="*", metavar="-- OPTIONS", help="handed to JupyterLab, for instance -- --no-browser --port 9000")
    c.set_defaults(command=run["lab"])
    return p


def _sample_options(commands: Any, run: Mapping[str, Command]) -> None:
    c = commands.add_parser("sample", help="sample weights into a picture (digits and photographs, .png) or a table (points, .csv)")
    c.add_argument("weights", metavar="WEIGHTS", help="a .safetensors file, or the name of shipped weights such as mnist-ddpm")
    c.add_argument("-n", type=int, default=64, help="how many (default: 64)")
    c.add_argument("--steps", type=int, default=50, help="network calls a sample (default: 50)")
    c.add_argument("--sampler", default="ddim", choices=["ddim", "ddpm", "dpm_solver", "heun"])
    c.add_argument("--label", type=int, metavar="0..9", help="which class (default: all in turn)")
    c.add_argument("--text", metavar="CAPTION", help='for scenes-text, such as "a red seven above a blue two"')
    c.add_argument("--write", metavar="DIGITS", help='for scenes-map, such as "27.11.2026": a canvas with these digits in a line')
    c.add_argument("--scale", type=float, default=1.0, help="guidance: 1 plain conditional (default), 0 unconditional")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--out", metavar="FILE", help="default: samples.png or samples.csv")
    c.set_defaults(command=run["sample"])


def _evaluate_options(commands: Any, run: Mapping[str, Command]) -> None:
    c = commands.add_parser("evaluate", help="judge weights for pictures: samples, reconstructions, bits/dim, with n, interval and floor")
    c.add_argument("weights", metavar="WEIGHTS", help="a .safetensors file, or the name of shipped weights such as mnist-ddpm")
    c.add_argument("-n", type=int, default=500, help="how many samples (default: 500; 0: none)")
    c.add_argument("--sampler", default="ddim", choices=["ddim", "ddpm", "dpm_solver", "heun"])
    c.add_argument("--steps", type=int, default=50, help="network calls a sample (default: 50)")
    c.add_argument("--scale", type=float, default=1.0, help="of guidance, for weights that are told labels (default: 1, none)")
    c.add_argument("--bound", type=int, default=16, metavar="N", help="bits/dim of N test digits, every t (default: 16; 0: none)")
    c.add_argument("--stratified", type=int, default=256, metavar="N", help="bits/dim of N, a few t each (default: 256; 0: none)")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--json", metavar="FILE", help="write the numbers there too")
    c.add_argument("--save", action="store_true", help="write the numbers into the weights' metadata")
    c.add_argument("--fid", action="store_true", help="the Inception FID too; needs minidiff[fid], and downloads Inception's weights")
    c.set_defaults(command=run["evaluate"])
