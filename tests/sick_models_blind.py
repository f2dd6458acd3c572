"""The blind part of the doctor's corpus: forty more sick models and ten healthy ones, written without a look at the rungs.

Other mistakes than in sick_models.py, other places, other laws of data (three to six dimensions, correlated, uneven, off centre) and
other schedules (sigmoid, 30 to 400 steps, a cosine with a large offset). Committed before the doctor saw any of them. That each sick
one is sick and each healthy one is right, by measurements that share nothing with the doctor, is checked by tests/test_sick_models_blind.py.
"""

from itertools import pairwise

import numpy as np
import torch
from sick_models import (
    Now,
    Sick,
    World,
    along,
    forward,
    guided,
    mu,
    network,
    nothing,
    of_ours,
    sampler,
    smooth,
    student,
    tensors,
    tilde_of_pair,
    torch_patient,
    with_table,
)  # fmt: skip

from minidiff import ExactDenoiser, GaussianMixture, Schedule, ddim, dpm_solver
from minidiff.doctor import Averaged, Patient


def random_law(K, dims, seed, spread=0.7, width=0.25):
    """K correlated Gaussians of uneven weight."""
    rng = np.random.default_rng(seed)
    shear = width * rng.standard_normal((K, dims, dims)) / np.sqrt(dims)
    return GaussianMixture(rng.dirichlet(np.ones(K)), spread * rng.uniform(-1, 1, (K, dims)), shear @ shear.transpose(0, 2, 1) + 0.01 * np.eye(dims))


DATA = {
    "space": random_law(4, 3, 1), "cigars": GaussianMixture([0.85, 0.15], [[-0.3, -0.3], [0.7, 0.5]], [[[0.1, 0.09], [0.09, 0.1]], [[0.05, -0.04], [-0.04, 0.05]]]),
    "rare": GaussianMixture([0.95, 0.05], [[-0.5], [0.9]], [0.02, 0.003]), "six": random_law(5, 6, 2), "plane": GaussianMixture([1.0], [[0.2, -0.4]], [[[0.3, 0.2], [0.2, 0.15]]]),
    "shifted": GaussianMixture([0.6, 0.4], [[-2.5], [-0.5]], [0.2, 0.1]), "pixels": random_law(3, 4, 3, 0.6),
}  # fmt: skip
SCHEDULES = {
    "sigmoid 100": Schedule.sigmoid(100), "sigmoid 400": Schedule.sigmoid(400), "cosine 30": Schedule.cosine(30), "cosine 100": Schedule.cosine(100, offset=0.05),
    "cosine 400": Schedule.cosine(400), "linear 100": Schedule.linear(100, 1e-3, 0.2), "linear 400": Schedule.linear(400, 2.5e-4, 0.05),
    "squares 100": Schedule.from_betas(np.linspace(1e-2, 0.02**0.5, 100) ** 2), "cut cosine": Schedule(Schedule.cosine(400).alpha_bar[:151]), "linear 1000": Schedule.linear(1000),
}  # fmt: skip


def exchanged(n):
    """The posterior mean with the weights of x_0 and x_t exchanged."""
    return (np.sqrt(n.alpha) * (1 - n.prev) * n.x_0 + np.sqrt(n.prev) * n.beta * n.x) / (1 - n.bar)


def of_pair(n):
    """The posterior mean of a step that skips times."""
    beta = 1 - n.bar / n.prev
    return (np.sqrt(n.prev) * beta * n.x_0 + np.sqrt(n.bar / n.prev) * (1 - n.prev) * n.x) / (1 - n.bar)


def full_chain_mean(n):
    """Respacing half done: the variance is that of the pair, the mean still divides by the full chain's alpha_t."""
    return (n.x - (1 - n.bar / n.prev) / np.sqrt(1 - n.bar) * n.eps) / np.sqrt(n.alpha)


def step_from_prev(w, grid):
    """DDIM in which the network is asked about s, where the step is going, not about t, where x is."""

    def sample(call, x):
        bars = w.schedule.alpha_bar
        for t, s in pairwise(grid):
            eps = call(x, np.full(len(x), max(s, 1)))
            x_0 = (x - np.sqrt(1 - bars[t]) * eps) / np.sqrt(bars[t])
            x = np.sqrt(bars[s]) * x_0 + np.sqrt(1 - bars[s]) * eps
        return x

    return w.patient(sampler=sample)


def around(before=lambda x: x, after=lambda x: x, step=None, **how):
    """A student's sampler with something done to its start, to its result or to x before every call of the network."""

    def make(w):
        inner = student(w, **how)
        return w.patient(sampler=lambda call, x: after(inner((lambda x, t: call(step(x), t)) if step else call, before(x))))

    return make


def clipped_states(n):
    return np.clip(mu(n), -1, 1)


def frozen(seed=3):
    """A draw that was made once, before the loop."""
    kept = {}
    return lambda shape: kept.setdefault(shape, np.random.default_rng(seed).standard_normal(shape))


def trained_without_t(w):
    """What a network that never sees t learns: the mean of eps over the times that x may come from."""
    exact = ExactDenoiser(w.law, w.schedule)
    times = np.arange(1, w.T + 1, 3)

    def call(x, t):
        scales = [w.schedule.scales(int(u)) for u in times]
        logs = np.stack([log_marginal(w.law, x, *scale) for scale in scales])
        weights = np.exp(logs - logs.max(0))
        return np.einsum("tn,tnd->nd", weights / weights.sum(0), np.stack([exact(x, int(u)).eps for u in times]))

    return w.patient(call)


def log_marginal(law, x, signal, noise):
    """log q(x_t), the mixture blurred."""
    logs = []
    for weight, mean, cov in zip(law.weights, law.means, law.covs, strict=True):
        wide, away = signal**2 * cov + noise**2 * np.eye(law.dims), x - signal * mean
        logs.append(np.log(weight) - 0.5 * (np.linalg.slogdet(wide)[1] + np.einsum("nd,nd->n", away, np.linalg.solve(wide, away.T).T)))
    return np.logaddexp.reduce(logs)


def says_the_mean(w):
    """A network that says the mean of p(x_{t-1} | x_t), said to be x_0."""
    exact, bars, betas = ExactDenoiser(w.law, w.schedule), w.schedule.alpha_bar, w.schedule.beta

    def call(x, t):
        t = int(t[0])
        n = Now(t, t - 1, x, (pred := exact(x, t)).eps, pred.x_0, betas, 1 - betas, bars)
        return mu(n)

    return w.patient(call, "x_0")


def chain_of_variances(w):
    """The forward chain with beta z in place of sqrt(beta) z, in one go: its variance summed along the way.

    At first sight the chain was walked with draws of its own, which is a second mistake, and the doctor named that one.
    """

    def noising(x_0, t, eps):
        var = 0.0
        for s in range(1, int(t[0]) + 1):
            var = (1 - w.schedule.beta[s]) * var + w.schedule.beta[s] ** 2
        return np.sqrt(w.schedule.alpha_bar[int(t[0])]) * x_0 + np.sqrt(var) * eps

    return w.patient(noising=noising)


def one_for_all(w):
    """One eps, broadcast over the batch."""
    draw = np.random.default_rng(0)

    def noising(x_0, t, eps):
        bar = w.schedule.alpha_bar[int(t[0])]
        return np.sqrt(bar) * x_0 + np.sqrt(1 - bar) * draw.standard_normal((1, *x_0.shape[1:]))

    return w.patient(noising=noising)


def zero_based(w, hears):
    """A torch network with t = 0..T - 1 that is out of step by what it hears."""
    exact = ExactDenoiser(w.law, w.schedule)

    def call(x, t):
        return exact(x, (t + 1 + hears).clamp(1, w.T)).eps

    return Patient(call, torch.cumprod(1 - torch.tensor(w.schedule.beta[1:]), 0).float(), first=0)


def walk(seed=0, steps=400, n=300):
    """A training run of n weights: a drift that slows down, with jitter."""
    rng = np.random.default_rng(seed)
    goal, w = rng.standard_normal(n), rng.standard_normal(n)
    run = [w]
    for _ in range(steps):
        run.append(run[-1] + 0.02 * (goal - run[-1]) + 0.01 * rng.standard_normal(n))
    return run


def averaged_over(update, steps=400, claims=0.99):
    """update(average, weights, step) along a training run, against the decay that is claimed."""

    def make(w):
        run = walk(steps=steps)
        average = run[0]
        for step, weights in enumerate(run[1:], 1):
            average = update(average, weights, step)
        return w.patient(averaged=Averaged({"w": torch.tensor(run[-1])}, {"w": torch.tensor(average)}, claims, steps, {"w": torch.tensor(run[0])}))

    return make


def few_times(w):
    """The generator of t is seeded anew in every epoch: the same 64 times again and again."""
    return w.patient(trained=np.tile(np.random.default_rng(0).integers(1, w.T + 1, 64), 500))


def pictures(change=lambda pred: pred.eps, output="eps", **claims):
    """A torch model of pictures (n, 1, 2, 2)."""

    def make(w):
        exact = ExactDenoiser(w.law, w.schedule)

        def call(x, t):
            flat = exact(x.flatten(1), t)
            return change(flat).reshape(x.shape)

        return Patient(call, w.schedule, output, **{name: claim(w) for name, claim in claims.items()})

    return make


def as_pictures(x):
    return tensors(x).reshape(-1, 1, 2, 2)


def torch_ddim(w):
    """DDIM with 20 steps in torch for a model that says x_0."""
    grid, bars = w.schedule.times(20), torch.tensor(w.schedule.alpha_bar).float()

    def sample(call, x):
        for t, s in pairwise(grid):
            x_0 = call(x, torch.full((len(x),), t))
            x = bars[s].sqrt() * x_0 + ((1 - bars[s]) / (1 - bars[t])).sqrt() * (x - bars[t].sqrt() * x_0)
        return x

    return sample


def dressed(x):
    """Scaled to -1..1 a second time, as if it were bytes."""
    return x.clip(-1, 1) / 127.5 - 1


BLIND = [
    # the table, the times and the data
    Sick("table", "1 - the sum of the betas", with_table(lambda w: 1 - np.cumsum(w.schedule.beta)), "space", "linear 100"),
    Sick("table", "the buffer sqrt(abar) handed over for abar", with_table(lambda w: np.sqrt(w.schedule.alpha_bar)), "cigars", "sigmoid 100"),
    Sick("alpha for alpha_bar", "alphas with a 1 in front, torch", lambda w: Patient(
        torch_patient(w).call, torch.tensor(1 - w.schedule.beta).float()), "six", "linear 400", tensors),
    Sick("terminal SNR", "squared betas of T = 1000 on 100 steps", lambda w: w.patient(), "space", "squares 100"),
    Sick("terminal SNR", "the first 150 of 400 entries of a cosine", lambda w: w.patient(sampler=student(w)), "cigars", "cut cosine"),
    Sick("coverage", "the same 64 times in every epoch", few_times, "plane", "sigmoid 400"),
    Sick("coverage", "only the times of the strided sampler are trained", lambda w: w.patient(trained=w.rng.choice(w.schedule.times(20)[:-1], 30_000)), "rare", "cosine 400"),
    Sick("data range", "scaled to -1..1 twice", lambda w: w.patient(data_range=(-1, 1)), "space", "sigmoid 100", dressed),
    Sick("latent scale", "divided by 0.18215, not multiplied", lambda w: w.patient(latent=True), "six", "linear 400", lambda x: x / x.std() * 5.49 / 0.18215),
    # the forward process
    forward("noising", "variance exploding where variance preserving is meant", lambda x, e, a, b: x + ((1 - a) / a) ** 0.5 * e, "cigars", "linear 100"),
    forward("noising", "the two scales exchanged", lambda x, e, a, b: (1 - a) ** 0.5 * x + a**0.5 * e, "space", "sigmoid 400"),
    Sick("noising", "the chain with beta z", chain_of_variances, "plane", "cosine 100"),
    Sick("noise law", "one eps for the whole batch", one_for_all, "six", "cosine 30"),
    # the network
    network("output kind", "says eps, said to be the score", output="score", kind="eps", data="space", schedule="sigmoid 100"),
    Sick("output kind", "says the mean of the step, said to be x_0", says_the_mean, "cigars", "cosine 30"),
    Sick("output scale", "sqrt(1 - abar) eps, the noise as it was added", lambda w: w.patient(
        w.says(change=lambda out, t: w.schedule.scales(t)[1] * out)), "six", "cosine 400"),
    Sick("output scale", "torch pictures: x_0 a quarter too large", pictures(lambda pred: 1.25 * pred.x_0, "x_0"), "pixels", "linear 100", as_pictures),
    network("output sign", "the score points downhill", output="score", kind="score", change=lambda out, t: -out, data="six", schedule="sigmoid 400"),
    network("index offset", "hears t + 5", hears=lambda t: t + 5, data="rare", schedule="linear 400"),
    Sick("index offset", "torch, 0-based: hears t - 3", lambda w: zero_based(w, -3), "space", "cosine 100", tensors),
    Sick("blind to t", "trained without t", trained_without_t, "plane", "cosine 100"),
    network("untrained times", "zeros for the least noisy quarter", change=lambda out, t: out if t > 100 else 0 * out, data="space", schedule="sigmoid 400"),
    # the sampler
    Sick("sampler start", "DDIM from zeros", around(before=lambda x: 0 * x, mean=along, scale=nothing), "cigars", "sigmoid 100"),
    Sick("sampler index", "DDIM that asks about s", lambda w: step_from_prev(w, w.schedule.times(25)), "space", "cosine 400"),
    sampler("stride", "20 of 400: alpha_t of the full chain in the mean", times=list(range(400, -1, -20)), mean=full_chain_mean,
            scale=lambda n: np.sqrt(tilde_of_pair(n)), data="cigars", schedule="linear 400"),
    sampler("stops early", "DDIM that ends at T / 5", mean=along, scale=nothing, stop=20, data="six", schedule="sigmoid 100"),
    Sick("last-step noise", "0.2 z added to the result after the loop", around(
        after=lambda x: x + 0.2 * np.random.default_rng(1).standard_normal(x.shape)), "rare", "cosine 30"),
    sampler("last step", "alphas_prev padded with 0 for 1", mean=lambda n: along(n) if n.s else n.eps, scale=nothing, data="space", schedule="cosine 100"),
    sampler("missing noise", "z only above T / 2", scale=lambda n: np.sqrt(n.tilde) if n.t > 50 else 0.0, data="cigars", schedule="linear 100"),
    sampler("variance for standard deviation", "10 of 100 steps: beta-tilde of the pair times z", times=list(range(100, -1, -10)), mean=of_pair,
            scale=tilde_of_pair, data="space", schedule="cosine 100"),
    sampler("reverse variance", "beta + beta-tilde", scale=lambda n: np.sqrt(n.beta + n.tilde), data="plane", schedule="cosine 30"),
    sampler("mean coefficients", "the two weights of the posterior mean exchanged", mean=exchanged, data="six", schedule="sigmoid 100"),
    sampler("mean coefficients", "half of the score, all of the noise", mean=lambda n: (n.x - n.beta / 2 / np.sqrt(1 - n.bar) * n.eps) / np.sqrt(n.alpha),
            scale=lambda n: np.sqrt(n.beta), data="rare", schedule="sigmoid 100"),
    sampler("DDIM direction", "sqrt(1 - abar_t) where s is meant", mean=lambda n: np.sqrt(n.prev) * n.x_0 + np.sqrt(1 - n.bar) * n.eps, scale=nothing,
            times=list(range(400, -1, -40)), data="space", schedule="sigmoid 400"),
    sampler("clipping", "x_t clipped to -1..1 at every step", mean=clipped_states, data="plane", schedule="linear 100"),
    sampler("noise law", "z drawn once, before the loop", noise=frozen(), data="cigars", schedule="cosine 100"),
    # guidance and averages
    Sick("guidance convention", "u + (s - 1) (c - u)", guided(lambda c, u, s: u + (s - 1) * (c - u)), "cigars", "sigmoid 100"),
    Sick("guidance sign", "u - s (c - u)", guided(lambda c, u, s: u - s * (c - u)), "space", "linear 100"),
    Sick("average is raw", "decay and 1 - decay exchanged", averaged_over(lambda a, w, step: 0.01 * a + 0.99 * w), "rare", "cosine 30"),
    Sick("average of the start", "updated at every tenth step only", averaged_over(lambda a, w, step: 0.99 * a + 0.01 * w if step % 10 == 0 else a), "rare", "cosine 30"),
]  # fmt: skip

UNUSUAL = [
    Sick("", "torch, 0-based, a float32 table", lambda w: zero_based(w, 0), "space", "sigmoid 100", tensors),
    sampler("", "50 of 400 steps, beta-tilde of the pair", times=list(range(400, -1, -8)), mean=of_pair, scale=lambda n: np.sqrt(tilde_of_pair(n)), data="cigars", schedule="linear 400"),
    Sick("", "one Gaussian, v, 2 per cent of smooth error", lambda w: w.patient(w.says("v", change=smooth(0.02, 5)), "v"), "plane", "cosine 30"),
    sampler("", "data of mean -1.7", scale=lambda n: np.sqrt(n.beta), data="shifted", schedule="linear 100"),
    Sick("", "torch pictures that say x_0, DDIM", pictures(lambda pred: pred.x_0, "x_0", sampler=torch_ddim), "pixels", "cosine 100", as_pictures),
    Sick("", "ddim over quadratic times", of_ours(lambda d, x, z: ddim(d, x, d.schedule.times(25, "quadratic"))), "rare", "sigmoid 400"),
    Sick("", "dpm_solver of order 2 in six dimensions", of_ours(lambda d, x, z: dpm_solver(d, x, d.schedule.times(20))), "six", "cosine 400"),
    Sick("", "times drawn more often where there is more noise", lambda w: w.patient(trained=np.ceil(w.T * np.sqrt(w.rng.random(60_000))).astype(int)), "space", "linear 100"),
    Sick("", "guidance as c + (s - 1) (c - u)", guided(lambda c, u, s: c + (s - 1) * (c - u)), "six", "sigmoid 100"),
    Sick("", "a decay that warms up", averaged_over(lambda a, w, step, d=0.99: a + (1 - min(d, (1 + step) / (10 + step))) * (w - a)), "rare", "cosine 30"),
]  # fmt: skip


def consult(sick, k):
    """The patient and the data to examine it with."""
    w = World(DATA[sick.data], SCHEDULES[sick.schedule], np.random.default_rng(3000 + k))
    return sick.make(w), sick.scaled(w.law.sample(2000, w.rng))
