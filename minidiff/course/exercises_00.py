"""Exercises of notebook 00: change of variables, strict masks, the gap of a bound, the price of lost modes."""

from __future__ import annotations

import numpy as np
from scipy import stats

from minidiff.course.exercise import Exercise, Function
from minidiff.gaussian import Gaussian


def _normal(x: np.ndarray) -> np.ndarray:
    return np.asarray(stats.norm.logpdf(x))


def _gap(to_mean: float, to_var: float, swapped: bool = False) -> Function:
    """KL between the encoder's Gaussian and another one, as a function of the encoder's mean and variance."""

    def kl(m: float, v: float) -> float:
        pair = Gaussian(np.array([m]), v), Gaussian(np.array([to_mean]), to_var)
        p, q = pair[::-1] if swapped else pair
        return float(p.kl(q)[0])

    return kl


def _jsd(k: int) -> float:
    """By brute force over the eight modes."""
    p, q = np.full(8, 1 / 8), np.where(np.arange(8) < k, 1 / k, 0.0)
    m = (p + q) / 2
    return float(sum((a[a > 0] * np.log(a[a > 0] / m[a > 0])).sum() for a in (p, q)) / 2)


EXERCISES = (
    Exercise(
        "log-density of exp(z)", "00", "section 2: the derivative is that of f, from data to noise",
        lambda x: stats.lognorm.logpdf(x, 1.0), {
            "without the log-determinant: its mass is not 1": lambda x: _normal(np.log(x)),
            "with the derivative of the wrong direction": lambda x: _normal(np.log(x)) + np.log(x),
            "the normal density at x, not at log x": _normal,
            "without the constant of the normal density": lambda x: stats.lognorm.logpdf(x, 1.0) + 0.5 * np.log(2 * np.pi),
            "the density, not its logarithm": lambda x: stats.lognorm.pdf(x, 1.0),
        },
        lambda: (np.array([0.2, 1.7, 3.5]),),
    ),
    Exercise(
        "strict mask", "00", "section 3: strictly before", lambda D: [[float(j < i) for j in range(D)] for i in range(D)], {
            "not strict: each number sees itself, and the likelihood means nothing": lambda D: np.tril(np.ones((D, D))),
            "turned around: rows are the laws, columns what they may see": lambda D: np.triu(np.ones((D, D)), 1),
            "turned around, and not strict": lambda D: np.triu(np.ones((D, D))),
        },
        lambda: (4,),
    ),
    Exercise(
        "gap of the bound", "00", "section 4: the gap is a KL divergence to p(z | x)", _gap(0.4, 0.2), {
            "the KL divergence to the prior: part of the ELBO, not its gap": _gap(0.0, 1.0),
            "the KL divergence the other way around": _gap(0.4, 0.2, swapped=True),
            "standard deviations where variances belong": lambda m, v: _gap(0.4, 0.2**0.5)(m, v**0.5),
        },
        lambda: (0.1, 0.5),
    ),
    Exercise(
        "price of lost modes", "00", "section 5: JSD is the mean of two KL divergences to the middle",
        lambda ks: [_jsd(int(k)) for k in ks], {
            "KL(generator || data), which does not see the lost modes at all": lambda ks: np.log(8 / np.asarray(ks)),
            "the sum of the two halves instead of their mean": lambda ks: [2 * _jsd(int(k)) for k in ks],
        },
        lambda: (np.array([1, 3, 7]),),
    ),
)  # fmt: skip
