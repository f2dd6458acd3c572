"""The file of progress: the best points so far of each exercise, as JSON, for readers and graders."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import Any

from minidiff.course.table import EXERCISES


def keep(path: Path, exercise: str, said: dict[str, Any]) -> None:
    """Put what was said of an answer, with its "points", into the file, unless better is there; a broken file is begun anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if said["points"] >= found.get(exercise, {}).get("points", 0):
        found[exercise] = said
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def passed(path: Path) -> set[str]:
    """The exercises that a file of progress says are passed; none if there is no such file, or it cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name for name, said in found.items() if name in EXERCISES and said["points"] >= EXERCISES[name].points}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return set()


def count(done: Set[str], notebook: str) -> str:
    """"3 of 4": how many exercises of a notebook are among those."""
    mine = [e.name for e in EXERCISES.values() if e.notebook == notebook]
    return f"{sum(name in done for name in mine)} of {len(mine)}"
