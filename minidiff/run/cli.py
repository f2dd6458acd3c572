"""The command line: minidiff verify | tour | train | sample | evaluate | doctor | data | lab."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minidiff import Clipped, Denoiser, Guided
from minidiff.run.options import parser

if TYPE_CHECKING:
    from minidiff.run.jobs import Job


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command, run it, and turn every expected error into one line and exit status 1 (130 for Ctrl-C)."""
    if not (sys.argv[1:] if argv is None else argv):
        parser(COMMANDS).print_help()
        return 0
    args = parser(COMMANDS).parse_args(argv)
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
    from minidiff.run import jobs, recipes, settings

    recipe = settings.override(recipes.find(args.recipe), args.settings)
    if args.show:
        print(json.dumps(recipe.to_dict(), indent=2))
        return 0
    with distributed.processes(args.device) as device:
        speaks = distributed.rank() == 0
        folder, status, first_stage = Path(args.out or f"runs/{recipe.name}"), 0, None
        if recipe.latent:
            status, first_stage = _first_stage(recipe.latent, folder.parent, args.data, device, speaks)
        status = status or _train(jobs.prepare(recipe, args.data, device, first_stage), folder, speaks)
    distributed.leave(status)
    return status


def _first_stage(name: str, runs: Path, data: str, device: str, speaks: bool) -> tuple[int, Any]:
    """The autoencoder of a latent recipe: trained here, otherwise shipped, otherwise trained now; with the exit status of that."""
    from minidiff.run import first_stages, jobs, recipes

    path, status = first_stages.first_stage_path(name, runs), 0
    if path is None:
        path = runs / name / f"{name}.safetensors"
        if speaks:
            print(f"the autoencoder {name} is neither in {runs} nor shipped: it is trained first, into {path.parent}", flush=True)
        status = _train(jobs.prepare(recipes.find(name), data, device), path.parent, speaks)
    elif speaks:
        print(f"latents by {path}")
    return status, None if status else first_stages.open_first_stage(path)


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
    """Sample a denoiser, or a model of another family, and write what came out."""
    import torch

    from minidiff.learn import read_metadata
    from minidiff.run import load_family, pictures
    from minidiff.run.family_networks import OTHERS

    if args.n < 1:
        raise ValueError(f"-n must be at least 1; got {args.n}")
    weights, rng = _file(args.weights), torch.Generator().manual_seed(args.seed)
    metadata = read_metadata(weights)
    if metadata.get("recipe", {}).get("network", {}).get("type") not in OTHERS:
        x = _denoised(args, weights, metadata, rng)
    elif any(given is not None for given in (args.label, args.text, args.write)) or args.scale != 1:
        raise ValueError("this model is told nothing: leave out --label, --text, --write and --scale")
    else:
        x = load_family(weights).sample(args.n, rng)
    out = Path(args.out or ("samples.png" if x.ndim == 4 else "samples.csv"))
    for file in dict.fromkeys([out, *([out.with_suffix(".npz")] if x.ndim == 4 and x.shape[1] == 3 else [])]):
        pictures.write(file, x)
        print(f"wrote {args.n} samples to {file}")
    return 0


def _denoised(args: argparse.Namespace, weights: Path, metadata: dict[str, Any], rng: Any) -> Any:
    """Samples of a denoiser, as its weights' space shows them."""
    import torch

    from minidiff.learn import load
    from minidiff.run import build, pictures
    from minidiff.run.recipes import from_dict
    from minidiff.run.sampling import path
    from minidiff.run.space import space_of
    from minidiff.run.told import for_sampling

    network, space = load(weights, build), space_of(metadata, weights.parent.parent)
    cond, canvas = for_sampling(from_dict(metadata["recipe"]).told, network, args.n, args.label, args.text, args.write)
    if cond is None and args.scale != 1:
        raise ValueError("--scale guides towards a condition, and these weights take none; leave it out")
    guided: Denoiser = network if args.scale == 1 else Guided(network, args.scale)
    denoiser = Clipped(guided) if space.bounded else guided
    x = space.noise(args.n, canvas, rng) if canvas else torch.randn((args.n, *space.shape), generator=rng)
    return space.show(pictures.with_progress(path(denoiser, x, args.sampler, args.steps, rng, cond), args.steps))


def evaluate(args: argparse.Namespace) -> int:
    """Judge weights, print the table, and keep the numbers where asked."""
    from minidiff.learn import read_metadata, save
    from minidiff.learn.checkpoint import read, replacing
    from minidiff.run import evaluate as judging
    from minidiff.run import photo_evaluation, scene_evaluation
    from minidiff.run.records import merged

    path = _file(args.weights)
    plan = judging.Plan(args.n, args.sampler, args.steps, args.scale, args.bound, args.stratified, args.seed, args.fid)
    metadata = read_metadata(path)
    recipe = metadata.get("recipe", {})
    if recipe.get("data") == "scenes":
        result = scene_evaluation.evaluate_scenes(path, plan)
        print(scene_evaluation.table(result))
    else:
        train, test = judging.real_pictures(metadata)
        told = recipe.get("told") in photo_evaluation.JUDGED
        result = (photo_evaluation.evaluate_photographs if told else judging.evaluate_file)(path, train, test, plan)
        print(judging.table(result))
    if args.json:
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if args.save:
        tensors, metadata = read(path)  # again: another evaluation may have put its numbers there meanwhile
        save(path, tensors, {**metadata, "results": merged(metadata.get("results", {}), result)})
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Examine weights and print the report; 1 if a defect is named."""
    from minidiff.run.doctor import examine_file

    report = examine_file(_file(args.weights), args.n, args.seed)
    print(json.dumps(report.as_dict(), indent=2) if args.json else report)
    return 0 if report.healthy else 1


def _file(weights: str) -> Path:
    """The file of weights given by its path or, if they are shipped, by their name."""
    from minidiff.run import weights_path

    return Path(weights) if weights.endswith(".safetensors") else weights_path(weights)


def data(args: argparse.Namespace) -> int:
    """List the data at hand, or fetch a set."""
    from minidiff.run.batches import PICTURES
    from minidiff.run.cifar import fetch_cifar10
    from minidiff.run.digits import fetch_mnist

    if args.action == "fetch":
        fetches = {"mnist": fetch_mnist, "cifar10": fetch_cifar10}
        if args.name not in fetches:
            raise ValueError(f"there is no data set {args.name!r} to fetch; there are {', '.join(fetches)}")
        print(f"{args.name}: {fetches[args.name]()}")
    else:
        for name, pictures in PICTURES.items():
            for split in ("train", "test"):
                d = pictures(split, quiet=True)
                print(f"{name} {split}: {len(d)} pictures, {d.name}")
    return 0


def lab(args: argparse.Namespace) -> int:
    """Open JupyterLab on the reader's own copy of the course, which lives in the repository, not in the wheel."""
    from minidiff.run import lab

    return lab.start(Path(__file__).resolve().parents[2] / "notebooks", Path(args.folder).resolve(), args.jupyter)


COMMANDS = {f.__name__: f for f in (verify, tour, train, sample, evaluate, doctor, data, lab)}


if __name__ == "__main__":
    sys.exit(main())
