"""The map of the families: pick a data set and a family, and see its samples beside the data, with its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from minidiff.notebook.widgets import Explorer, canvas, choice, explorer

KINDS = {"exact": "exact", "bound": "at most (a bound)", "importance": "at most (importance-weighted bound)"}


def family_explorer(found: dict[str, Any]) -> Explorer:
    """Two lists over what `benchmarks/families.py --record` measured: nothing is trained or drawn here, so every choice shows at once.

    found: "sets", name -> what is known of a data set, and "rows", one for each data set and family, with samples of both.
    Checked by tests/test_family_widgets.py.
    """
    lines = {(row["data"], row["family"]): row for row in found["rows"]}
    families = list(dict.fromkeys(row["family"] for row in found["rows"]))

    def update(data: str, family: str) -> Figure:
        fig, (left, right) = canvas(2)
        panel(left, np.asarray(found["sets"][data]["data"]), f"{data}: data")
        row = lines.get((data, family))
        panel(right, None if row is None else np.asarray(row["samples"]), family if row else f"{family}: not measured")
        return fig

    def readout(data: str, family: str) -> str:
        row = lines.get((data, family))
        return "not measured" if row is None else numbers(found["sets"][data], row)

    return explorer(update, readout, data=choice(list(found["sets"]), "ring" if "ring" in found["sets"] else None), family=choice(families))


def panel(axes: Any, x: NDArray[np.float64] | None, title: str) -> None:
    """Numbers as a histogram, pairs as points, rows of a square number as small pictures; nothing for None."""
    axes.set(title=title, xticks=[], yticks=[])
    if x is None:
        return
    if x.shape[1] == 1:
        axes.hist(x[:, 0], np.linspace(-1.3, 1.3, 66))
    elif x.shape[1] == 2:
        axes.scatter(x[:, 0], x[:, 1], s=3, alpha=0.6, linewidths=0)
        axes.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    else:
        side = round(x.shape[1] ** 0.5)
        across = int(len(x) ** 0.5)
        sheet = x[: across**2].reshape(across, across, side, side).swapaxes(1, 2).reshape(across * side, across * side)
        axes.imshow(sheet, vmin=-1, vmax=1, cmap="gray")


def table(found: dict[str, Any], data: str) -> str:
    """All families on one data set, a line for each: means over seeds, with the least and the largest; and how firm the order is.

    -log p: "=" if it is exact, "<=" if a bound is known. Narrow enough for the output of a notebook.
    ValueError for a data set that was not measured. Checked by tests/test_family_widgets.py.
    """
    if data not in found["sets"]:
        raise ValueError(f"{data!r} was not measured; there are {', '.join(found['sets'])}")
    about, lines = found["sets"][data], []
    far = "frechet" if "frechet" in about["floor"] else "sliced_wasserstein"
    head = ("", f"-log p, {about['unit']}", far.replace("_", " "), "recall", "modes", "s/1,000")
    for row in (row for row in found["rows"] if row["data"] == data):
        modes = "" if row["modes"] is None else " ".join(map(str, row["modes"]))
        nats = "none" if row["nats"] is None else f"{'= ' if row['kind'] == 'exact' else '<='} {short(row['nats'])}"
        lines.append((row["family"], nats, short(row[far]), f"{row['recall'][0]:.2f}", modes, f"{row['seconds_per_1000']:.3f}"))
    best = "" if about["entropy"] is None else f">= {about['entropy']:.3g}"
    lines.append(("real data", best, f"{about['floor'][far]:.3g}", f"{about['floor']['recall']:.2f}", "", ""))
    wide = [max(len(line[k]) for line in (head, *lines)) for k in range(len(head))]
    body = ["  ".join(f"{cell:{w}}" for cell, w in zip(line, wide, strict=True)).rstrip() for line in (head, *lines)]
    ranks = [f"by {what}: {about['ranks'][key]}" for what, key in (("-log p", "nats"), (far.replace("_", " "), far))]
    return "\n".join([f"{data}, {about['budget']:g} s of one core for each", *body, *ranks])


def numbers(about: dict[str, Any], row: dict[str, Any]) -> str:
    """What was measured of one family on one data set: means over seeds, with the least and the largest."""
    lines = [f"{row['parameters']:,} parameters, {row['steps']:.0f} steps in {about['budget']:g} CPU s, {row['seeds']} seeds"]
    if row["nats"] is None:
        lines.append("-log p: none, a GAN has no density")
    else:
        best = "" if about["entropy"] is None else f"; least possible {about['entropy']:.3f}"
        lines.append(f"-log p: {three(row['nats'])} {about['unit']}, {KINDS[row['kind']]}{best}")
    for key, floor in about["floor"].items():
        lines.append(f"{key.replace('_', ' ')}: {three(row[key])}; real data {floor:.3g}")
    if row["modes"] is not None:
        lines.append(f"modes met, seed by seed: {', '.join(map(str, row['modes']))}")
    return "\n".join([*lines, f"1,000 samples: {row['seconds_per_1000']:.3g} CPU s"])


def short(values: list[float]) -> str:
    """The same in fewer letters, for a table."""
    low, high = (f"{v:.2g}" if abs(v) < 1 else f"{v:.3g}" for v in values[1:])
    return f"{values[0]:.3g} ({low}..{high})"


def three(values: list[float]) -> str:
    """A mean with its range over seeds."""
    return "{:.3g} ({:.3g} to {:.3g})".format(*values)
