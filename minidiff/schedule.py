"""The noise schedule: one float64 table alpha_bar[0..T], with alpha_bar[0] = 1 exactly.

Code t is the paper's t: t = 0 is data, t = T is (nearly) noise. Everything else about a schedule follows from this
table, so nothing else is stored twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidiff.arrays import is_torch

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A frozen table alpha_bar of length T + 1: alpha_bar[0] == 1, strictly decreasing, positive; checked when made.

    Make one with `linear`, `cosine`, `sigmoid` or `from_betas`. Raises ValueError that says which entry is wrong.

    >>> schedule = Schedule.from_betas([0.5, 0.5])
    >>> schedule.T, schedule.alpha_bar.round(12).tolist()
    (2, [1.0, 0.5, 0.25])
    """

    alpha_bar: Float

    def __post_init__(self) -> None:
        table = np.array(self.alpha_bar, dtype=np.float64)
        if table.ndim != 1 or len(table) < 2:
            raise ValueError(f"alpha_bar must be one row of T + 1 >= 2 numbers; got shape {table.shape}")
        if not np.all(np.isfinite(table)):
            raise ValueError(f"alpha_bar must be finite; entry {int(np.argmin(np.isfinite(table)))} is not")
        if table[0] != 1:
            raise ValueError(f"alpha_bar[0] must be exactly 1 (t = 0 is data); got {float(table[0])}")
        if table.min() <= 0:
            t = int(np.argmax(table <= 0))
            raise ValueError(f"alpha_bar must stay positive; alpha_bar[{t}] = {float(table[t])}")
        falls = np.diff(np.log(table)) < 0  # of the logarithms, from which beta is formed: a beta is never rounded to 0
        if not falls.all():
            t = int(np.argmin(falls)) + 1
            raise ValueError(f"alpha_bar must fall strictly; alpha_bar[{t}] = {float(table[t])} follows {float(table[t - 1])}")
        table.flags.writeable = False
        object.__setattr__(self, "alpha_bar", table)

    # -- the usual tables -------------------------------------------------------------------------------------------

    @classmethod
    def from_betas(cls, betas: Any) -> Schedule:
        """alpha_bar_t = prod_{i<=t} (1 - beta_i), from the betas of t = 1..T, each in (0, 1). DDPM, above Eq. 4."""
        betas = np.asarray(betas, dtype=np.float64)
        if betas.ndim != 1 or len(betas) < 1 or not np.all((betas > 0) & (betas < 1)):
            raise ValueError(f"betas must be one row of numbers strictly between 0 and 1, for t = 1..T; got {_row(betas)}")
        return cls(np.concatenate([[1.0], np.exp(np.cumsum(np.log1p(-betas)))]))

    @classmethod
    def linear(cls, T: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
        """beta rises linearly from beta_1 to beta_T. DDPM, section 4 (T = 1000). Not rescaled for other T: see notebook 02.

        >>> Schedule.linear().beta[[1, 1000]].round(12).tolist()
        [0.0001, 0.02]
        """
        return cls.from_betas(np.linspace(beta_1, beta_T, _positive(T)))

    @classmethod
    def cosine(cls, T: int = 1000, offset: float = 0.008, max_beta: float = 0.999) -> Schedule:
        """alpha_bar_t = f(t) / f(0), f(t) = cos^2((t/T + offset) / (1 + offset) pi/2), betas cut at max_beta.

        Source: Improved DDPM (Nichol & Dhariwal 2021), Eq. 17. alpha_bar is recomputed from the cut betas.
        """
        f = np.cos((np.arange(_positive(T) + 1) / T + offset) / (1 + offset) * math.pi / 2) ** 2
        return cls.from_betas(np.minimum(1 - f[1:] / f[:-1], max_beta))

    @classmethod
    def sigmoid(cls, T: int = 1000, start: float = -3.0, end: float = 3.0, tau: float = 1.0, max_beta: float = 0.999) -> Schedule:
        """alpha_bar_t = (S(end) - S(start + (end - start) t/T)) / (S(end) - S(start)), S(u) = 1 / (1 + exp(-u / tau)).

        Source: Jabri et al. 2022, section 3 (numbering unconfirmed). Betas cut at max_beta, as for the cosine.
        """
        if not (start < end and tau > 0):
            raise ValueError(f"the sigmoid needs start < end and tau > 0; got start = {start}, end = {end}, tau = {tau}")
        u = (start + (end - start) * np.arange(_positive(T) + 1) / T) / tau
        s = 1 / (1 + np.exp(-u))
        f = (s[-1] - s) / (s[-1] - s[0])
        return cls.from_betas(np.minimum(1 - f[1:] / f[:-1], max_beta))

    # -- what follows from the table --------------------------------------------------------------------------------

    @property
    def T(self) -> int:
        """The number of noising steps; the table has T + 1 entries."""
        return len(self.alpha_bar) - 1

    @cached_property
    def log_alpha_bar(self) -> Float:
        """log alpha_bar, from which every difference that would cancel is formed with expm1."""
        return np.log(self.alpha_bar)

    @cached_property
    def beta(self) -> Float:
        """beta_t = 1 - alpha_bar_t / alpha_bar_{t-1}, shape (T + 1,); beta[0] = 0 is a placeholder in no formula."""
        return np.concatenate([[0.0], -np.expm1(np.diff(self.log_alpha_bar))])

    def scales(self, t: Any) -> tuple[Float, Float]:
        """(signal, noise) = (sqrt(alpha_bar_t), sqrt(1 - alpha_bar_t)), float64, shaped like t. DDPM Eq. 4.

        >>> signal, noise = Schedule.linear(10).scales([0, 5])
        >>> (signal**2 + noise**2).round(12).tolist()
        [1.0, 1.0]
        """
        t = self.check(t)
        return np.sqrt(self.alpha_bar[t]), np.sqrt(np.abs(np.expm1(self.log_alpha_bar[t])))

    def snr(self, t: Any) -> Float:
        """SNR_t = alpha_bar_t / (1 - alpha_bar_t); infinite at t = 0. VDM (Kingma et al. 2021), Eq. 2."""
        return np.exp(2 * self.half_log_snr(t))

    def half_log_snr(self, t: Any) -> Float:
        """lambda_t = log(SNR_t) / 2 = log(signal / noise); infinite at t = 0. DPM-Solver (Lu et al. 2022)."""
        signal, noise = self.scales(t)
        with np.errstate(divide="ignore"):
            return np.log(signal) - np.log(noise)

    def times(self, n: int, spacing: str = "trailing") -> list[int]:
        """n + 1 strictly decreasing times from T to 0: the n steps of a sampler.

        spacing "trailing": evenly spaced; "quadratic": dense near the data, t_i ~ (i/n)^2 (DDIM, Song et al. 2021,
        appendix D.2), with at least 1 between neighbours. Raises ValueError unless 1 <= n <= T.

        >>> Schedule.linear(1000).times(4), Schedule.linear(1000).times(4, "quadratic")
        ([1000, 750, 500, 250, 0], [1000, 562, 250, 62, 0])
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= self.T:
            raise ValueError(f"the number of steps must be an int in 1..{self.T}; got {n!r}")
        grid = np.arange(n + 1) / n
        if spacing == "trailing":
            up = np.floor(self.T * grid + 0.5).astype(int)
        elif spacing == "quadratic":
            up = np.maximum(np.round(self.T * grid**2).astype(int), np.arange(n + 1))
        else:
            raise ValueError(f'spacing must be "trailing" or "quadratic"; got {spacing!r}')
        return [int(t) for t in up[::-1]]

    # -- the guard at every door ------------------------------------------------------------------------------------

    def check(self, t: Any, low: int = 0, name: str = "t") -> NDArray[np.int64]:
        """t as int64 NumPy (an int -> shape (), a row -> (B,)), or ValueError / TypeError with what is allowed."""
        row: NDArray[Any] = t.detach().cpu().numpy() if is_torch(t) else np.asarray(t)
        if row.dtype.kind not in "iu":
            got = type(t).__name__ if row.dtype == object else row.dtype
            raise TypeError(f"{name} must be an int or ints, in {low}..{self.T}; got {got}")
        if row.ndim > 1:
            raise ValueError(f"{name} must be one int or a row of shape (B,); got shape {row.shape}")
        outside = row[(row < low) | (row > self.T)]
        if row.size == 0 or outside.size:
            raise ValueError(f"{name} must lie in {low}..{self.T}; got {outside[0] if outside.size else 'none at all'}")
        return row.astype(np.int64)

    def check_pair(self, s: Any, t: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The pair (s, t), checked: 0 <= s < t <= T, elementwise."""
        s, t = self.check(s, name="s"), self.check(t, low=1)
        if s.ndim and t.ndim and s.shape != t.shape:
            raise ValueError(f"s and t must be ints or rows of one length; got lengths {len(s)} and {len(t)}")
        if not np.all(s < t):
            i = int(np.argmax(s >= t))
            got = f"s = {s[i] if s.ndim else s}, t = {t[i] if t.ndim else t}"
            raise ValueError(f"s must be earlier than t (s < t, both in 0..{self.T}); got {got}")
        return s, t

    def check_times(self, times: Any) -> list[int]:
        """The times of a sampler as ints: two or more, strictly decreasing, within T..0."""
        row = self.check(times, name="times")
        if row.ndim != 1 or len(row) < 2 or np.any(np.diff(row) >= 0):
            raise ValueError(f"times must be two or more, strictly decreasing within {self.T}..0; got {_row(row)}")
        return [int(t) for t in row]

    def alpha_bar_ts(self, s: Any, t: Any) -> Float:
        """alpha_bar_t / alpha_bar_s for s < t: the squared factor by which x_s survives until t."""
        s, t = self.check_pair(s, t)
        return np.asarray(np.exp(self.log_alpha_bar[t] - self.log_alpha_bar[s]))[()]

    def beta_ts(self, s: Any, t: Any) -> Float:
        """1 - alpha_bar_t / alpha_bar_s: the noise added between s and t; beta_t itself for s = t - 1."""
        s, t = self.check_pair(s, t)
        return np.asarray(-np.expm1(self.log_alpha_bar[t] - self.log_alpha_bar[s]))[()]


def _positive(T: int) -> int:
    if isinstance(T, bool) or not isinstance(T, (int, np.integer)) or T < 1:
        raise ValueError(f"T must be an int >= 1; got {T!r}")
    return int(T)


def _row(a: NDArray[Any]) -> str:
    """The first numbers of an array, for an error message of one line."""
    flat = a.ravel()
    return f"{', '.join(str(v) for v in flat[:4].tolist())}{', ...' if len(flat) > 4 else ''}" if a.size else "none"
