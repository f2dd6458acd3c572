"""Measure the shipped MNIST weights and write the results into their metadata.

    python benchmarks/mnist_quality.py WEIGHTS [--n 1000] [--bound 64] [--picture FILE]

Samples: n unconditional digits by DDPM (250 of the 1000 steps) and by DDIM (50); the share to which the shipped classifier gives a
probability above 0.9, with a 95 % interval, and the count of each class. Bound: bits/dim of test digits at T = 1000 for both
fixed variances, with the standard error over images. Half an hour on one core.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from minidiff import Clipped, bits_per_dim, ddim, ddpm, variational_bound
from minidiff.arrays import normal
from minidiff.learn import load, save
from minidiff.learn.checkpoint import read
from minidiff.run import build, load_classifier, mnist, pictures, scale

STEPS = {"ddpm": 250, "ddim": 50}


def samples(denoiser, n, sampler, chunk=100):
    """n digits in [-1, 1], chunk by chunk; chunk i has seed i, so any n gives the same first digits."""
    parts = []
    for i in range(0, n, chunk):
        rng = torch.Generator().manual_seed(i)
        x = torch.randn((min(chunk, n - i), 1, 28, 28), generator=rng)
        if sampler == "ddpm":
            path = ddpm(Clipped(denoiser), x, denoiser.schedule.times(STEPS[sampler]), normal(rng))
        else:
            path = ddim(Clipped(denoiser), x, denoiser.schedule.times(STEPS[sampler]))
        for step in tqdm(path, total=STEPS[sampler] + 1, desc=f"{sampler} {i}..{i + len(x)}", disable=None):
            x = step.x_t
        parts.append(x)
        print(f"{sampler}: {i + len(x)} digits", file=sys.stderr, flush=True)
    return torch.cat(parts)


def judged(x, judge):
    """Share of digits above 0.9 with its 95 % (Wilson) interval, and the class counts."""
    p = torch.cat([torch.softmax(judge(part), 1) for part in x.split(500)])
    n, share = len(x), (p.amax(1) > 0.9).float().mean().item()
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    interval = [round(middle - half, 4), round(middle + half, 4)]
    counts = torch.bincount(p.argmax(1), minlength=10).tolist()
    return {"n": n, "share_above_0.9": round(share, 4), "interval_95": interval, "classes": counts}


class Remembered:
    """A denoiser that answers each t once; with one seed, both variances ask the same questions."""

    def __init__(self, denoiser):
        self.denoiser, self.schedule, self.answers = denoiser, denoiser.schedule, {}

    def __call__(self, x_t, t, cond=None):
        if t not in self.answers:
            self.answers[t] = (x_t, self.denoiser(x_t, t, cond))
        asked, answer = self.answers[t]
        assert torch.equal(asked, x_t), "another question than before"
        return answer


def bound(denoiser, n):
    """Bits/dim of n test digits at the full T for both fixed variances: mean, standard error, and the three parts."""
    x = scale(mnist("test").images[:n])
    denoiser, out = Remembered(denoiser), {}
    for variance in ("small", "large"):
        b = variational_bound(denoiser, x, normal(torch.Generator().manual_seed(0)), variance=variance)
        parts = {"prior": b.prior, "steps": b.steps.sum(0), "decoder": b.decoder, "total": b.total}
        bits = {k: bits_per_dim(v, 784) for k, v in parts.items()}
        error = bits["total"].std().item() / n**0.5
        out[variance] = {k: round(v.mean().item(), 5) for k, v in bits.items()} | {"standard_error": round(error, 4), "n": n}
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weights", type=Path)
    p.add_argument("--n", type=int, default=1000)
    p.add_argument("--bound", type=int, default=64)
    p.add_argument("--samplers", default="ddim,ddpm")
    p.add_argument("--picture", type=Path)
    args = p.parse_args()
    denoiser, judge, results = load(args.weights, build), load_classifier(), {}
    for sampler in args.samplers.split(","):
        start = time.monotonic()
        x = samples(denoiser, args.n, sampler)
        results[sampler] = judged(x, judge) | {"steps": STEPS[sampler], "seconds": round(time.monotonic() - start)}
        print(sampler, results[sampler], flush=True)
        if args.picture:
            pictures.write(args.picture.with_stem(f"{args.picture.stem}_{sampler}"), x[:100])
    if args.bound:
        results["bits_per_dim"] = bound(denoiser, args.bound)
        print(results["bits_per_dim"], flush=True)
    metadata = read(args.weights)[1]
    save(args.weights, denoiser.network, {**metadata, "results": metadata.get("results", {}) | results})


if __name__ == "__main__":
    main()
