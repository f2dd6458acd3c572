"""The patient: a student's model as it is, with what its author says about it; and the bench on which it is called.

Nothing is assumed of the model but that it can be called. All that the author claims (kind of output, numbering of t, range of the
data) is written down here, and the rungs of the ladder test the claims.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minidiff.arrays import Array, is_torch, like, namespace, no_grad
from minidiff.prediction import KINDS, Denoiser, from_output, target
from minidiff.schedule import Schedule

Float = NDArray[np.float64]
Call = Callable[[Array, Array], Array]


@dataclass(frozen=True, eq=False)
class Guidance:
    """guided(x_t, t, scale), and the two outputs it mixes. convention "scale": 1 is plain conditional; "w": 0 is (Ho & Salimans)."""

    guided: Callable[[Array, Array, float], Array]
    conditional: Call
    unconditional: Call
    convention: str = "scale"

    def __post_init__(self) -> None:
        if self.convention not in ("scale", "w"):
            raise ValueError(f'convention must be "scale" (1: plain conditional) or "w" (0: plain conditional); got {self.convention!r}')


@dataclass(frozen=True, eq=False)
class Averaged:
    """Weights by name, as trained and as averaged after `steps` steps with this decay; start: as they were before the first step."""

    raw: Mapping[str, Array]
    averaged: Mapping[str, Array]
    decay: float
    steps: int
    start: Mapping[str, Array] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1 or self.steps < 1:
            raise ValueError(f"needed: 0 <= decay < 1, steps >= 1; got {self.decay}, {self.steps}")
        for other in (self.averaged, self.start):
            if other is not None and {k: np.shape(v) for k, v in other.items()} != {k: np.shape(v) for k, v in self.raw.items()}:
                raise ValueError("raw, averaged and start must hold the same names with the same shapes")


@dataclass(frozen=True, eq=False)
class Patient:
    """A model and what its author says of it.

    call(x_t, t) -> output, x_t (B, ...), t a row of ints (B,) in the author's own numbering, whose first time is `first` (0 or 1).
    schedule: a `Schedule`, or the author's row of alpha_bar: indexed by t, so with first = 1 entry 0 is 1 and there are T + 1 entries,
    with first = 0 there are T. T: how many times the author believes there are. output: "eps", "x_0", "v" or "score".
    sampler(call, x) -> samples: the author's loop, handed the network to call. noising(x_0, t, eps) -> x_t, t as above.
    trained: the times drawn in training. data_range: (low, high) that the data are said to have. latent: data that should have std 1.
    guidance, averaged: see there. Raises ValueError for a claim that is none. Checked by tests/test_doctor.py.
    """

    call: Call
    schedule: Any
    output: str = "eps"
    first: int = 1
    T: int | None = None
    sampler: Callable[[Call, Array], Array] | None = None
    noising: Callable[[Array, Array, Array], Array] | None = None
    trained: Any = None
    data_range: tuple[float, float] | None = None
    latent: bool = False
    guidance: Guidance | None = None
    averaged: Averaged | None = None

    def __post_init__(self) -> None:
        if not callable(self.call):
            raise TypeError(f"call must be a function call(x_t, t) -> output; got {type(self.call).__name__}")
        if self.output not in KINDS:
            raise ValueError(f"output must be one of {', '.join(KINDS)}; got {self.output!r}")
        if self.first not in (0, 1):
            raise ValueError(f"first, the number of the first noisy time, must be 0 or 1; got {self.first!r}")
        if self.data_range is not None and not self.data_range[0] < self.data_range[1]:
            raise ValueError(f"data_range must be (low, high) with low < high; got {self.data_range}")

    @classmethod
    def of(cls, denoiser: Denoiser, sampler: Callable[[Denoiser, Array], Array] | None = None, **claims: Any) -> Patient:
        """A patient around a `Denoiser` of this package, which speaks eps; sampler(denoiser, x) -> samples."""
        schedule = denoiser.schedule

        def call(x_t: Array, t: Array) -> Array:
            return denoiser(x_t, t).eps

        def run(inner: Call, x: Array) -> Array:
            assert sampler is not None
            return sampler(_Heard(inner, schedule), x)

        return cls(call, schedule, "eps", 1, sampler=None if sampler is None else run, **claims)


@dataclass(frozen=True, eq=False)
class _Heard:
    """A call as a Denoiser again, so that what a sampler of this package asks is heard."""

    call: Call
    schedule: Schedule

    def __call__(self, x_t: Array, t: Any, cond: Any = None) -> Any:
        row = namespace(x_t).zeros(len(x_t), dtype=int) + int(t) if not is_torch(x_t) else x_t.new_full((len(x_t),), int(t)).long()
        return from_output("eps", self.call(x_t, row), x_t, *self.schedule.scales(t))


@dataclass(frozen=True, eq=False)
class Bench:
    """A patient, checked data (n, ...) as float64, the paper's table, and a generator: what every rung is given.

    sample: the data as they came; by its library, dtype and device the patient is called. table: the paper's, or None where the
    author's own cannot be one.
    """

    patient: Patient
    sample: Array
    x_0: Float
    table: Schedule | None
    rng: np.random.Generator

    @property
    def schedule(self) -> Schedule:
        """The table, where later rungs need it."""
        assert self.table is not None
        return self.table

    def told(self, t: int) -> int:
        """The author's number of the paper's time t."""
        return t - 1 + self.patient.first

    def theirs(self, x: Float) -> Array:
        """x in the library, dtype and device of the data."""
        return like(x, self.sample[:1])

    def times(self, t: int, n: int) -> Array:
        """The author's number of t, n times over, as their network takes it."""
        row = np.full(n, self.told(t))
        return namespace(self.sample).as_tensor(row, device=self.sample.device) if is_torch(self.sample) else row

    def ask(self, x_t: Float, t: int, call: Callable[..., Array] | None = None, *more: Any) -> Float:
        """The patient's output at the paper's t, float64; ValueError if it has another shape than x_t or is not finite."""
        with no_grad(self.sample):
            out = ours((call or self.patient.call)(self.theirs(x_t), self.times(t, len(x_t)), *more))
        return checked("the output", out, x_t.shape, f" at t = {t}")

    def noisy(self, t: int, repeats: int) -> tuple[Float, Float, Float]:
        """(x_0, eps, x_t): every point of the data `repeats` times, with fresh noise."""
        x_0 = np.repeat(self.x_0, repeats, 0)
        eps = self.rng.standard_normal(x_0.shape)
        signal, noise = self.schedule.scales(t)
        return x_0, eps, signal * x_0 + noise * eps

    def goal(self, kind: str, x_0: Float, eps: Float, t: int) -> Float:
        """What a network of this kind should say (`prediction.target`)."""
        return np.asarray(target(kind, x_0, eps, *self.schedule.scales(t)))


def ours(x: Any) -> Float:
    """An array of either library as float64 NumPy."""
    return np.asarray(x.detach().cpu().numpy() if is_torch(x) else x, dtype=np.float64)


def checked(name: str, x: Float, shape: tuple[int, ...], where: str = "") -> Float:
    """x, or ValueError if it has another shape or is not finite."""
    if x.shape != shape:
        raise ValueError(f"{name} must have the shape of its input, {shape}; got {x.shape}{where}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite; got NaN or infinity{where}")
    return x
