"""The ledger: every equation is registered once, with a function that computes both of its sides by different routes.

`@equation(paper, number, title, formula=...)` registers; `run` computes; `table`, `as_json`, `markdown` and `show` report.
The command line, the tests, EQUATIONS.md and the notebooks all read this one list.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Function = Callable[[], "Check | Iterable[Check]"]

PAPERS = {
    "ddpm": "DDPM, Ho, Jain & Abbeel 2020",
    "improved_ddpm": "Improved DDPM, Nichol & Dhariwal 2021",
    "ddim": "DDIM, Song, Meng & Ermon 2021",
    "score": "Scores, and the networks that predict eps, x_0, v or the score",
    "vdm": "VDM, Kingma, Salimans, Poole & Ho 2021",
    "sde": "Score SDEs and exact likelihood, Song et al. 2021",
    "solvers": "Fast samplers: DPM-Solver++, Heun, and every sampler on Gaussian data",
    "guidance": "Classifier-free guidance, Ho & Salimans 2022",
    "inpainting": "Inpainting and editing: replacement, RePaint, SDEdit",
    "latent": "Latent diffusion, Rombach, Blattmann, Lorenz, Esser & Ommer 2022",
    "families": "The other families: VAE, flow, autoregressive, GAN",
    "gaussian": "Gaussian data, where everything is known",
    "mixture": "Gaussian mixtures, where everything is known or one integral away",
    "ledger": "The ledger itself",
}


@dataclass(frozen=True)
class Check:
    """One comparison of two routes to the same number.

    what: what is compared, in words. closed, numerical: the two sides (of an array: the middle entry, or, if the check
    fails, where they differ most). error: their largest distance, absolute, relative or in standard errors, to be at most
    `tolerance`. method: the route of `numerical`. bound: `closed` need only be at most `numerical`.
    """

    what: str
    closed: float
    numerical: float
    error: float
    tolerance: float
    method: str
    standard_error: float | None = None
    bound: bool = False

    @property
    def passed(self) -> bool:
        """error <= tolerance. NaN compares false, so a NaN on either side fails."""
        return bool(self.error <= self.tolerance)


@dataclass(frozen=True)
class Equation:
    """A registered equation: where it stands, how it reads, which function of minidiff it is about, and its checks."""

    paper: str
    number: str
    title: str
    formula: str
    function: str
    source: str
    checks: Function

    @property
    def name(self) -> str:
        """paper and number, as `minidiff verify` prints them and `show` takes them."""
        return f"{self.paper} {self.number}"


@dataclass(frozen=True)
class Result:
    """What running an equation gave: its checks, the seconds it took, and the message of the exception if it raised."""

    equation: Equation
    checks: tuple[Check, ...]
    seconds: float
    failure: str | None = None

    @property
    def passed(self) -> bool:
        """No exception, at least one check, and every check passed."""
        return self.failure is None and len(self.checks) > 0 and all(c.passed for c in self.checks)


REGISTRY: list[Equation] = []
_seed = 0  # set by `run`; every stream of random numbers in the ledger depends on it


def equation(paper: str, number: str, title: str, *, formula: str, function: str, source: str = "") -> Callable[[Function], Function]:
    """Register the decorated function as the check of one equation; it returns one Check or several.

    formula: LaTeX without dollars. function: the name in minidiff that the equation is about. source: paper and place, if
    paper and number do not say it. Raises ValueError if the equation is registered already.
    """

    def register(checks: Function) -> Function:
        if any((e.paper, e.number) == (paper, number) for e in REGISTRY):
            raise ValueError(f"equation {paper} {number} is registered twice")
        numbered = f"{PAPERS.get(paper, paper)}, {'Eq. ' if number[:1].isdigit() else ''}{number}"
        where = source or (numbered if paper in ("ddpm", "improved_ddpm", "ddim", "vdm", "sde") else f"this ledger, {number}")
        REGISTRY.append(Equation(paper, number, title, formula, function, where, checks))
        return checks

    return register


def generator(stream: int) -> np.random.Generator:
    """The random numbers of one check: streams differ between checks, and all change with the seed given to `run`."""
    return np.random.default_rng(stream + 1000 * _seed)


def close(what: str, closed: Any, numerical: Any, tolerance: float, method: str, relative: bool = False) -> Check:
    """Compare two numbers or arrays: the largest |closed - numerical|, divided by |closed| if relative."""
    a, b = np.broadcast_arrays(np.asarray(closed, dtype=np.float64), np.asarray(numerical, dtype=np.float64))
    with np.errstate(invalid="ignore", divide="ignore"):  # inf - inf is NaN, which fails
        error = np.abs(a - b) / (np.abs(a) if relative else 1.0)
    worst = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
    # Where rounding is worst differs from machine to machine, and notebooks print these numbers: show a fixed entry instead.
    i = error.size // 2 if error.flat[worst] <= tolerance else worst
    return Check(what, float(a.flat[i]), float(b.flat[i]), float(error.flat[worst]), tolerance, method)


def at_most(what: str, smaller: Any, larger: Any, tolerance: float, method: str) -> Check:
    """Check smaller <= larger up to rounding: the error is the worst excess, 0 if there is none."""
    a, b = np.broadcast_arrays(np.asarray(smaller, dtype=np.float64), np.asarray(larger, dtype=np.float64))
    i = int(np.argmax(np.where(np.isnan(a - b), np.inf, a - b)))
    excess = float(np.maximum(a.flat[i] - b.flat[i], 0.0))
    return Check(what, float(a.flat[i]), float(b.flat[i]), excess, tolerance, method, bound=True)


def monte_carlo(what: str, closed: Any, sample: Any) -> Check:
    """Compare a mean over independent draws with a number, or with the mean over another sample, in standard errors (< 5).

    Two samples must come from different noise: shared noise makes two wrong routes agree, so a correlation between them
    raises ValueError.
    """
    b = np.asarray(sample, dtype=np.float64).ravel()
    error, other = b.std(ddof=1) / np.sqrt(len(b)), np.asarray(closed, dtype=np.float64)
    if other.ndim:
        a, n = other.ravel(), min(other.size, len(b))
        if abs(np.corrcoef(a[:n], b[:n])[0, 1]) > 5 / np.sqrt(n):
            raise ValueError(f"{what}: both sides of a Monte Carlo comparison use the same noise")
        error = np.hypot(error, a.std(ddof=1) / np.sqrt(len(a)))
    exact, mean = float(other.mean()), float(b.mean())
    return Check(what, exact, mean, abs(exact - mean) / error, 5.0, "Monte Carlo", float(error))


def find(paper: str | None = None, number: str | None = None) -> list[Equation]:
    """The registered equations of a paper and number; all of them for None. "7" also finds "6-7".

    Raises KeyError that names the nearest equations if there is none.
    """
    found = [e for e in sorted(REGISTRY, key=_place) if paper in (None, e.paper) and (number is None or _covers(e.number, str(number)))]
    if not found:
        wanted, names = f"{paper or ''} {number or ''}".strip(), [e.name for e in REGISTRY]
        near = difflib.get_close_matches(wanted, names, 4, 0.3) or sorted({e.paper for e in REGISTRY})
        raise KeyError(f"no equation {wanted!r} is registered; the nearest are: {', '.join(near)}")
    return found


def _place(e: Equation) -> tuple[int, float]:
    """Papers in the order of PAPERS; in each, numbers in order, then what has a name instead of a number."""
    papers, digits = list(PAPERS), re.match(r"B?(\d+)", e.number)
    return papers.index(e.paper) if e.paper in papers else len(papers), int(digits[1]) if digits else np.inf


def _covers(number: str, wanted: str) -> bool:
    if number.lower() == wanted.strip().lower():
        return True
    ends = re.fullmatch(r"(\d+)-(\d+)", number)
    return ends is not None and wanted.isdecimal() and int(ends[1]) <= int(wanted) <= int(ends[2])


def check(e: Equation) -> Result:
    """Run one equation. An exception is a failure that carries its message, and never stops the others."""
    start = time.perf_counter()
    try:
        made = e.checks()
        checks = (made,) if isinstance(made, Check) else tuple(made)
        failure = None if checks else "no check was made"
    except Exception as error:
        checks, failure = (), f"{type(error).__name__}: {error}"
    return Result(e, checks, time.perf_counter() - start, failure)


def run(paper: str | None = None, number: str | None = None, seed: int = 0) -> list[Result]:
    """Run the checks of a paper, of one equation, or of the whole ledger, in the order of the papers.

    seed: another one draws other random points and Monte Carlo samples for every check; the verdicts must not change.
    """
    global _seed
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ValueError(f"seed must be an int >= 0; got {seed!r}")
    before, _seed = _seed, seed
    try:
        return [check(e) for e in find(paper, number)]
    finally:
        _seed = before
