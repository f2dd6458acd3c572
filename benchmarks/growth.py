"""How cost grows: training and sampling with batch and resolution, the bound with the number of its terms.

    OMP_NUM_THREADS=1 python benchmarks/growth.py

Writes growth.json and .md. The network folds the picture 2 x 2 and halves it once, so its sizes are multiples of 4: 16, not 14.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import Timing, in_turns, publish, table
from throughput import operations, recipe_network, training_step
from torch import Tensor, nn

from minidiff import ExactDenoiser, GaussianMixture, Schedule, density_term, variational_bound
from minidiff.arrays import normal
from minidiff.estimate import stratified_bound
from minidiff.learn import NetworkDenoiser
from minidiff.run import mnist, pretrained, scale


def sampling_step(network: nn.Module, batch: int, size: int) -> Callable[[], object]:
    """One call of the network without gradients: what a step of any sampler costs, its arithmetic aside."""
    x, t = torch.randn(batch, 1, size, size), torch.full((batch,), 500)

    def step() -> Tensor:
        with torch.no_grad():
            return network(x, t)

    return step


def grid(args: argparse.Namespace) -> tuple[str, dict]:
    """Pictures a second for each size and batch; all sizes of one batch take turns."""
    network = recipe_network(args.recipe)
    head = ["batch", *(f"{what} {s} x {s}" for what in ("training", "sampling") for s in args.sizes)]
    rows, found = [], {}
    flop = {s: operations(training_step(network, 2, s)) / 2 for s in args.sizes}
    for batch in args.batches:
        cases = {f"training {s}": training_step(recipe_network(args.recipe), batch, s) for s in args.sizes}
        cases |= {f"sampling {s}": sampling_step(network, batch, s) for s in args.sizes}
        timings = in_turns(cases, args.rounds, warm_up=1)
        rows.append([batch, *(f"{batch / t.median:.0f} (± {50 * t.spread:.0f} %)" for t in timings.values())])
        found[batch] = {name: t.wall for name, t in timings.items()}
    each = "; ".join(f"{s} x {s}: {flop[s] / 1e6:.0f}" for s in args.sizes)
    title = f"Pictures a second (± half the distance of the quartiles), {args.rounds} repetitions"
    return table(head, rows, title) + f"\n\nMFLOP of training a picture: {each}.", {"seconds": found, "flop": flop}


class Counted:
    """The network of a denoiser, its calls counted and timed: the rest of a bound is bookkeeping."""

    def __init__(self, network: nn.Module) -> None:
        self.network, self.calls, self.timing = network, 0, Timing()

    def __call__(self, *args: Tensor) -> Tensor:
        self.calls += 1
        out: list[Tensor] = []
        self.timing.time(lambda: out.append(self.network(*args)))
        return out[0]


def bounds(args: argparse.Namespace) -> tuple[str, dict]:
    """Seconds a digit of the bound of shipped weights, every term or one of each stratum, from the same digits."""
    weights, test = pretrained(args.weights), mnist("test", args.data)
    x_0 = scale(test.images[np.random.default_rng(0).permutation(len(test))[: args.digits]])
    times = None if args.terms is None else weights.schedule.times(args.terms)
    ways = {"every term": lambda d: variational_bound(d, x_0, draw(), times=times).total}
    for strata in args.strata:
        ways[f"{strata} strata"] = lambda d, s=strata: stratified_bound(d, x_0, draw(), np.random.default_rng(0), strata=s).total
    rows, found = [], {}
    for name, way in ways.items():
        counted, timing = Counted(weights.network), Timing()
        timing.time(lambda w=way, c=counted: w(NetworkDenoiser(c, weights.schedule, weights.kind)))
        took, inside = timing.median, sum(counted.timing.wall)
        found[name] = {"calls": counted.calls, "seconds": took, "network_seconds": inside}
        rows.append([name, counted.calls, f"{took / args.digits:.3g}", f"{100 * (1 - inside / took):.1f} %"])
    head = ["bound", "network calls", "seconds a digit", "outside the network"]
    return table(head, rows, f"The bound, {args.digits} digits at once"), found


def draw() -> Callable[[Tensor], Tensor]:
    """The same noise for every way."""
    return normal(torch.Generator().manual_seed(0))


def mixture_bound(n: int) -> tuple[str, dict]:
    """The bound where the denoiser costs next to nothing: a mixture in one dimension, the exact denoiser, T = 1000, three variances."""
    schedule, rng = Schedule.linear(), np.random.default_rng(0)
    mixture = GaussianMixture([0.4, 0.6], [[-1.0], [0.8]], [0.04, 0.09])
    x_0, start = mixture.sample(n, rng), time.perf_counter()
    for variance in ("small", "large", schedule.beta):
        variational_bound(ExactDenoiser(mixture, schedule), x_0, normal(rng), variance=variance, decoder=density_term)
    took = time.perf_counter() - start
    return f"Bound of a 1-D mixture, exact denoiser, T = 1000, three variances, {n:,} points: {took:.1f} s.", {"seconds": took}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--recipe", default="mnist-ddpm")
    p.add_argument("--weights", default="mnist-ddpm", help="shipped weights of the bound")
    p.add_argument("--batches", type=int, nargs="+", default=[16, 32, 64, 128, 256])
    p.add_argument("--sizes", type=int, nargs="+", default=[16, 28, 56])
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--digits", type=int, default=32, help="digits of the bound")
    p.add_argument("--terms", type=int, help="terms of the full bound (default: all T)")
    p.add_argument("--strata", type=int, nargs="+", default=[8, 16, 32])
    p.add_argument("--points", type=int, default=2000, help="points of the mixture's bound")
    p.add_argument("--data", default="auto", choices=("auto", "embedded", "full"))
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path("out/growth"))
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    sections, results = [], {}
    for name, part in (("mixture", lambda: mixture_bound(args.points)), ("bounds", lambda: bounds(args)), ("grid", lambda: grid(args))):
        text, results[name] = part()
        sections.append(text)
        publish(args.out, "growth", results, sections)


if __name__ == "__main__":
    main()
