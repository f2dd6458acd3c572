"""Exercises of notebook 13: the number that is forgotten, who has the last word, when the encoding is paid for."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from minidiff.course.exercise import Exercise


def _unscaled(z: np.ndarray, s: float) -> np.ndarray:
    """The latent whose scaled copy is z, found by solving that equation."""
    return np.linalg.solve(s * np.eye(len(z)), z)


def _pays(pictures: int, encode: float, latent: float, pixel: float) -> float:
    """The number of training pictures at which both bills are equal, by root finding."""

    def saved(n: float) -> float:
        return n * pixel - (pictures * encode + n * latent)

    high = 1.0
    while saved(high) < 0:
        high *= 2
    return float(brentq(saved, 0.0, high, rtol=1e-12))


EXERCISES = (
    Exercise(
        "input of the decoder", "13", "section 1", _unscaled, {
            "the scale forgotten: contrast and colours come out wrong, and nothing complains": lambda z, s: z,
            "multiplied once more": lambda z, s: z * s,
            "divided by the variance": lambda z, s: z / s**2,
            "divided by its root": lambda z, s: z / np.sqrt(s),
        },
        lambda: (np.array([0.5, -1.0, 2.0]), 0.25),
    ),
    Exercise(
        "share of the decoder", "13", "section 4: the floors", lambda d, r, o: np.interp(r, [o, d], [0.0, 1.0]), {
            "the floor not subtracted": lambda d, r, o: r / d,
            "the floor subtracted only below": lambda d, r, o: r / (d - o),
            "the share the diffusion could remove": lambda d, r, o: (d - r) / (d - o),
        },
        lambda: (60.0, 20.0, 10.0),
    ),
    Exercise(
        "encoding paid for", "13", "section 4", _pays, {
            "compared with the whole cost of a pixel step": lambda pictures, encode, latent, pixel: pictures * encode / pixel,
            "compared with the latent step": lambda pictures, encode, latent, pixel: pictures * encode / latent,
            "forward only: training costs three times that": lambda pictures, encode, latent, pixel: (
                3 * pictures * encode / (pixel - latent)
            ),
        },
        lambda: (100_000, 44, 3 * 193, 3 * 780),
    ),
)  # fmt: skip
