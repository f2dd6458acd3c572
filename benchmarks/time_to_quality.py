"""Quality of digits after equal seconds of training: minidiff against a small DDPM built from diffusers (pip install minidiff[bench]).

    python benchmarks/time_to_quality.py --budgets 60 300 900 --threads 2

The contestants take turns of some seconds in one process, so that noise of the machine hits all alike; only seconds inside a turn
count, data included. Each budget is a whole run of its own: its learning-rate schedule is stretched, step by step, over the steps
that the pace so far promises, and so ends when the budget does. Then all are sampled and judged by the same code. Files are written
after every budget: results.json and .md, a figure, and a sheet of samples of each.
"""

import argparse
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants import CONTESTANTS, Contestant
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from measure import publish, table

from minidiff.learn import NetworkDenoiser, simple_loss
from minidiff.nn import count_parameters
from minidiff.nn.classifier import DigitClassifier
from minidiff.run import load_classifier, mnist, scale
from minidiff.run.evaluate import Plan, draw_pictures, feature_distances, features, recognised
from minidiff.run.pictures import write as write_pictures
from minidiff.run.recipes import find
from minidiff.run.settings import override
from minidiff.run.store import Pictures

TIMES = (1, 3, 10, 30, 100, 200, 400, 700, 1000)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass
class Run:
    """A contestant with its budget: seconds counted by `clock`, and what it did in them."""

    contestant: Contestant
    budget: float
    clock: str
    pace: float  # seconds a step, guessed; replaced by its own after the first
    steps: int = 0
    spent: float = 0.0
    cpu: float = 0.0
    loss: float = float("nan")

    @property
    def total(self) -> int:
        """Steps that the whole budget will hold at the pace so far, the next one included."""
        pace = self.spent / self.steps if self.steps else self.pace
        return max(self.steps + 1, round(self.budget / pace))

    def turn(self, seconds: float) -> None:
        """Train for some seconds, or until the budget is spent."""
        until = min(self.spent + seconds, self.budget)
        while self.spent < until:
            start, cpu = CLOCKS[self.clock](), time.process_time()
            loss = self.contestant.step(self.steps + 1, self.total)
            self.spent += CLOCKS[self.clock]() - start
            self.cpu += time.process_time() - cpu
            self.steps += 1
            self.loss = loss if self.steps == 1 else self.loss + 0.02 * (loss - self.loss)


def train(names: list[str], budget: float, args: argparse.Namespace) -> dict[str, Run]:
    """All contestants, trained to the end of the budget."""
    recipe = override(find(args.recipe), args.set)
    runs = {}
    for name in names:
        runs[name] = Run(CONTESTANTS[name](recipe, args.data), budget, args.clock, warm(CONTESTANTS[name](recipe, args.data)))
    in_rounds(runs, budget, args.turn)
    return runs


def in_rounds(runs: dict[str, Run], budget: float, turn: float) -> None:
    """All runs to the end of the budget, in turns; a different one begins each round."""
    order, length = list(runs), min(turn, budget / 4)
    while any(run.spent < budget for run in runs.values()):
        for name in order:
            runs[name].turn(length)
        order = order[1:] + order[:1]
        print(", ".join(f"{name}: step {run.steps}, {run.spent:.0f} s, loss {run.loss:.4f}" for name, run in runs.items()), flush=True)


def warm(contestant: Contestant, steps: int = 3) -> float:
    """Seconds a step of a contestant that is then thrown away: the first steps also pay for torch's preparations."""
    contestant.step(1, 1000)
    start = time.perf_counter()
    for k in range(2, 2 + steps):
        contestant.step(k, 1000)
    return (time.perf_counter() - start) / steps


def judged(
    denoiser: NetworkDenoiser, judge: DigitClassifier, real: tuple[Pictures, Pictures], plan: Plan, sheet: Path, n_loss: int
) -> dict[str, Any]:
    """The numbers of one contestant by one sampler, and its sheet; the same test digits, noise and judge for all."""
    digits, test = real
    rng, start = np.random.default_rng(plan.seed), time.perf_counter()
    x, _ = draw_pictures(denoiser, plan)
    out: dict[str, Any] = {"sampling_seconds": round(time.perf_counter() - start, 1)}
    write_pictures(sheet, x[:64])
    m = min(plan.n, len(test), len(digits))
    held_out, known = rng.permutation(len(test))[:m], rng.permutation(len(digits))[: m * min(5, len(digits) // m)]
    y, labels = scale(test.images[held_out]), torch.from_numpy(test.labels[held_out].astype(np.int64))
    out |= recognised(judge, x, None, y, labels)
    out |= feature_distances(features(judge, x[:m]), features(judge, y), features(judge, scale(digits.images[known])), rng)
    return {**out, "loss_by_t": loss_by_t(denoiser, y[:n_loss], plan.seed)}


@torch.no_grad()
def loss_by_t(denoiser: NetworkDenoiser, x_0: torch.Tensor, seed: int) -> list[dict[str, float]]:
    """Mean square error of the predicted noise, per pixel, with its standard error over digits. Schedules differ: compare at equal SNR."""
    rows = []
    for t in TIMES:
        eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(1000 * seed + t))
        losses = simple_loss(denoiser, x_0, t, eps) / x_0[0].numel()
        snr = float(denoiser.schedule.half_log_snr(t))
        rows.append({"t": t, "half_log_snr": snr, "loss": losses.mean().item(), "error": losses.std().item() / len(losses) ** 0.5})
    return rows


def results_of(runs: dict[str, Run], args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Contestant by contestant, sampler by sampler."""
    judge, real = load_classifier(), (mnist("train", args.data), mnist("test", args.data))
    for name, run in runs.items():
        denoiser = run.contestant.denoiser()
        did = {"seconds": round(run.spent, 2), "cpu_seconds": round(run.cpu, 2), "steps": run.steps}
        did["digits"] = run.steps * run.contestant.batch
        for text in args.samplers:
            sampler, steps = text.split(":")
            plan = Plan(n=args.n, sampler=sampler, steps=int(steps), seed=args.seed)
            words = re.findall(r"\w+", f"{name} {run.budget:g}s {sampler}{steps}")
            sheet = args.out / f"{'-'.join(words)}.png"
            numbers = judged(denoiser, judge, real, plan, sheet, args.n_loss)
            about = {"contestant": name, "budget": run.budget, "sampler": text, "parameters": count_parameters(denoiser.network)}
            yield about | did | {"train_loss": round(run.loss, 5)} | numbers


def quality_table(rows: list[dict[str, Any]]) -> str:
    """One line a contestant, budget and sampler."""
    head = ["budget, s", "contestant", "sampler", "steps", "digits seen"]
    head += ["Frechet distance", "95 %", "floor", "precision", "recall", "share above 0.9", "loss at t = 100"]
    body = []
    for r in sorted(rows, key=lambda r: (r["budget"], r["sampler"])):
        f, loss = r["frechet"], next(row["loss"] for row in r["loss_by_t"] if row["t"] == 100)
        low, high = f["interval_95"]
        did = [f"{r['budget']:g}", r["contestant"], r["sampler"], r["steps"], f"{r['digits']:,}"]
        shares = [f"{r[name]['value']:.2f}" for name in ("precision", "recall", "clear")]
        body.append([*did, f"{f['value']:.3g}", f"{low:.3g} to {high:.3g}", f"{f['floor']:.3g}", *shares, f"{loss:.4f}"])
    return table(head, body)


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Left: Frechet distance against seconds, its interval as bars. Right: loss against the signal-to-noise ratio, longest budget."""
    fig = Figure(figsize=(11, 4.2), layout="tight")
    left, right = fig.subplots(1, 2)
    sampler, longest = rows[0]["sampler"], max(r["budget"] for r in rows)
    for name in dict.fromkeys(r["contestant"] for r in rows):
        mine = sorted((r for r in rows if r["contestant"] == name and r["sampler"] == sampler), key=lambda r: r["seconds"])
        value = np.array([r["frechet"]["value"] for r in mine])
        bars = np.abs(np.array([r["frechet"]["interval_95"] for r in mine]).T - value)
        left.errorbar([r["seconds"] for r in mine], value, bars, marker="o", capsize=3, label=name)
        last = mine[-1]["loss_by_t"]
        if mine[-1]["budget"] == longest:
            right.plot([p["half_log_snr"] for p in last], [p["loss"] for p in last], marker="o", label=name)
    left.axhline(np.mean([r["frechet"]["floor"] for r in rows]), color="grey", ls=":", label="real against real")
    left.set(xscale="log", yscale="log", xlabel="seconds of training", ylabel=f"Frechet distance (judge's features), {sampler}")
    # told v, a network knows eps where the signal has gone: off the scale there
    right.set(yscale="log", ylim=(5e-3, 2), xlabel="half log SNR", ylabel="loss per pixel, test digits", title=f"after {longest:g} s")
    budgets = sorted({r["budget"] for r in rows})
    left.set_xticks(budgets, [f"{b:g}" for b in budgets])
    left.xaxis.set_minor_formatter(NullFormatter())
    left.legend(fontsize=8)
    fig.savefig(path, dpi=150)


def parsed() -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--budgets", type=float, nargs="+", default=[60, 300, 900], help="training seconds of each contestant")
    p.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME", help=", ".join(CONTESTANTS))
    p.add_argument("--recipe", default="mnist-quick", help="minidiff's recipe")
    p.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe, such as train.lr=2e-3")
    p.add_argument("--n", type=int, default=1000, help="samples judged")
    p.add_argument("--n-loss", type=int, default=256, help="test digits of the loss")
    p.add_argument("--samplers", nargs="+", default=["ddim:50"], metavar="NAME:CALLS", help="ddim:50 ddpm:250")
    p.add_argument("--turn", type=float, default=15, help="seconds of a turn")
    p.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: seconds of this process alone, for a busy machine and one thread")
    p.add_argument("--data", default="full", choices=("auto", "embedded", "full"))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--out", type=Path, default=Path("out/time_to_quality"))
    args = p.parse_args()
    if args.only != ["minidiff"] and find_spec("diffusers") is None:
        p.error("the other contestants need diffusers: pip install 'minidiff[bench]', or --only minidiff")
    return args


def main() -> None:
    args = parsed()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    args.set = [*args.set, f"train.seed={args.seed}"]
    rows: list[dict[str, Any]] = []
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
    for budget in sorted(args.budgets):
        rows += results_of(train(args.only, budget, args), args)
        publish(args.out, "results", {"settings": settings, "results": rows}, [quality_table(rows)])
        figure(rows, args.out / "frechet.png")


if __name__ == "__main__":
    main()
