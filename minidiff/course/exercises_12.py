"""Exercises of notebook 12: the size of a latent, the KL term, what the scale does to the schedule, the bill of sampling."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from minidiff.course.exercise import Exercise
from minidiff.gaussian import Gaussian

Array = np.ndarray


def _size(H: int, W: int, f: int, c: int) -> tuple[int, float]:
    """By counting the entries of both arrays."""
    picture, latent = np.empty((3, H, W)), np.empty((c, H // f, W // f))
    return latent.size, picture.size / latent.size


def _kl(mean: Array, log_var: Array) -> Array:
    """By the library, which is told variances."""
    return np.asarray(Gaussian(mean, np.exp(log_var)).kl(Gaussian(np.zeros_like(mean), 1.0)))


def _kl_to_q(mean: Array, log_var: Array) -> Array:
    return np.asarray(Gaussian(np.zeros_like(mean), 1.0).kl(Gaussian(mean, np.exp(log_var))))


def _equal_snr(alpha_bar: Array, s: float) -> Array:
    """Through the logarithm of the SNR, which is logit(alpha_bar): the scale adds 2 log s to it."""
    return np.asarray(expit(logit(alpha_bar) + 2 * np.log(s)))


def _ratio(pixel: float, latent: float, encoder: float, decoder: float, calls: int) -> float:
    """By adding up the two bills call by call."""
    return sum([pixel] * calls) / sum([latent] * calls + [decoder])


EXERCISES = (
    Exercise(
        "size of a latent", "12", "section 1", _size, {
            "f counted once, not for height and width": lambda H, W, f, c: (H * W * c // f, 3 * f / c),
            "only the places, without the channels": lambda H, W, f, c: (H * W // f**2, 3 * f**2),
            "the ratio of places; the channels count too": lambda H, W, f, c: (H * W * c // f**2, f**2),
            "f squared twice": lambda H, W, f, c: (H * W * c // f**4, 3 * f**4 / c),
        },
        lambda: (256, 256, 8, 4),
    ),
    Exercise(
        "KL of an encoder", "12", "section 4: the KL term", _kl, {
            "without the factor 1/2": lambda m, v: 2 * _kl(m, v),
            "log_var taken for a log standard deviation": lambda m, v: _kl(m, 2 * v),
            "the log with the wrong sign": lambda m, v: _kl(m, v) + v,
            "log_var where the variance belongs": lambda m, v: 0.5 * (m**2 + v - 1 - v),
            "the other direction, KL(N(0, 1) || q)": _kl_to_q,
        },
        lambda: (np.array([0.5, -2.0, 0.0]), np.array([-1.0, 0.3, 0.0])),
    ),
    Exercise(
        "alpha_bar of equal SNR", "12", "section 7", _equal_snr, {
            "s where s squared belongs": lambda a, s: _equal_snr(a, np.sqrt(s)),
            "the wrong way round: the unscaled is the cleaner one": lambda a, s: _equal_snr(a, 1 / s),
            "the ratio itself, not alpha_bar": lambda a, s: a * s**2 / (1 - a),
            "the variance of x_t": lambda a, s: a * s**2 + 1 - a,
        },
        lambda: (np.array([0.1, 0.5, 0.9]), 5.0),
    ),
    Exercise(
        "bill of latent sampling", "12", "section 1", _ratio, {
            "the decoder counted at every step": lambda pixel, latent, encoder, decoder, calls: pixel / (latent + decoder),
            "without the decoder": lambda pixel, latent, encoder, decoder, calls: pixel / latent,
            "encoder too: nothing is encoded in sampling": lambda pixel, latent, encoder, decoder, calls: (
                calls * pixel / (calls * latent + encoder + decoder)
            ),
        },
        lambda: (780, 193, 44, 143, 20),
    ),
)  # fmt: skip
