"""Five families of generative models at equal parameters and equal CPU seconds: likelihood, distances, modes, speed, over several seeds.

    python benchmarks/families.py
    python benchmarks/families.py --sets line ring & python benchmarks/families.py --sets moons swirl; wait     (on two cores)
    python benchmarks/families.py --sets mnist14 --seconds 120 --seeds 3 --n 1000 --judged 500

The digits are the full MNIST where it is at hand (`minidiff data fetch mnist`), otherwise the embedded ones: other numbers.
Each data set, contestant and seed is a training of its own and one file in the output folder: what is there is not done again, so that a
run may be stopped and taken up, or shared among processes (--sets, --only). Seconds are those of this process's CPU, on one thread, inside
the training steps. After every data set the tables and the figure are written anew from all that there are.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from measure import kept, machine, publish, table, write
from torch import Tensor
from tqdm import tqdm

from minidiff.metrics import Measured, frechet_distance, mmd, sliced_wasserstein
from minidiff.neighbours import modes_met, precision_recall
from minidiff.nn.perceptron import free_parameters
from minidiff.notebook.family_widgets import panel
from minidiff.run import load_classifier
from minidiff.run.families import FAMILIES, Contestant, contestant
from minidiff.run.worlds import WORLDS, World, world

SHOWN = 400  # samples kept for the eye
BETTER = {"nats": -1, "frechet": -1, "sliced_wasserstein": -1, "mmd": -1, "recall": 1, "precision": 1}


def shown(x: Tensor) -> list[list[float]]:
    """Points or digits for the eye, to three decimals."""
    rounded: list[list[float]] = x[: SHOWN if x.shape[1] < 10 else 20].double().numpy().round(3).tolist()
    return rounded


def plain(m: Measured) -> dict[str, Any]:
    """A measured number for JSON."""
    return {"value": m.value, "interval_95": [m.low, m.high], "floor": m.floor, "n": m.n}


def trained(data: World, name: str, seed: int, args: argparse.Namespace) -> Contestant:
    """A contestant after its seconds; one that is thrown away first pays for torch's preparations."""
    list(contestant(name, data, steps=2, batch=args.batch).steps())
    it = contestant(name, data, seconds=args.seconds, seed=seed, batch=args.batch)
    with tqdm(total=round(args.seconds, 1), desc=f"{data.name} {name} {seed}", unit="s", disable=None, leave=False) as bar:
        for step in it.steps():
            bar.update(round(it.training.seconds - bar.n, 3))
            bar.set_postfix(step=step.step, loss=f"{step.loss:.3f}", refresh=False)
    return it


def likelihoods(it: Contestant, n: int, rng: torch.Generator) -> dict[str, Any]:
    """Nats a dimension (8-bit data: bits) on n test examples, with the standard error over examples, and what is above the entropy."""
    data = it.data
    unit = data.dims * (np.log(2) if data.eight_bit else 1.0)
    best = None if data.entropy is None else data.entropy / unit
    found = {}
    for name, values in it.nats(data.test[:n], rng).items():
        each = values.double().numpy() / unit
        found[name] = {"value": float(each.mean()), "error": float(each.std() / len(each) ** 0.5), "n": len(each), "entropy": best}
    return found


def distances(data: World, x: Tensor, rng: np.random.Generator) -> dict[str, Any]:
    """Of samples from test examples: points as they are, digits in the features of the shipped classifier, at twice their size."""
    if data.name != "mnist14":
        y, real = data.test[: len(x)], data.test[len(x) :]
        real = real[: len(real) // len(x) * len(x)]
        near = [sliced_wasserstein(x, y, real, rng), mmd(x[:1000], y[:1000], real[: len(real) // 1000 * 1000], rng, width=0.1)]
        found = dict(zip(("sliced_wasserstein", "mmd"), map(plain, near), strict=True))
    else:
        judge = load_classifier()
        x, y, real = (judge.features(F.interpolate(a.reshape(-1, 1, 14, 14), scale_factor=2)).detach() for a in _digits(data, len(x), x))
        found = {"frechet": plain(frechet_distance(x, y, real, rng))}
        counts = judge.last(x).argmax(1).bincount(minlength=10)
        found["modes"] = {"met": int((counts >= max(1, len(x) / 100)).sum()), "of": 10, "counts": counts.tolist()}
    if data.centres is not None:
        modes = modes_met(x, data.centres, data.radius, modes_met(data.test, data.centres, data.radius).near.value)
        found["modes"] = {"met": modes.met(), "of": len(data.centres), "counts": modes.counts.tolist(), "near": plain(modes.near)}
    both = precision_recall(x, y, real)
    return found | {"precision": plain(both.precision), "recall": plain(both.recall)}


def _digits(data: World, n: int, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Samples, test digits and training digits for the floor; the last are the nearest thing to further test digits that there is."""
    n = min(n, len(data.test))
    return x[:n], data.test[:n], data.train[: min(4, len(data.train) // n) * n]


@torch.no_grad()
def cell(set_name: str, name: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of one contestant on one data set with one seed."""
    data, start = world(set_name), time.process_time()
    with torch.enable_grad():
        it = trained(data, name, seed, args)
    rng = torch.Generator().manual_seed(1000 + seed)
    begun = time.process_time()
    x = it.sample(args.n, rng)
    speed = (time.process_time() - begun) * 1000 / args.n
    did = {"steps": it.training.step, "seconds": it.training.seconds, "parameters": free_parameters(it.training.network)}
    about = {"data": set_name, "family": name, "seed": seed, "budget": args.seconds} | did | {"seconds_per_1000": speed}
    found = {"likelihood": likelihoods(it, args.judged, rng)} | distances(data, x, np.random.default_rng(seed))
    return about | found | {"samples": shown(x) if seed == 0 else None, "cpu_seconds": time.process_time() - start, "machine": machine()}


def rows(args: argparse.Namespace) -> Iterator[list[dict[str, Any]]]:
    """Every data set, contestant and seed, from its file if it is there; a list for each data set."""
    for set_name in args.sets:
        for seed in range(args.seeds):
            for name in args.only:
                kept(args.out / f"{set_name}-{name}-{seed}.json", cell, set_name, name, seed, args)
        yield [json.loads(p.read_text()) for p in sorted(args.out.glob("*-*-[0-9]*.json"))]


def judged_by(row: dict[str, Any], what: str) -> float | None:
    """One number of a row by its name; "nats" is the last of its likelihoods."""
    if what == "nats":
        last = list(row["likelihood"].values())[-1:]
        return last[0]["value"] if last else None
    return row[what]["value"] if what in row else None


def spread(mine: list[dict[str, Any]], what: str) -> list[float] | None:
    """Mean, least and largest over seeds."""
    values = [v for v in (judged_by(r, what) for r in mine) if v is not None]
    return [float(np.mean(values)), min(values), max(values)] if values else None


def firsts(found: list[dict[str, Any]], what: str) -> str:
    """Who is best, and in how many seeds: a ranking that changes with the seed is no ranking."""
    orders: dict[int, list[str]] = {}
    for seed in sorted({r["seed"] for r in found}):
        scored = [(BETTER[what] * v, r["family"]) for r in found if r["seed"] == seed and (v := judged_by(r, what)) is not None]
        orders[seed] = [name for _, name in sorted(scored, reverse=True)]
    most = max(map(len, orders.values()))
    whole = [order for order in orders.values() if len(order) == most]  # a seed that is still being worked on ranks nobody
    if most == 0:
        return "nobody is measured"
    won = {name: sum(order[0] == name for order in whole) for name in whole[0]}
    best = max(won, key=lambda name: won[name])
    return f"{best} first in {won[best]} of {len(whole)} seeds, the whole order that of the first seed in {whole.count(whole[0])}"


def grouped(found: list[dict[str, Any]], set_name: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of one data set by contestant, in the order of FAMILIES."""
    return {f: mine for f in FAMILIES if (mine := [r for r in found if r["data"] == set_name and r["family"] == f])}


def told(three: list[float] | None, digits: int = 3) -> str:
    """A mean with its range over seeds."""
    return "-" if three is None else f"{three[0]:.{digits}f} ({three[1]:.{digits}f} to {three[2]:.{digits}f})"


def section(found: list[dict[str, Any]], set_name: str) -> str:
    """The table of one data set: means over seeds, with the least and the largest."""
    groups = grouped(found, set_name)
    some = [r for mine in groups.values() for r in mine]
    far = "frechet" if "frechet" in some[0] else "sliced_wasserstein"
    bits = world(set_name).eight_bit
    head = ["family", "parameters", "steps", f"-log p, {'bits' if bits else 'nats'}/dim", "is", far.replace("_", " "), "MMD x 1000"]
    head += ["modes met", "precision", "recall", "CPU s for 1,000"]
    body: list[list[object]] = []
    for family, mine in groups.items():
        like = list(mine[0]["likelihood"])[-1:]
        modes = " ".join(str(r["modes"]["met"]) for r in mine) + f" of {mine[0]['modes']['of']}" if "modes" in mine[0] else "-"
        line = [family, f"{mine[0]['parameters']:,}", f"{np.median([r['steps'] for r in mine]):.0f}", told(spread(mine, "nats"))]
        line += [like[0] if like else "none", told(spread(mine, far))]
        square = spread(mine, "mmd")
        line += [told([1000 * v for v in square], 2) if square else "-", modes]
        line += [told(spread(mine, "precision"), 2), told(spread(mine, "recall"), 2)]
        body.append([*line, f"{np.median([r['seconds_per_1000'] for r in mine]):.3f}"])
    best = next((v["entropy"] for r in some for v in r["likelihood"].values()), None)
    known = f"Least possible -log p: {best:.3f}. " if best is not None else ""
    floors = ", ".join(f"{k.replace('_', ' ')} {some[0][k]['floor']:.4g}" for k in (far, "mmd", "precision", "recall") if k in some[0])
    reached = f"{known}Real points in place of samples: {floors}."
    ranks = f"By -log p {firsts(some, 'nats')}; by {far.replace('_', ' ')} {firsts(some, far)}."
    seeds, n = len({r["seed"] for r in some}), some[0]["precision"]["n"]
    title = f"{set_name}: {some[0]['budget']:g} CPU s each, {seeds} seeds (mean, least to largest), n = {n}"
    return "\n\n".join([table(head, body, title), reached, ranks])


def record(found: list[dict[str, Any]], path: Path) -> None:
    """The numbers that the notebook and its explorer read, small enough to ship."""
    sets, lines = {}, []
    for set_name in [s for s in WORLDS if any(r["data"] == s for r in found)]:
        data, groups = world(set_name), grouped(found, set_name)
        one = next(iter(groups.values()))[0]
        keys = [k for k in ("sliced_wasserstein", "mmd", "frechet", "precision", "recall") if k in one]
        unit = data.dims * (np.log(2) if data.eight_bit else 1.0)
        sets[set_name] = {
            "dims": data.dims, "unit": "bits/dim" if data.eight_bit else "nats/dim", "budget": one["budget"],
            "entropy": None if data.entropy is None else data.entropy / unit, "floor": {k: one[k]["floor"] for k in keys},
            "data": shown(data.test),
            "ranks": {k: firsts([r for mine in groups.values() for r in mine], k) for k in ("nats", *keys) if k in BETTER},
        }  # fmt: skip
        for family, mine in groups.items():
            like = list(mine[0]["likelihood"])[-1:]
            line = {"data": set_name, "family": family, "seeds": len(mine), "parameters": mine[0]["parameters"]}
            line |= {"steps": float(np.median([r["steps"] for r in mine])), "kind": like[0] if like else None, "nats": spread(mine, "nats")}
            line |= {k: spread(mine, k) for k in keys} | {"modes": [r["modes"]["met"] for r in mine] if "modes" in one else None}
            line |= {"seconds_per_1000": float(np.median([r["seconds_per_1000"] for r in mine]))}
            lines.append(line | {"samples": next(shown(torch.tensor(r["samples"])) for r in mine if r["samples"])})
    m = found[0]["machine"]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, json.dumps({"machine": f"{m['cpu']}, {m['threads']} thread", "sets": sets, "rows": lines}) + "\n")


def figure(found: list[dict[str, Any]], path: Path) -> None:
    """One row a data set, the data first and then each contestant's samples of seed 0."""
    sets = [s for s in WORLDS if any(r["data"] == s for r in found)]
    names = [f for f in FAMILIES if any(r["family"] == f for r in found)]
    fig = Figure(figsize=(1.8 * (1 + len(names)), 1.9 * len(sets)), layout="constrained")
    for line, set_name in zip(fig.subplots(len(sets), 1 + len(names), squeeze=False), sets, strict=True):
        data = world(set_name)
        mine = {r["family"]: r["samples"] for r in found if r["data"] == set_name and r["samples"] is not None}
        for axes, (name, x) in zip(line, {"data": shown(data.test), **{n: mine.get(n) for n in names}}.items(), strict=True):
            panel(axes, None if x is None else np.asarray(x), name if set_name == sets[0] else "")
        line[0].set_ylabel(set_name)
    fig.savefig(path, dpi=130)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--sets", nargs="+", choices=WORLDS, default=["line", "ring", "moons", "swirl"], metavar="SET", help=", ".join(WORLDS))
    p.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="FAMILY", help=", ".join(FAMILIES))
    p.add_argument("--seconds", type=float, default=12.0, help="CPU seconds of training, for each")
    p.add_argument("--seeds", type=int, default=5)
    p.add_argument("--batch", type=int, default=256)
    p.add_argument("--n", type=int, default=2000, help="samples judged")
    p.add_argument("--judged", type=int, default=1000, help="test examples whose likelihood is measured")
    p.add_argument("--record", type=Path, metavar="FILE", help="also write what the notebook reads, data/measured/families.json")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path("out/families"))
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    for found in rows(args):
        sets = [s for s in WORLDS if any(r["data"] == s for r in found)]
        publish(args.out, "results", {"rows": found}, [section(found, s) for s in sets])
        figure(found, args.out / "families.png")
        if args.record:
            record(found, args.record)


if __name__ == "__main__":
    main()
