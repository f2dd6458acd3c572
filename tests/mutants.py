"""Typical mistakes, planted one at a time in a copy of minidiff: which check of the ledger notices?

    python tests/mutants.py          (make mutants)

Each mutant is a small patch of our own source. The runner copies the package, applies one patch, runs the ledger in a fresh
process until the first failure, and prints a Markdown table. It exits with 1 if a mutant survives or no longer applies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mutant_list import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent


# Runs in the mutated copy: the hinted equations, then those that took long here last. Prints what noticed and exits with 3.
LEDGER = """
import sys, warnings
warnings.simplefilter("ignore")
from minidiff.verify import check, find
slow = ["ddpm bound of a pixel", "ddpm Alg. 1", "ddpm Alg. 2", "gaussian B14", "mixture B21", "mixture B16", "mixture torch",
        "ddim 14", "solvers B7", "solvers order", "sde 39", "sde 40", "score Tweedie", "guidance ODE", "guidance ancestral",
        "inpainting replacement", "inpainting resampling", "improved_ddpm 16", "improved_ddpm 18", "improved_ddpm 4-7"]
first = sys.argv[1:]
for e in sorted(find(), key=lambda e: (e.name not in first, e.name in slow)):
    r = check(e)
    if not r.passed:
        what = next((c.what for c in r.checks if not c.passed), r.failure)
        print(f"{e.name} ({e.function}): {what}")
        sys.exit(3)
"""


def attempt(mutant: Mutant | None) -> tuple[str, str, float]:
    """("killed" | "survived" | "does not apply", by what, seconds); None runs the package as it is."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "minidiff"
        shutil.copytree(ROOT / "minidiff", package, ignore=shutil.ignore_patterns("__pycache__", "data"))
        if mutant is not None:
            path = package / mutant.file
            text = path.read_text(encoding="utf-8")
            if text.count(mutant.old) != 1 or mutant.new == mutant.old:
                return "does not apply", f"{mutant.file} holds the text {text.count(mutant.old)} times", time.perf_counter() - start
            path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        hints = mutant.first if mutant else ()
        done = subprocess.run([sys.executable, "-c", LEDGER, *hints], cwd=folder, env=_environment(folder), capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if done.returncode == 0:
        return "survived", "", seconds
    by = done.stdout.strip() or "at import: " + (done.stderr.strip().splitlines() or ["no message"])[-1]
    return "killed", by, seconds


def _environment(folder: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


def main() -> int:
    """Print the table; 1 if any mutant survives or does not apply, or if the package itself fails."""
    verdict, by, seconds = attempt(None)
    if verdict != "survived":
        print(f"The package fails without any mutant: {by}")
        return 1
    print("| mistake | what was changed | noticed by | s |\n|---|---|---|---|", flush=True)
    failed, start = [], time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each attempt is a process of its own, with one thread
        for mutant, (verdict, by, seconds) in zip(MUTANTS, pool.map(attempt, MUTANTS), strict=True):
            cell = by if verdict == "killed" else f"**{verdict}** {by}"
            print(f"| {mutant.number} | {mutant.title} (`{mutant.file}`) | {cell.replace('|', '&#124;')} | {seconds:.1f} |", flush=True)
            if verdict != "killed":
                failed.append(mutant.title)
    total = time.perf_counter() - start
    print(f"\n{len(MUTANTS) - len(failed)} of {len(MUTANTS)} mutants were noticed, in {total:.0f} s.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
