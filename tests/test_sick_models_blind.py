"""The blind part of the doctor's corpus is labelled rightly: each sick model is sick and each healthy one right, by plain measurements.

What stands here knows nothing of the doctor's rungs: outputs against the exact ones, noised data against the marginal, samples against
data by the distance of their quantiles, in units of the distance of two equal draws of data.
"""

import numpy as np
import pytest
import torch
from sick_models import student
from sick_models_blind import BLIND, DATA, SCHEDULES, UNUSUAL, consult

from minidiff import ExactDenoiser, Schedule, target
from minidiff.doctor import Guidance

NETWORK = ("output kind", "output scale", "output sign", "index offset", "blind to t", "untrained times")
EXPECTED = {  # what else than the samples
    "": set(), "table": {"table"}, "alpha for alpha_bar": {"table"}, "terminal SNR": {"what is left of the data at T", "samples"},
    "coverage": {"times never trained"}, "data range": {"scale of data"}, "latent scale": {"scale of data"},
    "noising": {"noising"}, "noise law": {"noising", "samples"}, "guidance convention": {"guidance"}, "guidance sign": {"guidance"},
    "average is raw": {"average"}, "average of the start": {"average"},
} | {name: {"output"} for name in NETWORK}  # fmt: skip
ALL = [*enumerate(BLIND), *enumerate(UNUSUAL)]
N = 1500


def distance(a, b):
    """Mean distance of the quantiles of two equal numbers of points, along 30 directions."""
    rng = np.random.default_rng(0)
    rays = rng.standard_normal((a.shape[1], 30))
    return np.abs(np.sort(a @ rays, 0) - np.sort(b @ rays, 0)).mean()


def excess(samples, law):
    """The distance of samples from data over that of data from data."""
    first, second, third = (law.sample(N, np.random.default_rng(seed)) for seed in (1, 2, 3))
    return (distance(samples, first) + distance(samples, second)) / 2 / ((distance(first, second) + distance(second, third)) / 2)


def in_their_dress(x, like):
    return torch.from_numpy(x).float().reshape(-1, *like.shape[1:]) if isinstance(like, torch.Tensor) else x


def output_error(patient, sick, x_0):
    """The largest relative error of the output over eight times."""
    law, schedule = DATA[sick.data], SCHEDULES[sick.schedule]
    exact, rng, worst = ExactDenoiser(law, schedule), np.random.default_rng(7), 0.0
    for t in np.geomspace(max(2, schedule.T // 50), schedule.T, 8).astype(int):
        signal, noise = schedule.scales(t)
        x = signal * law.sample(N, rng) + noise * rng.standard_normal((N, law.dims))
        pred = exact(x, int(t))
        right = target(patient.output, pred.x_0, pred.eps, signal, noise)
        x, times = in_their_dress(x, x_0), np.full(N, t - 1 + patient.first)
        said = np.asarray(patient.call(x, torch.from_numpy(times) if isinstance(x_0, torch.Tensor) else times)).reshape(N, -1)
        worst = max(worst, np.sqrt(((said - right) ** 2).mean() / (right**2).mean()))
    return worst


def noising_error(patient, sick):
    """The largest deviation of a mean or a standard deviation of x_t from that of the right formula, in about standard errors."""
    law, schedule = DATA[sick.data], SCHEDULES[sick.schedule]
    rng, worst = np.random.default_rng(8), 0.0
    for t in np.linspace(1, schedule.T, 6).astype(int):
        signal, noise = schedule.scales(t)
        x_0, z = law.sample(N, rng), rng.standard_normal((2, N, law.dims))
        x, right = patient.noising(x_0, np.full(N, t), z[0]), signal * x_0 + noise * z[1]
        of_mean, of_std = np.abs(x.mean(0) - right.mean(0)) / right.std(), np.abs(x.std(0) / right.std(0) - 1)
        worst = max(worst, of_mean.max() * np.sqrt(N), of_std.max() * np.sqrt(N))
    return worst


def sampling_error(patient, sick, x_0):
    start = np.random.default_rng(9).standard_normal((N, DATA[sick.data].dims))
    return excess(np.asarray(patient.sampler(patient.call, in_their_dress(start, x_0))).reshape(N, -1), DATA[sick.data])


def table_error(patient, sick):
    """The largest difference from the schedule's alpha_bar, or infinity if there is no such schedule."""
    row = patient.schedule.alpha_bar if isinstance(patient.schedule, Schedule) else np.asarray(patient.schedule, float)
    right = SCHEDULES[sick.schedule].alpha_bar[patient.first ^ 1 :]
    return np.inf if len(row) != len(right) or row.min() <= 0 else np.abs(row - right).max()


def guidance_error(guidance: Guidance, dims):
    """From c at the claimed scale for plain conditional, and from u at that for unconditional."""
    x = np.random.default_rng(0).standard_normal((200, dims))
    t, plain, none = np.full(200, 5), *((1, 0) if guidance.convention == "scale" else (0, -1))
    of_plain = guidance.guided(x, t, plain) - guidance.conditional(x, t)
    return max(np.abs(of_plain).max(), np.abs(guidance.guided(x, t, none) - guidance.unconditional(x, t)).max())


def average_error(averaged):
    """What the average's shares of the last weights and of the first ones exceed what the claimed decay allows."""
    raw, mean, start = (np.asarray(part["w"]) for part in (averaged.raw, averaged.averaged, averaged.start))
    of_start = (mean - raw) @ (start - raw) / ((start - raw) @ (start - raw))
    lag = np.abs(mean - raw).mean() / 0.01  # in units of the jitter of one step
    return max(of_start - averaged.decay**averaged.steps - 0.1, 0.1 - lag)


def measured(sick, k):
    """name -> (the error, from which size on it is a defect)."""
    patient, x_0 = consult(sick, k)
    plain = DATA[sick.data].sample(2000, np.random.default_rng(3000 + k))
    scale = np.asarray(x_0, float).std() / plain.std()
    errors = {
        "table": (table_error(patient, sick), 1e-3),
        "output": (output_error(patient, sick, x_0), 0.09),
        "scale of data": (abs(np.log(scale)), 0.3),
        "what is left of the data at T": (SCHEDULES[sick.schedule].alpha_bar[-1], 0.02),
    }
    if patient.trained is not None:
        errors["times never trained"] = (1 - len(np.unique(patient.trained)) / SCHEDULES[sick.schedule].T, 0.05)
    if patient.noising is not None:
        errors["noising"] = (noising_error(patient, sick), 6)
    if patient.sampler is not None:
        errors["samples"] = (sampling_error(patient, sick, x_0), 2.5)
    if patient.guidance is not None:
        errors["guidance"] = (guidance_error(patient.guidance, DATA[sick.data].dims), 1e-6)
    if patient.averaged is not None:
        errors["average"] = (average_error(patient.averaged), 0.0)
    return errors


@pytest.mark.parametrize(("k", "sick"), ALL, ids=lambda a: a.what.replace(" ", "_") if hasattr(a, "what") else str(a))
def test_sick_is_sick_and_healthy_is_healthy(k, sick):
    errors = measured(sick, k)
    wrong = [name for name, (size, allowed) in errors.items() if size > allowed]
    assert bool(wrong) == bool(sick.defect), errors
    assert not set(wrong) - EXPECTED.get(sick.defect, {"samples"}), errors


def test_the_samplers_are_judged_against_a_right_one():
    """The right sampler, on the same laws and schedules, is not told from data by the measure that tells the sick ones."""
    for pair in ("cigars, linear 100", "space, cosine 100", "six, sigmoid 100", "rare, sigmoid 100", "plane, linear 100"):
        data, schedule = pair.split(", ")
        w = type("Right", (), {"schedule": SCHEDULES[schedule], "T": SCHEDULES[schedule].T})
        exact = ExactDenoiser(DATA[data], SCHEDULES[schedule])
        start = np.random.default_rng(9).standard_normal((N, DATA[data].dims))
        assert excess(student(w)(lambda x, t, exact=exact: exact(x, int(t[0])).eps, start), DATA[data]) < 2.5
