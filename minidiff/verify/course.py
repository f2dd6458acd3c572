"""Where the course teaches each equation: EQUATIONS.md prints it, tests/test_verify.py holds it to the notebooks that there are."""

from __future__ import annotations

TAUGHT: dict[str, tuple[str, ...]] = {
    "01": ("ledger power",),
    "02": ("ddpm 2", "ddpm 4", "ddpm L_T", "improved_ddpm 17"),
}


def notebooks_of(name: str) -> list[str]:
    """The numbers of the notebooks that teach the equation of this name, such as "ddpm 6-7"."""
    return [notebook for notebook, names in TAUGHT.items() if name in names]
