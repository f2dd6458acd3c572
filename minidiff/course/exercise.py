"""What an exercise is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Exercise:
    """One question of a notebook. An answer is a function of the arguments of `example()`, or a value where there is nothing to pass.

    reference: the right answer, where possible by another road than the solution in the notebook. mistakes: what the reader did -> the
    answer that this gives; at the example each differs from the right one and from the others. page: where to read on. points: all or
    none. rtol: how near is right. entry: what an index of the answer is called. Checked, one by one, by tests/test_course.py.
    """

    name: str
    notebook: str
    page: str
    reference: Function
    mistakes: Mapping[str, Function]
    example: Callable[[], tuple[Any, ...]] = tuple
    points: int = 1
    rtol: float = 1e-6
    entry: str = "entry"
