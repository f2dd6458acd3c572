"""Speed where it matters, side by side in one run; ratios are what to quote.

    OMP_NUM_THREADS=1 python benchmarks/speed.py

1. Monte Carlo bound of a 1-D mixture at T = 1000 for three variances, with the exact denoiser.
2. variational_bound of 64 digits at T = 1000: seconds of the network's forward passes against everything else.
3. Training pictures per second: the shipped U-Net against one of the usual shape at 28 x 28, same parameters' scale.
"""

import time

import numpy as np
import torch

from minidiff import ExactDenoiser, GaussianMixture, Schedule, density_term, variational_bound
from minidiff.arrays import normal
from minidiff.learn import NetworkDenoiser, Training, fit
from minidiff.nn import UNet, count_parameters
from minidiff.run import pretrained


class Timed:
    """A denoiser that adds up the seconds spent in its network."""

    def __init__(self, denoiser):
        self.inner, self.schedule, self.seconds = denoiser, denoiser.schedule, 0.0
        network = denoiser.network

        def timed(*args):
            start = time.perf_counter()
            out = network(*args)
            self.seconds += time.perf_counter() - start
            return out

        self.inner = NetworkDenoiser.__new__(NetworkDenoiser)
        for name, value in (("network", timed), ("schedule", denoiser.schedule), ("kind", denoiser.kind)):
            object.__setattr__(self.inner, name, value)

    def __call__(self, x_t, t, cond=None):
        return self.inner(x_t, t, cond)


def mixture_bound():
    schedule = Schedule.linear()
    mixture = GaussianMixture([0.4, 0.6], [[-1.0], [0.8]], [0.04, 0.09])
    rng = np.random.default_rng(0)
    x_0 = mixture.sample(2000, rng)
    start = time.perf_counter()
    for variance in ("small", "large", schedule.beta):
        variational_bound(ExactDenoiser(mixture, schedule), x_0, normal(rng), variance=variance, decoder=density_term)
    print(f"bound of a 1-D mixture, T = 1000, three variances, 2000 points: {time.perf_counter() - start:.1f} s")


def digit_bound(n=64, T=1000):
    denoiser = Timed(pretrained("mnist-ddpm"))
    x = (torch.randint(0, 256, (n, 1, 28, 28)).float()) / 127.5 - 1
    start = time.perf_counter()
    variational_bound(denoiser, x, normal(torch.Generator().manual_seed(0)), times=denoiser.schedule.times(T))
    total = time.perf_counter() - start
    share = 1 - denoiser.seconds / total
    print(f"bound of {n} digits, {T} steps: {total:.1f} s, network {denoiser.seconds:.1f} s, bookkeeping {100 * share:.1f} %")


def training_speed(steps=12):
    shapes = {
        "shipped: folded 2 x 2, 48-96": dict(channels=(48, 96), attention=(False, True), patch=2),
        "folded 2 x 2, 32-96": dict(channels=(32, 96), attention=(False, True), patch=2),
        "usual: full resolution, 32-64-64": dict(channels=(32, 64, 64), attention=(False, False, True), patch=1),
    }
    for name, shape in shapes.items():
        torch.manual_seed(0)
        network = UNet(**shape).to(memory_format=torch.channels_last)
        x = torch.randn(64, 1, 28, 28)
        run = Training(NetworkDenoiser(network, Schedule.linear()), steps=steps)
        loop = fit(run, lambda rng, x=x: (x, None))
        next(loop)
        start = time.perf_counter()
        for _ in loop:
            pass
        print(f"{name}: {count_parameters(network):,} parameters, {64 * (steps - 1) / (time.perf_counter() - start):.0f} pictures/s")


if __name__ == "__main__":
    torch.set_num_threads(1)
    mixture_bound()
    digit_bound()
    training_speed()
