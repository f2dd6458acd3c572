"""Exercises of notebook 14: attention with a mask, what chance would reach, the price of cross-attention."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.special import softmax

from minidiff.course.exercise import Exercise, Function

Array = np.ndarray


def _masked(q: Array, k: Array, v: Array, mask: Array) -> Array:
    """The padding taken out of keys and values before anything is computed."""
    return np.asarray(softmax(k[mask] @ q / np.sqrt(len(q))) @ v[mask])


def _all_places(q: Array, k: Array, v: Array) -> Array:
    return np.asarray(softmax(k @ q / np.sqrt(len(q))))


def _scores_of_0(q: Array, k: Array, v: Array, mask: Array) -> Array:
    return np.asarray(softmax(np.where(mask, k @ q / np.sqrt(len(q)), 0.0)) @ v)


def _scaled(power: float) -> Function:
    """Attention with another power of d under the scores than 1/2."""
    return lambda q, k, v, mask: softmax(k[mask] @ q / len(q) ** power) @ v[mask]


def _sentence() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    return rng.standard_normal(8), rng.standard_normal((5, 8)), rng.standard_normal((5, 3)), np.array([1, 1, 1, 0, 0], bool)


def _chance() -> tuple[float, float]:
    """Every way to pair and to place, and every outcome of four digits, one by one."""
    ways = list(product(("paired", "crossed"), ("as asked", "swapped")))
    outcomes = product((0.95, 0.05), repeat=4)
    return sum(way == ("paired", "as asked") for way in ways) / len(ways), sum(float(np.prod(p)) for p in outcomes if min(p) == 0.95)


def _products(*shapes: tuple[int, int, int]) -> int:
    """Multiplications of matrix products (rows, inner, columns)."""
    return sum(rows * inner * columns for rows, inner, columns in shapes)


def _cost(n: int, M: int, C: int, D: int) -> int:
    """Product by product: Q, K, V, scores, weighted sum, output."""
    return _products((n * n, C, C), (M, D, C), (M, D, C), (n * n, C, M), (n * n, M, C), (n * n, C, C))


EXERCISES = (
    Exercise(
        "masked attention", "14", "section 2: padding", _masked, {
            "padding is still looked at": lambda q, k, v, mask: _all_places(q, k, v) @ v,
            "masked after the softmax: the weights no longer sum to 1": lambda q, k, v, mask: (_all_places(q, k, v) * mask) @ v,
            "scores of padding set to 0 instead of minus infinity: e^0 is 1": _scores_of_0,
            "the root of d is missing": _scaled(0.0),
            "scores divided by d, not by its root": _scaled(1.0),
        },
        _sentence,
    ),
    Exercise(
        "what chance would reach", "14", "section 3: what the judge asks", _chance, {
            "two ways to pair digits with colours, but also two ways to place them": lambda: (0.5, 0.95**4),
            "four digits must all be right": lambda: (0.25, 0.95),
            "at least one digit right, not all": lambda: (0.25, 1 - 0.05**4),
        },
    ),
    Exercise(
        "price of cross-attention", "14", "section 1", _cost, {
            "that is self-attention: keys from the places": lambda n, M, C, D: 4 * n**2 * C**2 + 2 * n**4 * C,
            "the output projection is missing": lambda n, M, C, D: _cost(n, M, C, D) - n**2 * C**2,
            "keys and values come of the tokens, D wide": lambda n, M, C, D: _cost(n, M, C, C),
            "a map of n x n has n^2 places": lambda n, M, C, D: 2 * n * C**2 + 2 * M * D * C + 2 * n * M * C,
        },
        lambda: (8, 15, 96, 64),
    ),
)  # fmt: skip
