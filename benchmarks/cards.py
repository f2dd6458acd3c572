"""What the shipped weights say of themselves, as tables and a figure: quality against calls, and accuracy against diversity by scale.

    python benchmarks/cards.py

Measures nothing: the numbers were put into the weights by `minidiff evaluate NAME -n 1000 --sampler S --steps K --scale W --save`.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from measure import table

from minidiff.learn import read_metadata
from minidiff.run import weights_path
from minidiff.run.sampling import SAMPLERS

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHOWN = {
    "mnist-ddpm": {"frechet": "Frechet distance", "clear": "share above 0.9", "recall": "recall"},
    "mnist-label": {"label_accuracy": "read as asked", "frechet": "Frechet distance", "precision": "precision", "recall": "recall"},
}


def measured(name: str, n: int) -> list[tuple[str, int, float, dict[str, Any]]]:
    """Sampler, calls, scale and numbers of each evaluation of n samples."""
    found = []
    for key, numbers in read_metadata(weights_path(name))["results"]["samples"].items():
        sampler, calls, *scale = key.split()
        if numbers["n"] == n:
            found.append((sampler, int(calls), float(scale[1]) if scale else 1.0, numbers))
    return sorted(found, key=lambda row: (SAMPLERS.index(row[0]), row[1], row[2]))


def shown(numbers: dict[str, Any], key: str) -> str:
    """A value with its interval."""
    low, high = numbers[key]["interval_95"]
    return f"{numbers[key]['value']:.3g} ({low:.3g} to {high:.3g})"


def figure(path: Path) -> None:
    """Left: Frechet distance against calls, without labels. Right: accuracy against recall, a point for each scale of guidance from 1."""
    fig = Figure(figsize=(11, 4.2), layout="tight")
    left, right = fig.subplots(1, 2)
    rows = measured("mnist-ddpm", 1000)
    for sampler in SAMPLERS:
        mine = [(calls, m["frechet"]) for s, calls, _, m in rows if s == sampler]
        value = [f["value"] for _, f in mine]
        bars = [[abs(f["interval_95"][side] - f["value"]) for _, f in mine] for side in (0, 1)]
        left.errorbar([calls for calls, _ in mine], value, bars, marker="o", capsize=3, label=sampler)
    left.axhline(rows[0][3]["frechet"]["floor"], color="grey", ls=":", label="real against real")
    ticks = sorted({calls for _, calls, _, _ in rows} & {5, 10, 20, 50, 250, 1000})
    left.set(xscale="log", yscale="log", xlabel="network calls for one digit", ylabel="Frechet distance, n = 1000", title="mnist-ddpm")
    left.set_xticks(ticks, [str(k) for k in ticks])
    left.xaxis.set_minor_formatter(NullFormatter())
    left.legend(fontsize=8)
    guided = [row for row in measured("mnist-label", 1000) if row[2] >= 1]
    right.plot([m["recall"]["value"] for *_, m in guided], [m["label_accuracy"]["value"] for *_, m in guided], marker="o")
    for _, _, scale, m in guided:
        at = (m["recall"]["value"], m["label_accuracy"]["value"])
        right.annotate(f"{scale:g}", at, xytext=(6, 4), textcoords="offset points")
    right.axhline(guided[0][3]["label_accuracy"]["floor"], color="grey", ls=":", label="real digits")
    right.axvline(guided[0][3]["recall"]["floor"], color="grey", ls=":")
    right.set(xlabel="recall", ylabel="read as asked", title="mnist-label, by scale of guidance")
    right.legend(fontsize=8)
    fig.savefig(path, dpi=120)


def main() -> None:
    for name, columns in SHOWN.items():
        rows = measured(name, 1000)
        floors = [f"{rows[0][3][key]['floor']:.3g}" for key in columns]
        body: list[list[object]] = [[s, calls, f"{scale:g}", *(shown(m, key) for key in columns)] for s, calls, scale, m in rows]
        print("\n" + table(["sampler", "calls", "scale", *columns.values()], [*body, ["real digits", "", "", *floors]], name) + "\n")
    figure(DOCS / "cards.png")


if __name__ == "__main__":
    main()
