"""Examine the whole corpus of tests/sick_models.py and tests/sick_models_blind.py, and write docs/DOCTOR.md: rates, the confusion table, every miss.

Run from the repository: python tools/doctor_table.py
"""

import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import sick_models  # noqa: E402
import sick_models_blind  # noqa: E402

from minidiff.doctor import examine  # noqa: E402

PARTS = {
    "FIRST": "written together with the rungs",
    "LATER": "written when the rungs stood, before they were run on it; afterwards the rungs were improved",
    "LAST": "written after that, before the rungs were run on it",
    "BLIND": "written by someone who had not read the rungs; afterwards the rungs were improved",
}
BEFORE = (ROOT / "tools" / "doctor_first_sight.txt").read_text(encoding="utf-8")


def diagnose(part):
    where = sick_models_blind if part in ("BLIND", "UNUSUAL") else sick_models
    for k, sick in enumerate(getattr(where, part)):
        patient, x_0 = where.consult(sick, k)
        yield sick, examine(patient, x_0).diagnosis or "none"


def main():
    rows, misses, confusion = [], [], Counter()
    for part, how in PARTS.items():
        found = list(diagnose(part))
        right = sum(sick.defect == name for sick, name in found)
        rows.append(f"| {part} | {how} | {len(found)} | {right} | {right / len(found):.1%} |")
        misses += [f"| {sick.defect} | {sick.what} | {name} |" for sick, name in found if name != sick.defect]
        confusion.update((sick.defect, name) for sick, name in found)
    n, right = sum(confusion.values()), sum(c for (a, b), c in confusion.items() if a == b)
    healthy = [*diagnose("HEALTHY"), *diagnose("UNUSUAL")]
    accused = [f"{sick.what} ({name})" for sick, name in healthy if name != "none"]
    table = [f"| {a} | {b} | {c} |" for (a, b), c in sorted(confusion.items())]

    lines = [
        HEAD, "## Rates", "", "| part | when it was written | models | right | rate |", "|---|---|---|---|---|", *rows,
        f"| all | | {n} | {right} | {right / n:.1%} |", "",
        f"Healthy models: {len(healthy)}, accused: {len(accused)}{': ' + ', '.join(accused) if accused else ''}.", "",
        "## At first sight", "", BEFORE, "## Misses today", "", "| defect | the mistake | named |", "|---|---|---|", *misses, "",
        "## Confusion", "", "| seeded | named first | models |", "|---|---|---|", *table, "",
    ]  # fmt: skip
    (ROOT / "docs" / "DOCTOR.md").write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(rows), f"all: {right} of {n}; healthy accused: {accused}", sep="\n")


HEAD = """# The doctor

`minidiff.doctor.examine(patient, x_0)` measures a diffusion model on a ladder of rungs and names the most likely defect, with what was expected, what was seen and
the page to read. This page says how often it is right. `python tools/doctor_table.py` measures it anew and writes this page.

The corpus (`tests/sick_models.py`, and `tests/sick_models_blind.py` for the part BLIND) holds exact denoisers of Gaussian mixtures, and samplers around them, with one mistake each from the
list of typical mistakes or from public teaching code, on twelve laws of data of one to six dimensions, linear, cosine and sigmoid schedules of 30 to 1000 steps, in NumPy and in torch. A diagnosis counts as right if the
*first* defect named is the seeded one. A healthy model counts as accused if anything at all is named.
"""


if __name__ == "__main__":
    main()
