"""Exercises of notebook 07: five patients, from the loss to the score, counting copies, weights in t, a bug that no finding shows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import KDTree

from minidiff.course.exercise import Exercise, Function
from minidiff.prediction import target
from minidiff.process import posterior_variance, posterior_weights
from minidiff.schedule import Schedule

Rows = np.ndarray
SIGNS = {
    "noise scale": "its clumps would be too narrow",
    "schedule": "its L_T would not be 0",
    "time": "its eps error would be above the floor, at times that it was trained on",
    "last step": "only its clumps would be too wide, by about sqrt(1 + beta_1 / std^2) = 1.2",
    "coverage": "the times it was trained on would not be all of 1..T",
}


def _patient(letter: str, right: str) -> Exercise:
    wrong: dict[str, Function] = {f"not {name!r}; {sign}": (lambda name=name: name) for name, sign in SIGNS.items() if name != right}
    return Exercise(f"patient {letter}", "07", "section 9: the clinic", lambda: right, wrong)


# -- 2: from the loss to the score ---------------------------------------------------------------------------------------


def _score_error(excess: Rows, schedule: Schedule) -> Rows:
    """By the library's definition of the score: two predictions whose eps differ by the root of the excess."""
    signal, noise = schedule.scales(np.arange(1, schedule.T + 1))
    zero = np.zeros_like(signal)
    scores = [target("score", zero, eps, signal, noise) for eps in (zero, np.sqrt(excess))]
    return np.abs(scores[1] - scores[0])


def _noise(schedule: Schedule) -> Rows:
    return np.asarray(schedule.scales(np.arange(1, schedule.T + 1))[1])


# -- 3: counting copies --------------------------------------------------------------------------------------------------


def _share(samples: Rows, points: Rows, radius: float, norm: float = 2.0) -> float:
    """By a tree: how far each sample is from its nearest point."""
    return float((KDTree(points).query(samples, p=norm)[0] <= radius).mean())


def _samples() -> tuple[Any, ...]:
    rng = np.random.default_rng(7)
    points = rng.uniform(-1, 1, (25, 2))
    return points[rng.integers(0, 12, 400)] + 0.2 * rng.standard_normal((400, 2)), points, 0.15


# -- 4: weights in t -----------------------------------------------------------------------------------------------------


def _weights(schedule: Schedule, most: float = 5.0, over: str = "eps") -> Rows:
    """From the KL divergence of each step, which is the bound's price for an error of x_0; over SNR it is that for eps."""
    t = np.arange(2, schedule.T + 1)
    w = posterior_weights(schedule, t - 1, t)[0] ** 2 / posterior_variance(schedule, t - 1, t)
    w = w / schedule.snr(t) if over == "eps" else w
    w = np.minimum(w, most * w.mean())
    w = np.r_[w[0], w]
    return np.asarray(w / w.mean())


def _cut_last(schedule: Schedule) -> Rows:
    return np.minimum(_weights(schedule, np.inf), 5)


EXERCISES = (
    _patient("A", "noise scale"), _patient("B", "schedule"), _patient("C", "time"), _patient("D", "last step"), _patient("E", "coverage"),
    Exercise(
        "score error", "07", "section 4: the same error, read as another quantity", _score_error, {
            "multiplied by the noise scale (score = -eps / noise)": lambda excess, s: np.sqrt(excess) * _noise(s),
            "divided by the variance": lambda excess, s: np.sqrt(excess) / _noise(s) ** 2,
            "the mean square, not its root": lambda excess, s: excess / _noise(s) ** 2,
            "not divided by anything: that is the error of eps": lambda excess, s: np.sqrt(excess),
        },
        lambda: (np.array([0.02, 0.01, 0.004, 0.001]), Schedule.linear(4, 0.1, 0.5)), entry="t - 1 =",
    ),
    Exercise(
        "share of copies", "07", "section 8", _share, {
            "the share of the training points that are met; asked is that of the samples": lambda x, p, radius: _share(p, x, radius),
            "with the radius held against the squared distance": lambda x, p, radius: _share(x, p, np.sqrt(radius)),
            "with the largest coordinate in the place of the distance": lambda x, p, radius: _share(x, p, radius, np.inf),
            "the number of samples, not their share": lambda x, p, radius: len(x) * _share(x, p, radius),
        },
        _samples,
    ),
    Exercise(
        "weights in t", "07", "section 6, and notebook 04, section 5", _weights, {
            "not cut: a few times at the ends of the chain have nearly all the weight": lambda s: _weights(s, np.inf),
            "cut after it was normalised: its mean is no longer 1": _cut_last,
            "of sum 1, not of mean 1": lambda s: _weights(s) / s.T,
            "the price of an error of x_0, but simple_loss charges for eps": lambda s: _weights(s, over="x_0"),
        },
        lambda: (Schedule.cosine(20),), entry="t - 1 =",
    ),
    Exercise(
        "what convicts the sixth", "07", "section 9: this course checks identities and not pictures", lambda: "an identity", {
            "no: the denoiser is exact, and the sampler's variance is no part of it": lambda: "the eps error",
            "no: the prior term knows the schedule and the data only": lambda: "L_T",
            "no: four of the five were let go by it, and a variance that is off by one step is a smaller fault": lambda: "the distance",
        },
    ),
)  # fmt: skip
