"""Canvases larger than those of training, by overlapping windows: the compromise between their answers, and the law that is sampled so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from minidiff import Prediction, Schedule, Windowed, ddim, last
from minidiff.verify.registry import Check, close, equation, generator
from minidiff.verify.routes import SHORT, Float

SOURCE = "Bar-Tal et al. 2023 (MultiDiffusion), Eq. 5 (numbering unconfirmed)"
STRIP, SIZE = 24, 8  # places of a strip, and of a window


@dataclass(frozen=True)
class Crooked:
    """Some function of a window that is neither linear nor the same at each of its places."""

    schedule: Schedule = SHORT

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        place = 1 + np.arange(x_t.shape[-1]) + 10 * np.arange(x_t.shape[-2])[:, None]
        return Prediction(np.tanh(place * x_t) + x_t.sum((-2, -1), keepdims=True), np.cos(place + x_t))


@dataclass(frozen=True)
class Strip:
    """The exact denoiser of Gaussian strips (B, 1, H, L), H of them one above the other, each with the law N(0, cov)."""

    cov: Float
    schedule: Schedule

    def __call__(self, x_t: Any, t: Any, cond: Any = None) -> Prediction:
        signal, noise = self.schedule.scales(t)
        x_0 = x_t @ answer(self.cov, signal, noise).T
        return Prediction(x_0, (x_t - signal * x_0) / noise)


def answer(cov: Float, signal: Any, noise: Any) -> Float:
    """The matrix D of x_0 = D x_t = signal C (signal^2 C + noise^2 I)^-1 x_t."""
    return np.asarray(signal * cov @ np.linalg.inv(signal**2 * cov + noise**2 * np.eye(len(cov))))


@equation(
    "latent", "windows", "the compromise between overlapping windows", function="minidiff.wrappers.Windowed", source=SOURCE,
    formula=r"\hat x=\arg\min_x\sum_w\|P_w x-\hat x_w\|^2,\qquad\hat x_i=\frac{\sum_{w\ni i}(\hat x_w)_i}{\#\{w\ni i\}}",
)  # fmt: skip
def windows_agree() -> Iterator[Check]:
    """The mean over windows by least squares over the whole canvas; a canvas of one window; the matrix of a whole DDIM run."""
    x_t = generator(64).standard_normal((1, 1, 6, 7))
    ours = Windowed(Crooked(), 3, 2)(x_t, 4)
    rows, wanted = [], []
    for top in (0, 2, 3):  # the last begins at the border, not at a multiple of the stride
        for left in (0, 2, 4):
            made = Crooked()(x_t[..., top : top + 3, left : left + 3], 4)
            for i, j in np.ndindex(3, 3):
                rows.append(np.eye(42)[7 * (top + i) + left + j])
                wanted.append((made.x_0[0, 0, i, j], made.eps[0, 0, i, j]))
    least = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    yield close("x_0 of nine windows of 3 x 3 on 6 x 7", least[:, 0].reshape(6, 7), ours.x_0[0, 0], 1e-12, "least squares")
    yield close("eps of the same", least[:, 1].reshape(6, 7), ours.eps[0, 0], 1e-12, "least squares")
    small = x_t[..., :3, :3]
    yield close("a canvas of one window", Crooked()(small, 4).x_0, Windowed(Crooked(), 3, 2)(small, 4).x_0, 0, "identity")
    for stride in (8, 4, 2):
        what = f"DDIM of a strip of {STRIP} by windows of {SIZE}, stride {stride}"
        yield close(what, by_matrices(stride), by_sampling(stride), 1e-12, "matrices")


@equation(
    "latent", "windows law", "what windows agree on, and what not", function="minidiff.wrappers.Windowed", source=SOURCE,
    formula=r"x_0=M\,x_T,\quad\mathrm{Cov}(x_0)=MM^\top,\qquad M=\prod_t\Big(a_s D_t+\tfrac{b_s}{b_t}(I-a_t D_t)\Big)",
)  # fmt: skip
def law_of_windows() -> Iterator[Check]:
    """Gaussian strips of one level: without overlap the ends are independent, with overlap the variance of the level shrinks."""
    apart = by_sampling(8)
    law = apart @ apart.T
    yield close("no overlap: covariance between different windows", 0, np.abs(law[:8, 8:]).max(), 1e-12, "independence")
    alone = by_sampling(8, STRIP // 3)
    yield close("no overlap: each window as if it were alone", alone @ alone.T, law[8:16, 8:16], 1e-12, "sampling alone")
    spread = [float(np.diag(m @ m.T)[8:16].mean()) for m in (apart, by_sampling(4), by_sampling(2))]
    yield close("more overlap, less variance in the middle: order of strides 8, 4, 2", [0, 1, 2], np.argsort(spread)[::-1], 0, "order")


def law_of(length: int) -> Float:
    """One level for the whole strip, variance 0.7, and a texture of variance 0.3 that forgets itself in three places."""
    at = np.arange(length)
    return np.asarray(0.7 + 0.3 * np.exp(-np.abs(at[:, None] - at) / 3))


def by_sampling(stride: int, length: int = STRIP) -> Float:
    """What our sampler makes of each unit vector of noise, as the columns of a matrix: many strips, one above the other, in each window."""
    schedule = Schedule.cosine(T=40)
    x_T = np.eye(length)[:, None, None, :].repeat(SIZE, axis=2)  # a window is SIZE strips high; they are alike
    made = last(ddim(Windowed(Strip(law_of(SIZE), schedule), SIZE, stride), x_T, schedule.times(20)))
    return np.asarray(made[:, 0, 0].T)


def by_matrices(stride: int) -> Float:
    """The same by products of matrices."""
    schedule = Schedule.cosine(T=40)
    M = np.eye(STRIP)
    for t, s in pairwise(schedule.times(20)):
        (a, b), (a_s, b_s) = schedule.scales(t), schedule.scales(s)
        D, count = np.zeros((STRIP, STRIP)), np.zeros(STRIP)
        for i in range(0, STRIP - SIZE + 1, stride):
            cut = np.eye(STRIP)[i : i + SIZE]
            D += cut.T @ answer(law_of(SIZE), a, b) @ cut
            count += cut.sum(0)
        D /= count[:, None]
        M = (a_s * D + b_s / b * (np.eye(STRIP) - a * D)) @ M
    return M
