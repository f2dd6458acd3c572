"""The command line: minidiff verify | tour | train | sample | evaluate | data | lab."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidiff import Clipped, Denoiser, Guided, __version__

if TYPE_CHECKING:
    from minidiff.run.jobs import Job


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command, run it, and turn every expected error into one line and exit status 1 (130 for Ctrl-C)."""
    args = parser().parse_args(argv)
    try:
        return int(args.command(args) or 0)
    except (ValueError, TypeError, KeyError, FloatingPointError, OSError) as e:
        if os.environ.get("MINIDIFF_TRACEBACK"):
            raise
        print(f"minidiff: {e.args[0] if isinstance(e, KeyError) else e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("minidiff: stopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    p = argparse.ArgumentParser(prog="minidiff", description="Diffusion models: derived, checked and run.")
    p.add_argument("--version", action="version", version=f"minidiff {__version__}")
    commands = p.add_subparsers(required=True, metavar="COMMAND")

    c = commands.add_parser("verify", help="check every equation numerically; exit status 1 if one fails")
    c.add_argument("--json", action="store_true", help="machine-readable results")
    c.add_argument("--only", metavar="PAPER", help="one paper, such as ddpm")
    c.add_argument("--seed", type=int, default=0, help="other random points and draws (default: 0); the verdicts must not change")
    c.set_defaults(command=verify)

    c = commands.add_parser("tour", help="equations, a 2-D diffusion and digits, in a few minutes, into one report")
    c.add_argument("--out", default="out", metavar="DIR", help="folder of the report (default: out)")
    c.set_defaults(command=tour)

    c = commands.add_parser("train", help="train a recipe; goes on by itself where it was stopped; torchrun -m minidiff.run.cli train ...")
    c.add_argument("recipe", metavar="RECIPE", help="such as mnist-ddpm; an unknown name lists all")
    c.add_argument("--out", metavar="DIR", help="folder for state and weights (default: runs/RECIPE)")
    c.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="such as train.steps=500")
    c.add_argument("--data", default="auto", choices=["auto", "embedded", "full"], help="which digits (default: full if present)")
    c.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda: one GPU a process (default: cpu)")
    c.add_argument("--show", action="store_true", help="print the recipe and stop")
    c.set_defaults(command=train)

    c = commands.add_parser("sample", help="sample weights into a picture (digits, .png) or a table (points, .csv)")
    c.add_argument("weights", metavar="WEIGHTS", help="a .safetensors file, or the name of shipped weights such as mnist-ddpm")
    c.add_argument("-n", type=int, default=64, help="how many (default: 64)")
    c.add_argument("--steps", type=int, default=50, help="network calls a sample (default: 50)")
    c.add_argument("--sampler", default="ddim", choices=["ddim", "ddpm", "dpm_solver", "heun"])
    c.add_argument("--label", type=int, metavar="DIGIT", help="which digit, of weights that know labels (default: 0 to 9 in turn)")
    c.add_argument("--scale", type=float, default=1.0, help="guidance: 1 plain conditional (default), 0 unconditional")
    c.add_argument("--seed", type=int, default=0)
    c.add_argument("--out", metavar="FILE", help="default: samples.png or samples.csv")
    c.set_defaults(command=sample)

    _evaluate_options(commands)
    c = commands.add_parser("data", help="which data are at hand; fetch the full MNIST")
    c.add_argument("action", choices=["list", "fetch"])
    c.add_argument("name", nargs="?", default="mnist")
    c.set_defaults(command=data)

    c = commands.add_parser("lab", help="open the notebooks in JupyterLab")
    c.set_defaults(command=lab)
    return p


def _evaluate_options(commands: Any) -> None:
    c = commands.add_parser("evaluate", help="judge weights for digits: quality of samples, bits/dim; each with n, interval and floor")
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
    c.set_defaults(command=evaluate)


def verify(args: argparse.Namespace) -> int:
    """Print the ledger; 1 if any check fails."""
    from minidiff import verify as ledger

    start = time.monotonic()
    results = ledger.run(args.only, seed=args.seed)
    if args.json:
        print(ledger.as_json(results))
    else:
        print(ledger.table(results))
        print(f"{time.monotonic() - start:.0f} s")
    return 0 if all(r.passed for r in results) else 1


def tour(args: argparse.Namespace) -> int:
    """Run the tour. It draws, so it lives with the figures; nothing but this line leads there."""
    return int(importlib.import_module("minidiff.notebook.tour").main(Path(args.out)))


def train(args: argparse.Namespace) -> int:
    """Train, from where the folder's state stands; under torchrun together with the other processes."""
    from minidiff.learn import distributed
    from minidiff.run import jobs, recipes

    recipe = recipes.override(recipes.find(args.recipe), args.settings)
    if args.show:
        print(json.dumps(recipe.to_dict(), indent=2))
        return 0
    with distributed.processes(args.device) as device:
        status = _train(jobs.prepare(recipe, args.data, device), Path(args.out or f"runs/{recipe.name}"), distributed.rank() == 0)
    distributed.leave(status)
    return status


def _train(job: Job, folder: Path, speaks: bool) -> int:
    """Train with progress, and say where things are, in the one process that speaks."""
    from tqdm import tqdm

    from minidiff.run import jobs

    name, total = job.recipe.name, job.recipe.train.steps
    say = print if speaks else lambda *_, **__: None
    if job.resume(folder / "state.pt"):
        say(f"going on from step {job.training.step} of {total} ({folder}/state.pt)")
    loss = None
    bar = tqdm(total=total, initial=job.training.step, unit="step", disable=None if speaks else True)
    try:
        for step in jobs.run(job, folder):
            loss = step.loss if loss is None else 0.98 * loss + 0.02 * step.loss
            bar.update()
            bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            if bar.disable and step.step % 500 == 0:
                say(f"step {step.step} of {total}, loss {loss:.4f}", flush=True)
    except KeyboardInterrupt:
        say(f"\nstopped after step {job.training.step}; the same command goes on from there ({folder}/state.pt)", file=sys.stderr)
        return 130
    finally:
        bar.close()
    if speaks:  # as the tour, it draws, and lives with the figures
        importlib.import_module("minidiff.notebook.log_figure").draw_log(folder / "log.csv", folder / "log.png")
    say(f"done: {folder / name}.safetensors; how it went: {folder}/log.png")
    return 0


def sample(args: argparse.Namespace) -> int:
    """Sample a denoiser and write what came out."""
    import torch

    from minidiff.learn import load
    from minidiff.run import build, pictures
    from minidiff.run.conditions import for_samples
    from minidiff.run.sampling import path

    if args.n < 1:
        raise ValueError(f"-n must be at least 1; got {args.n}")
    network = load(_file(args.weights), build)
    shape = pictures.shape_of(network)
    cond = for_samples(network.network, args.n, args.label)
    if cond is None and args.scale != 1:
        raise ValueError("--scale guides towards a condition, and these weights take none; leave it out")
    guided: Denoiser = network if args.scale == 1 else Guided(network, args.scale)
    denoiser = Clipped(guided) if len(shape) == 3 else guided
    rng = torch.Generator().manual_seed(args.seed)
    x = torch.randn((args.n, *shape), generator=rng)
    x = pictures.with_progress(path(denoiser, x, args.sampler, args.steps, rng, cond), args.steps)
    out = Path(args.out or ("samples.png" if len(shape) == 3 else "samples.csv"))
    pictures.write(out, x)
    print(f"wrote {args.n} samples to {out}")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    """Judge a denoiser of digits, print the table, and keep the numbers where asked."""
    from minidiff.learn import load, save
    from minidiff.learn.checkpoint import read, replacing
    from minidiff.run import build, load_classifier, mnist
    from minidiff.run import evaluate as judging

    path = _file(args.weights)
    plan = judging.Plan(args.n, args.sampler, args.steps, args.scale, args.bound, args.stratified, args.seed, args.fid)
    denoiser, (_, metadata) = load(path, build), read(path)
    train, test = mnist("train"), mnist("test")
    result = judging.evaluate(denoiser, load_classifier(), train, test, plan)
    result["data"]["trained_on_these"] = metadata.get("data_sha256") == train.checksum
    print(judging.table(result))
    if args.json:
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if args.save:
        tensors, metadata = read(path)  # again: another evaluation may have put its numbers there meanwhile
        save(path, tensors, {**metadata, "results": judging.merged(metadata.get("results", {}), result)})
    return 0


def _file(weights: str) -> Path:
    """The file of weights given by its path or, if they are shipped, by their name."""
    from minidiff.run import weights_path

    return Path(weights) if weights.endswith(".safetensors") else weights_path(weights)


def data(args: argparse.Namespace) -> int:
    """List the data at hand, or fetch a set."""
    from minidiff.run import data as sets

    if args.action == "fetch":
        print(f"{args.name}: {sets.fetch(args.name)}")
    else:
        for split in ("train", "test"):
            d = sets.mnist(split, quiet=True)
            print(f"mnist {split}: {len(d.images)} digits, {d.name}")
    return 0


def lab(args: argparse.Namespace) -> int:
    """Open JupyterLab on the course, which lives in the repository, not in the wheel."""
    folder = Path(__file__).resolve().parents[2] / "notebooks"
    if not folder.is_dir():
        raise ValueError("the notebooks are not part of the installed package: clone the repository and run `make lab` there")
    return subprocess.call([sys.executable, "-m", "jupyterlab", str(folder)])


if __name__ == "__main__":
    sys.exit(main())
