"""Exercises of notebook 10: where the weights sit, what normalisation sees, a network not told the time, a network without skips."""

from __future__ import annotations

import math

import numpy as np

from minidiff.course.exercise import Exercise, Function

# Losses per pixel at t, measured as in section 4: with and without the time, after 220 steps; the shipped weights with and without skips.
TOLD = {1: (0.932, 0.974), 10: (0.577, 0.655), 100: (0.162, 0.170), 300: (0.075, 0.077), 1000: (0.017, 0.018)}
SKIPS = {1: (0.22, 2.5), 100: (0.060, 2.4), 1000: (0.0001, 1.06)}


def _block(c_in: int, c_out: int, e: int) -> dict[str, int]:
    """How many numbers each part of a residual block holds, from the shapes of its arrays."""
    shapes: dict[str, list[tuple[int, ...]]] = {
        "normalisations": [(c_in,), (c_in,), (c_out,), (c_out,)],
        "convolutions": [(c_out, c_in, 3, 3), (c_out,), (c_out, c_out, 3, 3), (c_out,)],
        "time": [(2 * c_out, e), (2 * c_out,)],
        "across": [] if c_in == c_out else [(c_out, c_in, 1, 1), (c_out,)],
    }
    return {part: sum(math.prod(shape) for shape in arrays) for part, arrays in shapes.items()}


def _without(*parts: str) -> Function:
    return lambda c_in, c_out, e: sum(n for part, n in _block(c_in, c_out, e).items() if part not in parts)


def _unbiased(c_in: int, c_out: int, e: int) -> int:
    biases = 4 * c_out + (0 if c_in == c_out else c_out)  # of two convolutions, of the linear layer, of the road across
    return sum(_block(c_in, c_out, e).values()) - biases


def _felt(side: int = 28) -> int:
    """How many pixels move the corner of a normalised picture when they are moved a little, one by one."""
    x = np.random.default_rng(0).standard_normal(side**2)

    def corner(picture: np.ndarray) -> float:
        return float((picture[0] - picture.mean()) / picture.std())

    return sum(abs(corner(x + 1e-3 * one) - corner(x)) > 1e-12 for one in np.eye(side**2))


def _dearest() -> str:
    return f"t = {max(TOLD, key=lambda t: TOLD[t][1] - TOLD[t][0])}"


def _suffers() -> str:
    """Where the loss without skips is above 1, that of answering zero."""
    worse = [t for t, (_, without) in SKIPS.items() if without > 1]
    return "every t" if worse == list(SKIPS) else "small t" if 1 in worse else "large t"


EXERCISES = (
    Exercise(
        "weights of a residual block", "10", "section 2", _without(), {
            "without the road across": _without("across"),
            "without the linear layer that brings the time": _without("time"),
            "without biases": _unbiased,
            "without the normalisations": _without("normalisations"),
        },
        lambda: (48, 96, 192),
    ),
    Exercise(
        "reach of normalisation", "10", "section 2: what the corner sees", _felt, {
            "what the convolutions alone see, 13 x 13; a mean and a deviation are taken over the whole picture": lambda: 13**2,
            "twelve pixels to each side, 25 x 25: the corner has two sides only, and there is more than convolutions": lambda: 25**2,
        },
    ),
    Exercise(
        "price of not knowing t", "10", "section 4: the loss against t", _dearest, {
            "at t = 1 the noise hides in the texture of the pixels, whether t is known or not": lambda: "t = 1",
            "at t = 100 the black background already shows the noise alone, and with it the level": lambda: "t = 100",
            "at t = 300 the black background already shows the noise alone, and with it the level": lambda: "t = 300",
            "at t = 1000 the input is nearly the noise itself, whether t is known or not": lambda: "t = 1000",
        },
    ),
    Exercise(
        "skips taken away", "10", "section 2: the skips", _suffers, {
            "fine details are not all that the skips carry: measure at t = 1000 too": lambda: "small t",
            "the whole digit is not all that counts: measure at t = 1 too": lambda: "large t",
        },
    ),
)  # fmt: skip
