"""The corpus of the doctor: sick models with one seeded defect each, and healthy ones that look unusual but are right.

Each sick model is the exact denoiser of a Gaussian mixture, or a sampler around it, with one mistake from the course's list of typical
mistakes or from public teaching code. Samplers are written as a student writes them, from rows of betas and their products, so that
they share no line with what judges them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from minidiff import ExactDenoiser, GaussianMixture, Schedule, ddim, ddpm, dpm_solver, heun, last, target
from minidiff.arrays import normal
from minidiff.doctor import Averaged, Guidance, Patient
from minidiff.toy import ring, swirl

LINE = GaussianMixture([0.3, 0.7], [[-0.8], [0.6]], [0.01, 0.04])
DATA = {"line": LINE, "ring": ring(), "swirl": swirl(20, std=0.06)}
SCHEDULES = {
    "cosine 50": Schedule.cosine(50), "linear 1000": Schedule.linear(1000), "cosine 200": Schedule.cosine(200),
    "linear 200": Schedule.linear(200, 5e-4, 0.1), "cosine 1000": Schedule.cosine(1000), "linear 50": Schedule.linear(50, 2e-3, 0.4),
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A law of data and a schedule; the exact network in any dress."""

    law: GaussianMixture
    schedule: Schedule
    rng: np.random.Generator

    @property
    def T(self):
        return self.schedule.T

    def says(self, kind="eps", law=None, schedule=None, hears=lambda t: t, first=1, change=lambda out, t: out):
        """The ideal network's output of this kind, given t in the author's numbering, with what it `hears` in place of it."""
        exact = ExactDenoiser(law or self.law, schedule or self.schedule)

        def call(x, t):
            t = int(np.ravel(t)[0]) + 1 - first
            told = min(max(int(hears(t)), 1), self.T)
            pred = exact(x, told)
            return change(target(kind, pred.x_0, pred.eps, *exact.schedule.scales(told)), t)

        return call

    def patient(self, call=None, output="eps", **claims):
        return Patient(call or self.says(output), claims.pop("schedule", self.schedule), output, **claims)


@dataclass
class Now:
    """What a student's loop has at hand at a step: the arrays by their usual names."""

    t: int
    s: int
    x: np.ndarray
    eps: np.ndarray
    x_0: np.ndarray
    betas: np.ndarray  # with an unused entry 0, as have the two below
    alphas: np.ndarray
    bars: np.ndarray

    @property
    def beta(self):
        return self.betas[self.t]

    @property
    def alpha(self):
        return self.alphas[self.t]

    @property
    def bar(self):
        return self.bars[self.t]

    @property
    def prev(self):
        return self.bars[self.s]

    @property
    def tilde(self):
        return self.beta * (1 - self.bars[self.t - 1]) / (1 - self.bar)


def mu(n):
    return (n.x - n.beta / np.sqrt(1 - n.bar) * n.eps) / np.sqrt(n.alpha)


def tilde(n):
    return np.sqrt(n.tilde)


def along(n):
    return np.sqrt(n.prev) * n.x_0 + np.sqrt(1 - n.prev) * n.eps


def nothing(n):
    return 0.0


def student(w, mean=mu, scale=tilde, noise=None, tell=lambda t: t, times=None, clip=None, at_the_end=False, stop=0, seed=5):
    """A sampler as it stands in a notebook: a loop, a mean, a scale of the noise."""
    rng = np.random.default_rng(seed)
    noise = noise or rng.standard_normal
    betas = w.schedule.beta
    alphas = 1 - betas
    bars = np.cumprod(alphas)

    def sample(call, x):
        grid = list(times or range(w.T, stop - 1, -1))
        for t, s in pairwise(grid):
            eps = call(x, np.full(len(x), tell(t)))
            x_0 = (x - np.sqrt(1 - bars[t]) * eps) / np.sqrt(bars[t])
            if clip:
                x_0 = np.clip(x_0, *clip)
                eps = (x - np.sqrt(bars[t]) * x_0) / np.sqrt(1 - bars[t])
            now = Now(t, s, x, eps, x_0, betas, alphas, bars)
            x = mean(now)
            if s > 0 or at_the_end:
                x = x + (scale(now) or 0.0) * noise(x.shape)
        return x

    return sample


@dataclass(frozen=True)
class Sick:
    """defect: the name that the doctor must say first. what: the mistake. make(world) -> Patient; scaled(x_0): the data handed in."""

    defect: str
    what: str
    make: Callable
    data: str = ""
    schedule: str = ""
    scaled: Callable = lambda x: x


def sampler(defect, what, data="", schedule="", **how):
    return Sick(defect, what, lambda w: w.patient(sampler=student(w, **how)), data, schedule)


def network(defect, what, data="", schedule="", output="eps", **how):
    return Sick(defect, what, lambda w: w.patient(w.says(**how), output), data, schedule)


def forward(defect, what, form, data="", schedule=""):
    """A forward process x_t = form(x_0, eps, abar_t, beta_t)."""

    def make(w):
        def noising(x_0, t, eps):
            t = int(t[0])
            return form(x_0, eps, w.schedule.alpha_bar[t], w.schedule.beta[t])

        return w.patient(noising=noising)

    return Sick(defect, what, make, data, schedule)


def torch_patient(w, change=lambda out: out, output="eps", **claims):
    exact = ExactDenoiser(w.law, w.schedule)

    def call(x, t):
        assert isinstance(x, torch.Tensor) and isinstance(t, torch.Tensor)
        pred = exact(x, t)
        return change(pred.eps if output == "eps" else pred.x_0)

    return Patient(call, w.schedule, output, **claims)


def tensors(x):
    return torch.from_numpy(x).float()


def guided(mix, convention="scale"):
    """Guidance between two laws: mix(conditional, unconditional, s)."""

    def make(w):
        one = GaussianMixture([1.0], w.law.means[:1], w.law.covs[:1])
        cond, free = w.says(law=one), w.says()
        return w.patient(guidance=Guidance(lambda x, t, s: mix(cond(x, t), free(x, t), s), cond, free, convention))

    return make


def averages(kind, decay, steps):
    def make(w):
        start, raw = w.rng.standard_normal(500), w.rng.standard_normal(500)
        pull = {"zero": (1 - decay**steps) * raw, "same": raw, "start": (1 - decay**steps) * raw + decay**steps * start}[kind]
        return w.patient(averaged=Averaged({"w": raw}, {"w": pull}, decay, steps, None if kind == "zero" else {"w": start}))

    return make


def with_table(table, **claims):
    return lambda w: w.patient(schedule=table(w), **claims)


def uniform(seed=3):
    return np.random.default_rng(seed).random


def centred(seed=9):
    draw = uniform(seed)
    return lambda shape: (draw(shape) - 0.5) * np.sqrt(12)


def coin(seed=2):
    rng = np.random.default_rng(seed)
    return lambda shape: rng.choice([-1.0, 1.0], shape)


def drawn(low, high, n=50_000):
    """Times low(T)..high(T) drawn in training."""
    return lambda w: w.patient(trained=w.rng.integers(low(w.T), high(w.T) + 1, n))


FIRST = [  # written together with the rungs
    # the table and what training saw
    Sick("terminal SNR", "T = 50 with the betas of T = 1000", lambda w: w.patient(w.says(), schedule=w.schedule), "ring", "short"),
    Sick("terminal SNR", "T = 250 with the betas of T = 1000", lambda w: w.patient(), "line", "shortened"),
    Sick("alpha for alpha_bar", "alphas without cumprod, indexed from 0", with_table(lambda w: 1 - w.schedule.beta[1:], first=0), "", "linear 1000"),
    Sick("table", "betas handed over for alpha_bar", with_table(lambda w: w.schedule.beta[1:], first=0), "", "linear 200"),
    Sick("table", "T entries, none for t = 0, though t is 1..T", with_table(lambda w: w.schedule.alpha_bar[1:]), "", "cosine 50"),
    Sick("table", "one beta too many", with_table(lambda w: w.schedule.alpha_bar, T=199), "", "cosine 200"),
    Sick("table", "a cosine that is not cut ends below 0", with_table(lambda w: np.r_[w.schedule.alpha_bar[:-1], -1e-17]), "", "cosine 1000"),
    Sick("coverage", "t from 1..T-1, sampling from T", drawn(lambda T: 1, lambda T: T - 1), "", "cosine 50"),
    Sick("coverage", "only the first half is trained", drawn(lambda T: 1, lambda T: T // 2)),
    Sick("coverage", "t from 0..T-1 though the table says 1..T", drawn(lambda T: 0, lambda T: T - 1)),
    # data
    Sick("data range", "pixels in 0..1 for a model of -1..1", lambda w: w.patient(data_range=(-1, 1)), "line", "", lambda x: (x.clip(-1, 1) + 1) / 2),
    Sick("data range", "pixels in 0..255", lambda w: w.patient(data_range=(-1, 1)), "ring", "", lambda x: np.round((x.clip(-1, 1) + 1) * 127.5)),
    Sick("latent scale", "latents of std 5.5", lambda w: w.patient(latent=True), "ring", "", lambda x: 5.5 / 0.57 * x),
    # the forward process
    forward("noising", "1 - abar for its root", lambda x, e, a, b: a**0.5 * x + (1 - a) * e),
    forward("noising", "x_0 is not shrunk", lambda x, e, a, b: x + (1 - a) ** 0.5 * e),
    forward("noising", "abar for its root", lambda x, e, a, b: a * x + (1 - a) ** 0.5 * e),
    forward("noising", "a single step for all t", lambda x, e, a, b: (1 - b) ** 0.5 * x + b**0.5 * e),
    forward("noise law", "uniform noise of its own", lambda x, e, a, b: a**0.5 * x + (1 - a) ** 0.5 * np.random.default_rng(0).random(x.shape)),
    # the network
    network("output kind", "says x_0, said to be eps", kind="x_0"),
    network("output kind", "says v, said to be eps", kind="v"),
    network("output kind", "says eps, said to be v", output="v"),
    network("output sign", "minus eps", change=lambda out, t: -out),
    network("output scale", "half of eps", change=lambda out, t: out / 2),
    network("index offset", "hears t - 1", hears=lambda t: t - 1, schedule="cosine 50"),
    network("index offset", "hears t + 1", hears=lambda t: t + 1, schedule="linear 50"),
    network("index offset", "hears T + 1 - t", hears=lambda t: 201 - t, schedule="cosine 200"),
    network("blind to t", "always hears the middle", hears=lambda t: 100, schedule="linear 200"),
    network("blind to t", "hears at most T / 2", hears=lambda t: min(t, 25), schedule="cosine 50"),
    network("untrained times", "says nothing above T / 2", change=lambda out, t: out if t <= 100 else 5 * np.sin(40 * out + t), schedule="linear 200"),
    # the sampler
    sampler("variance for standard deviation", "beta times z", scale=lambda n: n.beta),
    sampler("variance for standard deviation", "beta-tilde times z", scale=lambda n: n.tilde, schedule="linear 1000"),
    sampler("missing noise", "the mean only", scale=nothing),
    sampler("last-step noise", "z at t = 1 too", at_the_end=True, scale=lambda n: np.sqrt(n.beta)),
    sampler("reverse variance", "1 / (1 - abar) is missing", scale=lambda n: np.sqrt(n.beta * (1 - n.prev))),
    sampler("reverse variance", "ratio turned round", scale=lambda n: np.sqrt(n.beta * (1 - n.bar) / (1 - n.prev) if n.s else 0)),
    sampler("mean coefficients", "1 / sqrt(1 - abar) is missing", mean=lambda n: (n.x - n.beta * n.eps) / np.sqrt(n.alpha)),
    sampler("mean coefficients", "1 / sqrt(abar) for 1 / sqrt(alpha)", mean=lambda n: (n.x - n.beta / np.sqrt(1 - n.bar) * n.eps) / np.sqrt(n.bar)),
    sampler("mean coefficients", "sqrt(alpha) is missing", mean=lambda n: n.x - n.beta / np.sqrt(1 - n.bar) * n.eps),
    sampler("noise law", "uniform noise", noise=uniform()),
    sampler("sampler index", "the network is told t - 1", tell=lambda t: max(t - 1, 1), schedule="cosine 50"),
    sampler("sampler index", "the network is told t + 1 ... T + 1", tell=lambda t: t + 1, schedule="linear 200"),
    sampler("stops early", "the loop ends at t = 2", stop=1, schedule="cosine 50"),
    sampler("DDIM direction", "1 - abar for its root", mean=lambda n: np.sqrt(n.prev) * n.x_0 + (1 - n.prev) * n.eps, scale=nothing),
    sampler("stride", "a step to t - 1 though times are skipped", times=[200, 150, 100, 50, 0], schedule="linear 200"),
    sampler("sampler start", "starts at T / 2", times=list(range(100, -1, -1)), schedule="cosine 200"),
    Sick("clipping", "x_0 cut at 1, data reach to 2", lambda w: w.patient(sampler=student(w, clip=(-1, 1))), "wide"),
    # guidance and averages
    Sick("guidance convention", "1 + w where s is meant", guided(lambda c, u, s: (1 + s) * c - s * u), "line"),
    Sick("guidance sign", "the terms exchanged", guided(lambda c, u, s: c + s * (u - c)), "line"),
    Sick("average is raw", "shared memory", averages("same", 0.999, 5000), "line", "cosine 50"),
    Sick("average from zero", "no correction", averages("zero", 0.9999, 2000), "line", "cosine 50"),
    Sick("average of the start", "0.9999 on 1000 steps", averages("start", 0.9999, 1000), "line", "cosine 50"),
    # torch
    Sick("output sign", "torch: minus eps", lambda w: torch_patient(w, lambda out: -out), "ring", "cosine 50", tensors),
    Sick("output kind", "torch: says x_0", lambda w: Patient(torch_patient(w, output="x_0").call, w.schedule), "ring", "linear 200", tensors),
    Sick("output scale", "torch: twice eps", lambda w: torch_patient(w, lambda out: 2 * out), "swirl", "cosine 200", tensors),
]  # fmt: skip

def half_eta(n, eta=0.5):
    return np.sqrt(n.prev) * n.x_0 + np.sqrt(1 - n.prev - eta**2 * tilde_of_pair(n)) * n.eps


def tilde_of_pair(n):
    return (1 - n.prev) / (1 - n.bar) * (1 - n.bar / n.prev)


def torch_loop(w, scale, last_noise=False):
    """Ancestral sampling in torch. scale(beta, beta-tilde) of the noise."""

    def sample(call, x):
        beta = torch.tensor(w.schedule.beta, dtype=torch.float32)
        bar, rng = torch.cumprod(1 - beta, 0), torch.Generator().manual_seed(8)
        for t in range(w.T, 0, -1):
            eps = call(x, torch.full((len(x),), t))
            x = (x - beta[t] / (1 - bar[t]).sqrt() * eps) / (1 - beta[t]).sqrt()
            if t > 1 or last_noise:
                x = x + scale(beta[t], beta[t] * (1 - bar[t - 1]) / (1 - bar[t])) * torch.randn(x.shape, generator=rng)
        return x

    return torch_patient(w, sampler=sample)


def end_of_ddim(bar_0):
    """DDIM whose alpha_bar before the first step is bar_0(bars), not 1."""

    def mean(n):
        prev = n.prev if n.s > 0 else bar_0(n.bars)
        return np.sqrt(prev) * n.x_0 + np.sqrt(1 - prev) * n.eps

    return mean


def told_the_number(w):
    grid = [200, 160, 120, 80, 40, 0]
    return w.patient(sampler=student(w, mean=along, scale=nothing, times=grid, tell=lambda t: t // 40))


def shifted_alphas(n):
    i = max(n.t - 1, 1)
    return (n.x - n.betas[i] / np.sqrt(1 - n.bars[i]) * n.eps) / np.sqrt(n.alphas[i])


def off_by_one_tilde(n):
    return np.sqrt(n.beta * (1 - n.bar) / (1 - n.bars[min(n.t + 1, len(n.bars) - 1)]))


LATER = [  # written when the rungs were finished: what they say of these was not known then
    Sick("terminal SNR", "T = 100 with the betas of T = 1000", lambda w: w.patient(), "swirl", "hundred"),
    Sick("coverage", "logit-normal times that never reach the end", lambda w: w.patient(
        trained=np.clip(np.round(w.T / (1 + np.exp(-0.5 * w.rng.standard_normal(50_000)))), 1, w.T)), "ring", "cosine 200"),
    Sick("data range", "data in -0.5..0.5", lambda w: w.patient(data_range=(-1, 1)), "ring", "", lambda x: x.clip(-1, 1) / 2),
    Sick("data range", "standardised by mean and std", lambda w: w.patient(data_range=(-1, 1)), "line", "", lambda x: (x - x.mean()) / x.std() * 1.5),
    Sick("latent scale", "scaled twice", lambda w: w.patient(latent=True), "line", "", lambda x: 0.18 * x / x.std()),
    forward("noise law", "beta U(0, 1), one step", lambda x, e, a, b: (1 - b) ** 0.5 * x + b * np.random.default_rng(1).random(x.shape), "", "linear 50"),
    forward("noising", "covariance sqrt(1 - abar) I", lambda x, e, a, b: a**0.5 * x + (1 - a) ** 0.25 * e),
    forward("noising", "minus eps", lambda x, e, a, b: a**0.5 * x - (1 - a) ** 0.5 * e),
    network("index offset", "trained two steps apart from its use", hears=lambda t: t - 2, schedule="cosine 50"),
    network("index offset", "hears 0-based t", hears=lambda t: t - 1, schedule="linear 50", data="ring"),
    network("output scale", "score without 1 / sqrt(1 - abar)", output="score", change=lambda out, t: -out),
    network("output sign", "v = noise x_0 - signal eps", output="v", kind="v", change=lambda out, t: -out),
    network("output kind", "says eps, said to be x_0", output="x_0", schedule="cosine 1000"),
    network("output kind", "says the score, said to be v", output="v", kind="score", schedule="linear 1000"),
    network("blind to t", "t divided by T as an integer", hears=lambda t: t // 1000 + 400, schedule="cosine 1000"),
    sampler("mean coefficients", "sqrt(alpha_s) for sqrt(alpha_bar_s)", mean=lambda n: (
        np.sqrt(n.alphas[n.s]) * n.beta * n.x_0 + np.sqrt(n.alpha) * (1 - n.prev) * n.x) / (1 - n.bar)),
    sampler("mean coefficients", "sqrt(1 - abar_s) under eps", mean=lambda n: (
        n.x - n.beta / np.sqrt(1 - n.bars[max(n.s, 1)]) * n.eps) / np.sqrt(n.alpha), schedule="linear 200"),
    sampler("mean coefficients", "eps not multiplied by beta", mean=lambda n: (n.x - n.eps) / np.sqrt(n.alpha), schedule="cosine 50"),
    sampler("mean coefficients", "x_0 in place of the posterior mean", mean=lambda n: n.x_0, schedule="linear 50"),
    sampler("sampler index", "alphas read at t - 1", mean=shifted_alphas, schedule="cosine 50"),
    Sick("sampler index", "0-based network told T on an array of T", lambda w: w.patient(
        w.says(first=0), first=0, sampler=student(w, tell=lambda t: t)), "", "linear 200"),
    Sick("stops early", "0-based loop without t = 0", lambda w: w.patient(
        w.says(first=0), first=0, sampler=student(w, tell=lambda t: t - 1, stop=1)), "swirl", "linear 50"),
    sampler("reverse variance", "(1 - abar_t) / (1 - abar_{t+1})", scale=off_by_one_tilde, schedule="cosine 50"),
    sampler("reverse variance", "temperature 0.7", scale=lambda n: 0.7 * np.sqrt(n.tilde), schedule="linear 200"),
    sampler("variance for standard deviation", "DDIM, eta 0.5: sigma^2 z", mean=half_eta, scale=lambda n: 0.25 * tilde_of_pair(n), schedule="linear 50"),
    sampler("DDIM direction", "- sigma^2 missing", mean=along, scale=lambda n: np.sqrt(tilde_of_pair(n)), schedule="cosine 200"),
    sampler("DDIM direction", "abar one entry late", mean=lambda n: np.sqrt(n.bars[n.s + 1]) * n.x_0 + np.sqrt(1 - n.prev) * n.eps,
            scale=nothing, schedule="cosine 50"),
    sampler("last step", "alpha_bar_0 = alpha_bar_1", mean=end_of_ddim(lambda bars: bars[1]), scale=nothing, schedule="cosine 50"),
    sampler("last step", "alphas_prev[-1], the last entry, at the end", mean=end_of_ddim(lambda bars: bars[-1]), scale=nothing, schedule="linear 1000"),
    sampler("stride", "DDIM to t - 1 though times are skipped", schedule="cosine 200", times=[200, 160, 120, 80, 40, 0], scale=nothing,
            mean=lambda n: np.sqrt(n.bars[n.t - 1]) * n.x_0 + np.sqrt(1 - n.bars[n.t - 1]) * n.eps),
    Sick("stride", "told i, not S_i", told_the_number, "ring", "linear 200"),
    sampler("sampler start", "leading times of 4 steps", times=[151, 101, 51, 1, 0], mean=along, scale=nothing, schedule="linear 200"),
    sampler("noise law", "centred uniform noise of variance 1", noise=centred()),
    Sick("clipping", "clipped to 0..1", lambda w: w.patient(sampler=student(w, clip=(0, 1))), "line", "cosine 50"),
    Sick("guidance convention", "s where 1 + w is meant", guided(lambda c, u, s: u + s * (c - u), "w"), "line"),
    Sick("guidance sign", "conditional + w (unconditional - conditional)", guided(lambda c, u, s: c + s * (u - c), "w"), "line"),
    Sick("average from zero", "decay 0.999, 500 steps", averages("zero", 0.999, 500), "line", "cosine 50"),
    Sick("variance for standard deviation", "torch: beta z", lambda w: torch_loop(w, lambda b, s: b), "ring", "linear 200", tensors),
    Sick("last-step noise", "torch: z at t = 1", lambda w: torch_loop(w, lambda b, s: b**0.5, True), "swirl", "linear 50", tensors),
    Sick("missing noise", "torch: the mean only", lambda w: torch_loop(w, lambda b, s: 0 * b), "line", "cosine 50", tensors),
]  # fmt: skip


LAST = [  # written after what was learnt from LATER had been built in: these measure the doctor as it is
    Sick("terminal SNR", "betas of a tenth", lambda w: w.patient(sampler=student(w)), "ring", "tenth"),
    Sick("coverage", "every t but the last hundred", drawn(lambda T: 1, lambda T: T - 100), "line", "linear 1000"),
    forward("noising", "sqrt(1 - beta) with sqrt(1 - abar)", lambda x, e, a, b: (1 - b) ** 0.5 * x + (1 - a) ** 0.5 * e, "swirl"),
    network("output sign", "minus x_0", output="x_0", kind="x_0", change=lambda out, t: -out, schedule="cosine 200"),
    network("output scale", "eps times its std in the data, 0.3", change=lambda out, t: 0.3 * out, schedule="linear 1000"),
    network("index offset", "hears t / 2", hears=lambda t: t // 2, schedule="linear 1000"),
    network("untrained times", "nothing sensible in the noisiest third", change=lambda out, t: out if t < 600 else -out, schedule="linear 1000"),
    sampler("mean coefficients", "x_0 weight without its 1 - abar_t", mean=lambda n: (
        np.sqrt(n.prev) * n.beta * n.x_0 + np.sqrt(n.alpha) * (1 - n.prev) / (1 - n.bar) * n.x), schedule="cosine 50"),
    sampler("mean coefficients", "divided by sqrt(abar_s)", mean=lambda n: (
        n.x - n.beta / np.sqrt(1 - n.bar) * n.eps) / np.sqrt(n.prev), schedule="linear 50"),
    sampler("reverse variance", "sqrt(1 - abar_s) z", scale=lambda n: np.sqrt(1 - n.prev), schedule="cosine 200"),
    sampler("reverse variance", "1.3 times the noise", scale=lambda n: 1.3 * np.sqrt(n.beta), schedule="linear 1000"),
    sampler("noise law", "a coin for noise", noise=coin()),
    sampler("sampler index", "the network is told t - 2", tell=lambda t: max(t - 2, 1), schedule="cosine 200"),
    sampler("stride", "beta_t of the full chain, ten times skipped", times=list(range(200, -1, -10)), schedule="cosine 200"),
    sampler("last-step noise", "DDIM with beta_1 of noise at the end", mean=along, at_the_end=True, schedule="linear 50",
            scale=lambda n: 0.0 if n.s else np.sqrt(n.beta)),
    sampler("DDIM direction", "eps not scaled", mean=lambda n: np.sqrt(n.prev) * n.x_0 + n.eps, scale=nothing, schedule="linear 1000"),
    Sick("clipping", "clipped to half the range", lambda w: w.patient(sampler=student(w, clip=(-0.5, 0.5))), "ring", "linear 200"),
    Sick("guidance convention", "torch-like: cond + s (cond - uncond)", guided(lambda c, u, s: c + s * (c - u)), "line"),
]  # fmt: skip


def smooth(share, seed):
    """A few per cent of smooth error, as a trained network has."""

    def change(out, t):
        return out * (1 + share / 2) + share * np.sin(3 * out + seed + t / 40)

    return change


def of_ours(run):
    return lambda w: Patient.of(ExactDenoiser(w.law, w.schedule), lambda d, x: last(run(d, x, normal(np.random.default_rng(4)))))


HEALTHY = [
    Sick("", "ddpm, small variance", of_ours(lambda d, x, z: ddpm(d, x, d.schedule.times(d.schedule.T), z)), "ring", "cosine 50"),
    Sick("", "ddpm, large variance", of_ours(lambda d, x, z: ddpm(d, x, d.schedule.times(d.schedule.T), z, variance="large")), "line", "linear 1000"),
    Sick("", "ddpm, 20 strided steps", of_ours(lambda d, x, z: ddpm(d, x, d.schedule.times(20), z)), "swirl", "cosine 200"),
    Sick("", "ddim, 10 steps", of_ours(lambda d, x, z: ddim(d, x, d.schedule.times(10))), "ring", "linear 1000"),
    Sick("", "ddim, eta 0.5", of_ours(lambda d, x, z: ddim(d, x, d.schedule.times(20), z, eta=0.5)), "line", "cosine 200"),
    Sick("", "dpm_solver", of_ours(lambda d, x, z: dpm_solver(d, x, d.schedule.times(15))), "ring", "cosine 50"),
    Sick("", "heun", of_ours(lambda d, x, z: heun(d, x, d.schedule.times(20))), "swirl", "linear 200"),
    Sick("", "a student's ddpm", lambda w: w.patient(sampler=student(w)), "swirl", "linear 50"),
    Sick("", "a student's ddpm, sigma^2 = beta", lambda w: w.patient(sampler=student(w, scale=lambda n: np.sqrt(n.beta))), "line", "linear 200"),
    Sick("", "clips x_0 to the range of the data", lambda w: w.patient(sampler=student(w, mean=lambda n: (
        np.sqrt(n.prev) * n.beta * n.x_0 + np.sqrt(n.alpha) * (1 - n.prev) * n.x) / (1 - n.bar), clip=(-1, 1))), "tame", "cosine 50"),
    Sick("", "zero-based, table of T", lambda w: w.patient(w.says(first=0), schedule=w.schedule.alpha_bar[1:], first=0), "ring", "cosine 200"),
    Sick("", "says v", lambda w: w.patient(output="v"), "line", "cosine 1000"),
    Sick("", "says x_0", lambda w: w.patient(output="x_0"), "swirl", "linear 1000"),
    Sick("", "says the score", lambda w: w.patient(output="score"), "line", "linear 50"),
    Sick("", "3 per cent of smooth error, eps", lambda w: w.patient(w.says(change=smooth(0.03, 0))), "ring", "linear 1000"),
    Sick("", "5 per cent of smooth error, v", lambda w: w.patient(w.says("v", change=smooth(0.05, 1)), "v"), "line", "cosine 50"),
    Sick("", "5 per cent of smooth error, x_0", lambda w: w.patient(w.says("x_0", change=smooth(0.05, 2)), "x_0"), "swirl", "cosine 200"),
    Sick("", "5 per cent of smooth error, sampled", lambda w: w.patient(w.says(change=smooth(0.05, 3)), sampler=student(w)), "line", "linear 200"),
    Sick("", "its own noising, right", lambda w: forward("", "", lambda x, e, a, b: a**0.5 * x + (1 - a) ** 0.5 * e).make(w), "ring", "cosine 50"),
    Sick("", "all times drawn", drawn(lambda T: 1, lambda T: T, 20_000), "line", "linear 1000"),
    Sick("", "guidance by w", guided(lambda c, u, s: (1 + s) * c - s * u, "w"), "line", "cosine 50"),
    Sick("", "an average as it should be", averages("start", 0.999, 6000), "line", "cosine 50"),
    Sick("", "torch, float32, its own sampler", lambda w: torch_loop(w, lambda b, s: s**0.5), "ring", "linear 200", tensors),
    Sick("", "torch, float32", lambda w: torch_patient(w), "ring", "linear 200", tensors),
]  # fmt: skip

OTHER_SCHEDULES = {
    "short": Schedule.linear(50), "shortened": Schedule.linear(250), "hundred": Schedule.linear(100), "tenth": Schedule.linear(1000, 1e-5, 2e-3),
}  # fmt: skip
OTHER_DATA = {
    "wide": GaussianMixture([0.5, 0.5], [[-1.8], [1.5]], [0.04, 0.04]), "tame": GaussianMixture([0.5, 0.5], [[-0.4], [0.5]], [0.01, 0.01]),
}  # fmt: skip


def world(sick, k):
    """The world of the k-th model of a list: where it names no data or schedule, they go round."""
    laws, tables = DATA | OTHER_DATA, SCHEDULES | OTHER_SCHEDULES
    law = laws[sick.data or list(DATA)[k % len(DATA)]]
    table = tables[sick.schedule or ["cosine 50", "linear 200", "cosine 200", "linear 1000"][k % 4]]
    return World(law, table, np.random.default_rng(1000 + k))


def consult(sick, k):
    """The patient and the data to examine it with."""
    w = world(sick, k)
    return sick.make(w), sick.scaled(w.law.sample(2000, w.rng))
