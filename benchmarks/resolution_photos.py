"""Beyond the training resolution, photographs: a network that learned layouts of 32 x 32 pictures paints 64 x 64 and 96 x 96.

    python benchmarks/resolution_photos.py cifar-layout

The layout of a canvas is that of a test picture, two or three times as large. Two methods: the whole map of latents in one pass; windows of
the training size, averaged. Of each: the share of the layout that is explained; seams where windows begin; the power of coarse and fine
waves in patches of the training size, relative to samples of that size; seconds and memory of one canvas, in a process of its own. Each
canvas and method is one file in the output folder: what is there is not done again.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import alone, cost, kept, machine, publish, sampling_options, table

from minidiff import Windowed
from minidiff.learn import load, read_metadata
from minidiff.run import build, cifar10, weights_path
from minidiff.run.canvases import patch_spectrum, seams
from minidiff.run.conditions import layout
from minidiff.run.evaluate import Plan
from minidiff.run.photo_evaluation import canvas_layout, drawn_by_layout, explained
from minidiff.run.records import mean_of
from minidiff.run.space import space_of
from minidiff.run.store import scale

TIMES = (1, 2, 3)
STRIDES = {"one pass": 0, "windows, stride 4": 4, "windows, stride 2": 2}  # in latents: a window is 8 x 8


def canvases(weights: Path, asked: torch.Tensor, stride: int, plan: Plan) -> torch.Tensor:
    """One canvas for each layout, in one pass or, with a stride, by windows of 8 x 8 latents."""
    denoiser, space = load(weights, build), space_of(read_metadata(weights), weights.parent.parent)
    chunk = max(1, 6400 // (asked.shape[2] * asked.shape[3]))
    return drawn_by_layout(Windowed(denoiser, 8, stride) if stride else denoiser, asked, plan, space, chunk)


def one_canvas(weights: Path, asked: torch.Tensor, stride: int, plan: Plan) -> dict[str, float]:
    """Seconds and memory of one canvas on one thread; to be called in a process of its own."""
    torch.set_num_threads(1)
    return cost(lambda: canvases(weights, asked, stride, plan))


def cell(weights: Path, times: int, method: str, args: argparse.Namespace) -> dict[str, Any]:
    """All numbers of one canvas and method."""
    test, stride, n = cifar10("test", quiet=True), STRIDES[method], max(20, args.n // times**2)
    x = scale(test.images[np.random.default_rng(args.seed).permutation(len(test))[:n]])
    plan = Plan(n=n, sampler=args.sampler, steps=args.calls, scale=args.scale, seed=args.seed)
    asked = canvas_layout(x, times)
    y = canvases(weights, asked, stride, plan)
    found = {"size": 32 * times, "method": method, "n": n, "explained": explained(layout(y), asked), "power": patch_spectrum(y).tolist()}
    found["cost"] = alone(one_canvas, weights, asked[:1], stride, plan)
    if times > 1:
        found["seams"] = mean_of(seams(y, [4 * s for s in Windowed(load(weights, build), 8, stride or 4).starts(8 * times)]))
    torch.save(y[:12].clone(), args.out / f"{slug(times, method)}.pt")
    return found | {"machine": machine()}


def slug(times: int, method: str) -> str:
    """A file's name for a canvas and method."""
    return f"{32 * times}-{method.replace(', ', '-').replace(' ', '-')}"


def rows_of(rows: list[dict[str, Any]]) -> str:
    """One line a canvas and method; waves relative to samples of the training size."""
    head = ["canvas", "method", "n", "layout explained", "95 %", "seams", "coarse waves", "fine waves", "CPU s a canvas", "MB"]
    usual, body = np.array(rows[0]["power"]), []
    for r in rows:
        value, (low, high) = r["explained"]["value"], r["explained"]["interval_95"]
        waves = np.array(r["power"]) / usual
        line = [f"{r['size']} x {r['size']}", r["method"], str(r["n"]), f"{value:.3f}", f"{low:.3f} to {high:.3f}"]
        line += [f"{r['seams']['value']:.2f}" if "seams" in r else "", f"{waves[:4].mean():.2f}", f"{waves[9:].mean():.2f}"]
        body.append([*line, f"{r['cost']['seconds']:.1f}", f"{r['cost']['mb']:.0f}"])
    return table(head, body, "Photographs of every size from a network of 32 x 32")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("weights", help="a .safetensors file, or the name of shipped weights that are told a layout")
    p.add_argument("--n", type=int, default=500, help="canvases of the training size; fewer of larger ones")
    sampling_options(p)
    p.add_argument("--out", type=Path, default=Path("out/resolution-photos"))
    args = p.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    weights, rows = Path(args.weights) if args.weights.endswith(".safetensors") else weights_path(args.weights), []
    for times in TIMES:
        for method in STRIDES:
            if times > 1 or not STRIDES[method]:
                rows.append(kept(args.out / f"{slug(times, method)}.json", cell, weights, times, method, args))
    publish(args.out, "results", {"settings": {k: str(v) for k, v in vars(args).items()}, "results": rows}, [rows_of(rows)])


if __name__ == "__main__":
    main()
