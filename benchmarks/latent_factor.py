"""What a latent space buys: pixels and f = 1, 2, 4, 8 on CIFAR-10, one and the same U-Net trained for equal seconds.

    python benchmarks/latent_factor.py --budgets 150 600

Each space and budget is a run of its own, its learning-rate schedule stretched over the budget, and one file in the output folder:
what is there is not done again, so that a run may be stopped and taken up, or shared among processes (--only). Seconds are those of this
process's CPU, on one thread; the autoencoder's own training is not in them, and stands beside. After every file the table and the
figure are written anew from all that there are.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants import by_minidiff
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from measure import machine, publish, table, write
from throughput import operations
from time_to_quality import CLOCKS, Run, warm

from minidiff.learn import LatentSpace, NetworkDenoiser, read_metadata
from minidiff.nn import count_parameters
from minidiff.nn.classifier import Judge
from minidiff.nn.linear import Principal
from minidiff.run import load_classifier
from minidiff.run.cifar import cifar10
from minidiff.run.evaluate import Plan, draw_pictures, judge_samples
from minidiff.run.first_stages import FirstStageFile, first_stage_path, open_first_stage
from minidiff.run.jobs import Job, prepare
from minidiff.run.latents import latents
from minidiff.run.pictures import write as write_pictures
from minidiff.run.recipes import find
from minidiff.run.reconstruction import judge_reconstruction
from minidiff.run.settings import override
from minidiff.run.space import Space, space_of
from minidiff.run.store import Pictures, scale

SPACES = {"pixel": "cifar-pixel", **{f"f = {f}": f"cifar-latent-f{f}" for f in (1, 2, 4, 8)}}
LINEAR = (64, 256, 1024)  # as many numbers as the latents of f = 8, 4, 2
Real = tuple[Pictures, Pictures]


def first_stage_of(name: str, runs: Path) -> Path | None:
    """The autoencoder of a recipe: None for pixels, SystemExit if it has not been trained."""
    latent = find(SPACES[name]).latent
    if not latent:
        return None
    path = first_stage_path(latent, runs)
    if path is None:
        raise SystemExit(f"no autoencoder {latent} in {runs} or among the shipped weights: `minidiff train {latent}` makes it")
    return path


def trained(name: str, budget: float, args: argparse.Namespace) -> tuple[Job, Run]:
    """A job whose network was trained for the budget."""
    path = first_stage_of(name, args.runs)
    stage = open_first_stage(path) if path else None
    if stage:
        latents(stage, cifar10("train", args.data))  # encoded once and kept: not part of any budget
    recipe = override(find(SPACES[name]), [*args.set, f"train.seed={args.seed}"])
    job = prepare(recipe, args.data, first_stage=stage)
    run = Run(by_minidiff(job), budget, args.clock, warm(by_minidiff(prepare(recipe, args.data, first_stage=stage))))
    while run.spent < budget:
        run.turn(max(10.0, budget / 10))
        print(f"{name}, {budget:g} s: step {run.steps}, {run.spent:.0f} s, loss {run.loss:.4f}", flush=True)
    return job, run


def seconds_of_64(denoiser: NetworkDenoiser, space: Space, plan: Plan, clock: str) -> float:
    """For 64 pictures: sampling and decoding."""
    start = CLOCKS[clock]()
    draw_pictures(denoiser, Plan(n=64, sampler=plan.sampler, steps=plan.steps, seed=plan.seed), space)
    return CLOCKS[clock]() - start


def cell(name: str, budget: float, judge: Judge, real: Real, args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of one space after one budget."""
    job, run = trained(name, budget, args)
    denoiser, space = run.contestant.denoiser(), space_of(job.settings, args.runs)
    plan = Plan(n=args.n, sampler=args.sampler, steps=args.calls, seed=args.seed)
    found = judge_samples(denoiser, judge, *real, plan, np.random.default_rng(args.seed), space)
    sheet, _ = draw_pictures(denoiser, Plan(n=60, sampler=args.sampler, steps=args.calls), space)
    write_pictures(args.out / f"{slug(name, budget)}.png", sheet)
    x, t = torch.randn(2, *space.shape), torch.full((2,), 500)
    told = torch.nn.functional.one_hot(torch.tensor([0, 1]), 10).float()
    call = operations(lambda: denoiser.network(x, t, vector=told)) / 2
    did = {"steps": run.steps, "pictures": run.steps * run.contestant.batch, "seconds": run.spent, "train_loss": run.loss}
    size = {"shape": list(space.shape), "parameters": count_parameters(denoiser.network), "flop_per_call": call}
    quick = {"seconds_of_64": seconds_of_64(denoiser, space, plan, args.clock)}
    return {"space": name, "budget": budget} | did | size | quick | {"samples": found, "machine": machine()}


def kept(name: str, judge: Judge, real: Real, args: argparse.Namespace) -> dict[str, Any]:
    """What the autoencoder of a space keeps of test pictures, and what it cost."""
    path = first_stage_of(name, args.runs)
    if path is None:
        return {}
    stage: FirstStageFile = open_first_stage(path)
    metadata = read_metadata(path)
    carried = metadata.get("results", {}).get("reconstruction")  # what `minidiff evaluate -n 10000 --save` measured
    found = carried or judge_reconstruction(stage, judge, *real, len(real[1]), args.seed)
    about = {"sha256": stage.sha256, "steps": metadata["steps"], "seconds": metadata["seconds"], "machine": metadata["machine"]}
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    passes = {"flop": operations(lambda: stage.autoencoder.decode(stage.autoencoder.encode(x).mean)) / 2}
    return found | about | passes | {"parameters": count_parameters(stage.autoencoder)}


def linear_kept(k: int, judge: Judge, real: Real, args: argparse.Namespace) -> dict[str, Any]:
    """The same of the best linear code of k numbers, fitted to 20,000 training pictures."""
    principal = Principal.fit(scale(real[0].images[:20_000]), k)
    found = judge_reconstruction(
        FirstStageFile(f"{k} linear", "", LatentSpace(principal, 1.0), principal), judge, *real, len(real[1]), args.seed
    )
    passes = {"flop": 4 * k * 3072, "parameters": (k + 1) * 3072}
    return found | passes | {"steps": 0, "seconds": 0.0}


def slug(name: str, budget: float) -> str:
    """A file's name for a space and a budget."""
    return f"{name.replace(' = ', '')}-{budget:g}s"


def cells(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Every space and budget, from its file if it is there; the shortest budgets first."""
    judge, real = load_classifier("cifar-classifier"), (cifar10("train", args.data), cifar10("test", args.data))
    for budget in sorted(args.budgets):
        for name in args.only:
            path = args.out / f"{slug(name, budget)}.json"
            if not path.exists():
                start = time.monotonic()
                write(path, json.dumps(cell(name, budget, judge, real, args), indent=1))
                print(f"{name}, {budget:g} s: done in {time.monotonic() - start:.0f} s", flush=True)
            yield json.loads(path.read_text())
    for name in args.only:
        path = args.out / f"{slug(name, 0).removesuffix('-0s')}-kept.json"
        if not path.exists() and find(SPACES[name]).latent:
            write(path, json.dumps(kept(name, judge, real, args), indent=1))
    for k in LINEAR:
        path = args.out / f"{k} linear-kept.json"
        if not path.exists():
            write(path, json.dumps(linear_kept(k, judge, real, args), indent=1))


def all_rows(out: Path) -> list[dict[str, Any]]:
    """Every space and budget that the folder holds, of this run or an earlier one; the shortest budgets first."""
    found = [json.loads(path.read_text()) for path in out.glob("*s.json") if path.stem != "results"]
    return sorted(found, key=lambda r: (r["budget"], list(SPACES).index(r["space"])))


def all_kept(out: Path) -> dict[str, dict[str, Any]]:
    """What each autoencoder keeps, as far as it was measured."""
    paths = {name: out / f"{slug(name, 0).removesuffix('-0s')}-kept.json" for name in SPACES}
    paths |= {f"{k} linear": out / f"{k} linear-kept.json" for k in LINEAR}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def sample_table(rows: list[dict[str, Any]]) -> str:
    """One line a budget and space."""
    head = ["budget, s", "space", "sample", "MFLOP a call", "steps", "pictures/s", "Frechet distance", "95 %", "floor"]
    head += ["kernel distance", "95 %", "class accuracy", "95 %", "CPU s for 64"]
    body = []
    for r in rows:
        s = r["samples"]
        fd, kd, acc = s["frechet"], s["kernel"], s["label_accuracy"]
        did = [f"{r['budget']:g}", r["space"], " x ".join(map(str, r["shape"])), f"{r['flop_per_call'] / 1e6:.0f}"]
        did += [f"{r['steps']:,}", f"{r['pictures'] / r['seconds']:.0f}"]
        far = [f"{fd['value']:.1f}", "{:.1f} to {:.1f}".format(*fd["interval_95"]), f"{fd['floor']:.1f}"]
        kernel = [f"{kd['value']:.3g}", "{:.3g} to {:.3g}".format(*kd["interval_95"])]
        right = [f"{100 * acc['value']:.0f} %", " to ".join(f"{100 * a:.0f}" for a in acc["interval_95"])]
        body.append([*did, *far, *kernel, *right, f"{r['seconds_of_64']:.1f}"])
    return table(head, body, "The same U-Net after equal seconds")


def kept_table(found: dict[str, dict[str, Any]]) -> str:
    """One line an autoencoder."""
    head = ["autoencoder", "parameters", "MFLOP, there and back", "trained, steps (s)", "PSNR, dB", "SSIM"]
    head += ["Frechet distance of reconstructions", "floor", "same class seen", "latent std"]
    body = []
    for name, k in found.items():
        fd = k["frechet"]
        did = f"{k['steps']:,} ({k['seconds']:.0f})" if k["steps"] else "not trained"
        size = [name, f"{k['parameters']:,}", f"{k['flop'] / 1e6:.0f}", did]
        seen = [f"{k['psnr']['value']:.1f}", f"{k['ssim']['value']:.3f}", f"{fd['value']:.1f}", f"{fd['floor']:.1f}"]
        body.append([*size, *seen, f"{100 * k['kept_label']['value']:.0f} %", f"{k['latent_std']:.2f}"])
    return table(head, body, "What the autoencoders keep of test pictures")


def record(rows: list[dict[str, Any]], found: dict[str, dict[str, Any]], path: Path) -> None:
    """The numbers that notebook 13 reads, each with its interval, small enough to ship."""

    def three(m: dict[str, Any]) -> list[float]:
        return [m["value"], *m["interval_95"]]

    m = rows[0]["machine"]
    about = {
        "machine": f"{m['cpu']}, {m['threads']} thread", "n": rows[0]["samples"]["n"], "budgets": sorted({r["budget"] for r in rows}),
        "spaces": [name for name in SPACES if any(r["space"] == name for r in rows)],
        "floor": float(f"{np.mean([r['samples']['frechet']['floor'] for r in rows]):.4g}"),
        "kept": {name: k["frechet"]["value"] for name, k in found.items() if name in SPACES},
    }  # fmt: skip
    lines = [
        {
            "space": r["space"], "budget": r["budget"], "steps": r["steps"], "pictures": r["pictures"], "flop_per_call": r["flop_per_call"],
            "seconds_of_64": round(r["seconds_of_64"], 2), "frechet": three(r["samples"]["frechet"]),
            "kernel": three(r["samples"]["kernel"]), "accuracy": three(r["samples"]["label_accuracy"]),
        }
        for r in rows
    ]  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps(about | {"rows": lines}, indent=1) + "\n")


def figure(rows: list[dict[str, Any]], found: dict[str, dict[str, Any]], path: Path) -> None:
    """Left: Frechet distance against seconds, one line a space. Right: by space after the longest budget, and of reconstructions alone."""
    fig = Figure(figsize=(11, 4.2), layout="tight")
    left, right = fig.subplots(1, 2)
    names = [name for name in SPACES if any(r["space"] == name for r in rows)]
    for name in names:
        mine = [r for r in rows if r["space"] == name]
        left.errorbar([r["budget"] for r in mine], *bars(mine), marker="o", capsize=3, label=name)
    budgets = sorted({r["budget"] for r in rows})
    left.set(xscale="log", yscale="log", xlabel="seconds of training", ylabel="Frechet distance (judge's features)")
    left.set_xticks(budgets, [f"{b:g}" for b in budgets])
    left.legend(fontsize=8)
    for budget in budgets:
        mine = sorted((r for r in rows if r["budget"] == budget), key=lambda r: names.index(r["space"]))
        right.errorbar([names.index(r["space"]) for r in mine], *bars(mine), marker="o", capsize=3, label=f"samples after {budget:g} s")
    known = [name for name in names if name in found]
    again = [found[name]["frechet"]["value"] for name in known]
    right.plot([names.index(name) for name in known], again, "s--", color="grey", label="reconstructions of test pictures")
    floor = np.mean([r["samples"]["frechet"]["floor"] for r in rows])
    right.axhline(floor, color="grey", ls=":", label="real against real")
    right.set(yscale="log", xlabel="space")
    right.set_xticks(range(len(names)), names)
    right.legend(fontsize=8)
    for axes, ticks in ((left, (1, 1.5, 2, 3, 5, 7)), (right, (1, 3))):
        axes.yaxis.set_major_locator(LogLocator(subs=ticks))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    fig.savefig(path, dpi=150)


def bars(rows: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Frechet distances and how far their intervals reach down and up."""
    value = np.array([r["samples"]["frechet"]["value"] for r in rows])
    return value, np.abs(np.array([r["samples"]["frechet"]["interval_95"] for r in rows]).T - value)


def parsed() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--budgets", type=float, nargs="+", default=[150, 600], help="training seconds of each space")
    p.add_argument("--only", nargs="+", choices=SPACES, default=list(SPACES), metavar="SPACE", help=", ".join(SPACES))
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipes, such as train.lr=2e-3")
    p.add_argument("--n", type=int, default=1000, help="samples judged")
    p.add_argument("--sampler", default="dpm_solver")
    p.add_argument("--calls", type=int, default=20, help="network calls a sample")
    p.add_argument("--clock", choices=CLOCKS, default="cpu", help="cpu: seconds of this process alone; wall: for more than one thread")
    p.add_argument("--data", default="full", choices=("auto", "embedded", "full"))
    p.add_argument("--runs", type=Path, default=Path("runs"), help="folder of autoencoders trained here; otherwise the shipped ones")
    p.add_argument(
        "--record", type=Path, metavar="FILE", help="also write the numbers that notebook 13 reads, data/measured/latent-factor.json"
    )
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, default=Path("out/latent_factor"))
    return p.parse_args()


def main() -> None:
    args = parsed()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    for _ in cells(args):
        figure(all_rows(args.out), all_kept(args.out), args.out / "frechet.png")
    rows, found = all_rows(args.out), all_kept(args.out)
    publish(args.out, "results", {"settings": settings, "results": rows, "kept": found}, [sample_table(rows), kept_table(found)])
    figure(rows, found, args.out / "frechet.png")
    if args.record:
        record(rows, found, args.record)


if __name__ == "__main__":
    main()
