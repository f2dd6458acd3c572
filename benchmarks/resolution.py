"""Beyond the training resolution: a network that learned 32 x 32 windows paints larger canvases from maps. What breaks?

    python benchmarks/resolution.py scenes-map

For each canvas and method (the whole canvas in one pass; overlapping windows, averaged) a number of maps of held-out crowds is painted and
judged: agreement with the map by pixels and in boxes, digits right, beside real scenes of the same size; seams, drift of the ground, the
power of fine waves relative to real scenes; seconds and memory of one canvas, in a process of its own. Every canvas and method is one file
in the output folder: what is there is not done again.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from measure import alone, cost, kept, machine, publish, sampling_options, table

from minidiff import Windowed
from minidiff.learn import load, read_metadata
from minidiff.nn.scene_judge import SceneJudge
from minidiff.run import build, load_scene_judge, weights_path
from minidiff.run.canvases import ground_drift, patch_spectrum, seams
from minidiff.run.evaluate import Plan
from minidiff.run.records import mean_of
from minidiff.run.scene_conditions import map_of, pictures
from minidiff.run.scene_evaluation import agreement, drawn, held_out
from minidiff.run.scenes import Scene
from minidiff.run.space import space_of

SIZES = ((32, 32), (32, 128), (64, 128), (128, 128), (128, 256))
STRIDES = {"one pass": 0, "windows, stride 24": 24, "windows, stride 16": 16}


def canvases(weights: Path, some: list[Scene], stride: int, plan: Plan) -> torch.Tensor:
    """One canvas for each map, in one pass or, with a stride, by windows of 32 x 32 pixels, 8 x 8 latents."""
    H, W = some[0].map.shape
    denoiser, space = load(weights, build), space_of(read_metadata(weights), weights.parent.parent)
    painter = Windowed(denoiser, 8, stride // 4) if stride else denoiser
    return drawn(painter, space, map_of(some), (H, W), plan, chunk=max(1, 32768 // (H * W)))


def one_canvas(weights: Path, size: tuple[int, int], stride: int, plan: Plan) -> dict[str, float]:
    """Seconds and memory of one canvas on one thread; to be called in a process of its own."""
    torch.set_num_threads(1)
    some = held_out(1, "crowd", plan.seed, size)
    return cost(lambda: canvases(weights, some, stride, plan))


def cell(weights: Path, judge: SceneJudge, size: tuple[int, int], method: str, args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of one canvas and method."""
    stride = STRIDES[method]
    n = max(20, min(args.n, args.n * 32768 // (8 * size[0] * size[1])))
    plan = Plan(n=n, sampler=args.sampler, steps=args.calls, scale=args.scale, seed=args.seed)
    some = held_out(n, "crowd", args.seed, size)
    x, real = canvases(weights, some, stride, plan), pictures(some)
    labels = torch.from_numpy(np.stack([s.map for s in some]).astype(np.int64))
    found = {"drawn": agreement(judge, x, some), "real": agreement(judge, real, some)}
    found |= {"size": list(size), "method": method, "n": n, "cost": alone(one_canvas, weights, size, stride, plan)}
    power = patch_spectrum(x) / patch_spectrum(real)
    found["waves"] = {"coarse": float(power[:4].mean()), "fine": float(power[9:].mean())}
    if size != (32, 32):
        found["drift"] = {"drawn": mean_of(ground_drift(x, labels)), "real": mean_of(ground_drift(real, labels))}
        starts = Windowed(load(weights, build), 32, stride or 16).starts(size[1])
        found["seams"] = {"drawn": mean_of(seams(x, starts)), "real": mean_of(seams(real, starts))}
    torch.save(x[:4].clone(), args.out / f"{slug(size, method)}.pt")
    return found | {"machine": machine()}


def slug(size: tuple[int, int], method: str) -> str:
    """A file's name for a canvas and method."""
    return f"{size[0]}x{size[1]}-{method.replace(', ', '-').replace(' ', '-')}"


def rows_of(rows: list[dict[str, Any]]) -> str:
    """One line a canvas and method."""
    head = ["canvas", "method", "n", "pixels as in the map", "real", "in boxes", "real", "digits right", "95 %", "real"]
    head += ["seams", "drift of the ground", "real", "fine waves", "CPU s a canvas", "MB"]
    body = []
    for r in rows:
        d, real = r["drawn"], r["real"]
        line = [f"{r['size'][0]} x {r['size'][1]}", r["method"], str(r["n"])]
        for key in ("pixels", "boxes"):
            line += [f"{100 * d[key]['value']:.1f} %", f"{100 * real[key]['value']:.1f} %"]
        low, high = d["digits"]["interval_95"]
        line += [f"{100 * d['digits']['value']:.1f} %", f"{100 * low:.1f} to {100 * high:.1f}", f"{100 * real['digits']['value']:.1f} %"]
        large = [""] * 3
        if "seams" in r:
            large = [f"{r['seams']['drawn']['value']:.2f}", *(f"{r['drift'][whose]['value']:.3f}" for whose in ("drawn", "real"))]
        body.append([*line, *large, f"{r['waves']['fine']:.2f}", f"{r['cost']['seconds']:.1f}", f"{r['cost']['mb']:.0f}"])
    return table(head, body, "Canvases of every size from a network of 32 x 32")


def figure(rows: list[dict[str, Any]], path: Path) -> None:
    """Agreement and digits against the area, one line a method; dashed: real scenes."""
    fig = Figure(figsize=(11, 4), layout="tight")
    both = (("boxes", "pixels in boxes read as the map says"), ("digits", "digits right"))
    for axes, (key, name) in zip(fig.subplots(1, 2), both, strict=True):
        for method in STRIDES:
            mine = [r for r in rows if r["method"] == method]
            area = [r["size"][0] * r["size"][1] / 1024 for r in mine]
            value = np.array([r["drawn"][key]["value"] for r in mine])
            spread = np.abs(np.array([r["drawn"][key]["interval_95"] for r in mine]).T - value)
            axes.errorbar(area, 100 * value, 100 * spread, marker="o", capsize=3, label=method)
        axes.plot(area, [100 * r["real"][key]["value"] for r in mine], "k--", label="real scenes")
        axes.set(xscale="log", xlabel="area, in training canvases", ylabel=f"{name}, %")
        axes.set_xticks(area, [f"{a:g}" for a in area])
        axes.minorticks_off()
        axes.legend(fontsize=8)
    fig.savefig(path, dpi=150)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("weights", help="a .safetensors file, or the name of shipped weights that are told a map")
    p.add_argument("--n", type=int, default=200, help="canvases of the training size; fewer of larger ones")
    sampling_options(p)
    p.add_argument("--out", type=Path, default=Path("out/resolution"))
    args = p.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    path = Path(args.weights) if args.weights.endswith(".safetensors") else weights_path(args.weights)
    judge, rows = load_scene_judge(), []
    for size in SIZES:
        for method in STRIDES:
            if size != (32, 32) or not STRIDES[method]:
                rows.append(kept(args.out / f"{slug(size, method)}.json", cell, path, judge, size, method, args))
    one = next(r for r in rows if r["size"] == [32, 32])  # at the training size a window is the whole canvas
    rows += [{**one, "method": method} for method in STRIDES if STRIDES[method]]
    rows.sort(key=lambda r: (r["size"][0] * r["size"][1], r["method"] != "one pass"))
    publish(args.out, "results", {"settings": {k: str(v) for k, v in vars(args).items()}, "results": rows}, [rows_of(rows)])
    figure(rows, args.out / "agreement.png")


if __name__ == "__main__":
    main()
