"""The variational bound from a few network calls: times drawn from strata in place of all T of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidiff.arrays import Array, Draw, check_draw, namespace, no_grad
from minidiff.bound import decoder_term, prior_term, step_term
from minidiff.prediction import Denoiser, Prediction
from minidiff.process import marginal


@dataclass(frozen=True, eq=False)
class BoundEstimate:
    """Estimates of the bound in nats: prior (B,), steps (repeats, strata, B), decoder (repeats, B).

    edges: stratum k holds the times edges[k] .. edges[k + 1] - 1; its row of steps is their number times the term at one of them.
    """

    prior: Array
    steps: Array
    decoder: Array
    edges: tuple[int, ...]

    @property
    def each(self) -> Array:
        """The total of each independent repeat, (repeats, B)."""
        return self.prior + self.steps.sum(1) + self.decoder

    @property
    def total(self) -> Array:
        """The estimate for each example, (B,): the mean over repeats. Without bias for the mean of `variational_bound`'s total."""
        return self.each.mean(0)

    @property
    def noise(self) -> float:
        """Standard error of total.mean() that comes from the draws of t and noise alone, nats: the part that more strata would remove.

        Read off the spread between repeats, so it raises ValueError for fewer than two.
        """
        repeats, B = self.each.shape
        if repeats < 2:
            raise ValueError(f"the noise is read off the spread between repeats, two or more; got repeats = {repeats}")
        between = ((self.each - self.total) ** 2).sum(0) / (repeats - 1)
        return float((between.mean() / (repeats * B)) ** 0.5)


def stratified_bound(
    denoiser: Denoiser,
    x_0: Array,
    draw: Draw,
    rng: np.random.Generator,
    strata: int | NDArray[np.int64] = 16,
    variance: Any = "small",
    cond: Any = None,
    repeats: int = 1,
    decoder: Callable[..., Array] = decoder_term,
) -> BoundEstimate:
    """`variational_bound` of x_0 (B, ...) on the full grid, its sum over t = 2..T estimated from one t in each stratum.

    sum_{t=a}^{b-1} L_{t-1} = (b - a) E L_{t-1}, t uniform on a..b-1, drawn with rng for each example by itself; prior and decoder are
    those of `variational_bound`. Source: DDPM (Ho et al. 2020) Eq. 5; stratified sampling of t: VDM (Kingma et al. 2021), appendix I.1
    (numbering unconfirmed). strata: how many, with ends in geometric progression (`strata_edges`), or the ends themselves, 2 to T + 1.
    The terms of pictures fall about like 1/t: for the shipped digits 16 strata, 17 calls for 1000, add 1 % to the standard error that
    the choice of images has anyway. repeats: independent estimates, of which two tell the noise. Raises ValueError for strata that do not
    go from 2 to T + 1, and as `variational_bound`. Checked by tests/test_estimate.py (quadrature, every t and x_t).
    """
    check_draw(draw)
    xp, schedule = namespace(x_0), denoiser.schedule
    edges = strata_edges(schedule.T, strata)
    if isinstance(repeats, bool) or not isinstance(repeats, (int, np.integer)) or repeats < 1:
        raise ValueError(f"repeats must be an int >= 1; got {repeats!r}")

    def ask(t: Any) -> tuple[Prediction, Array]:
        x_t = marginal(schedule, x_0, t).sample(draw(x_0))
        with no_grad(x_0):
            return denoiser(x_t, t, cond), x_t

    steps, decoders = [], []
    for _ in range(repeats):
        for low, high in pairwise(edges):
            t = rng.integers(low, high, len(x_0))
            pred, x_t = ask(t)
            steps.append(float(high - low) * step_term(schedule, pred, x_0, x_t, t - 1, t, variance))
        pred, x_1 = ask(1)
        decoders.append(decoder(schedule, pred, x_0, x_1, variance, t=1))
    rows = xp.stack(steps).reshape(repeats, len(edges) - 1, len(x_0))
    return BoundEstimate(prior_term(schedule, x_0), rows, xp.stack(decoders), tuple(int(e) for e in edges))


def strata_edges(T: int, strata: int | NDArray[np.int64] = 16) -> NDArray[np.int64]:
    """Ends of strata of the times 2..T: stratum k is edges[k] .. edges[k + 1] - 1; from 2 to T + 1, in geometric progression.

    A number of strata that leaves some of them empty is cut down to those that hold a time. Raises ValueError for a number below 1, and
    for ends that are not strictly increasing from 2 to T + 1.

    >>> strata_edges(1000, 4).tolist()
    [2, 9, 45, 212, 1001]
    """
    if T < 2:
        raise ValueError(f"strata of the times 2..T need T >= 2; got T = {T}")
    if isinstance(strata, (int, np.integer)) and not isinstance(strata, bool):
        if strata < 1:
            raise ValueError(f"strata must be at least 1; got {strata}")
        return np.unique(np.round(np.geomspace(2, T + 1, int(strata) + 1)).astype(np.int64))
    edges = np.asarray(strata)
    row = edges.ndim == 1 and edges.dtype.kind in "iu" and len(edges) >= 2
    if not row or (np.diff(edges) < 1).any() or edges[0] != 2 or edges[-1] != T + 1:
        raise ValueError(f"strata must be an int >= 1, or their ends: ints that increase from 2 to T + 1 = {T + 1}; got {strata!r}")
    return edges.astype(np.int64)
