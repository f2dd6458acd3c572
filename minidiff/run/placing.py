"""Where the digits of a scene lie: so that a description is true, or all over the canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minidiff.run.captions import COLOURS, Described

GAP = 2  # pixels between the boxes of two digits, at least
CLEAR = 3  # pixels by which "above" is more above than beside, at least
MARGIN = 16  # pixels around a crowd's canvas


@dataclass(frozen=True)
class Placed:
    """A digit on the canvas: 0..9, the number of its colour in COLOURS, and its box [top, top + height) x [left, left + width)."""

    digit: int
    colour: int
    top: int
    left: int
    height: int
    width: int

    @property
    def middle(self) -> tuple[float, float]:
        """Row and column of the middle of the box."""
        return self.top + self.height / 2, self.left + self.width / 2

    def apart(self, other: Placed, gap: int = GAP) -> bool:
        """Whether there are at least `gap` pixels between the two boxes."""
        down = max(other.top - self.top - self.height, self.top - other.top - other.height)
        right = max(other.left - self.left - self.width, self.left - other.left - other.width)
        return max(down, right) >= gap


def some_description(rng: np.random.Generator) -> Described:
    """What a scene shall show: one digit, two of any kind in a relation, or two to four alike in a row, a column or a square."""
    digit, colour = int(rng.integers(10)), int(rng.integers(len(COLOURS)))
    draw = rng.random()
    if draw < 0.2:
        return Described("alone", ((digit, colour),))
    if draw < 0.7:
        relation = ("above", "left of")[rng.integers(2)]
        return Described(relation, ((digit, colour), (int(rng.integers(10)), int(rng.integers(len(COLOURS))))))
    form, n = (("row", 2), ("row", 3), ("column", 2), ("square", 4))[rng.integers(4)]
    return Described(form, ((digit, colour),) * n)


def arrange(said: Described, size: tuple[int, int], rng: np.random.Generator) -> list[Placed]:
    """Boxes on the canvas for which the description is true."""
    H, W = size
    if said.form == "alone":
        return [_somewhere(said.what[0], (0, 0, H, W), (12, 20), rng)]
    if said.form in ("above", "left of"):
        cells = ((0, 0, H // 2, W), (H - H // 2, 0, H // 2, W)) if said.form == "above" else ((0, 0, H, W // 2), (0, W - W // 2, H, W // 2))
        while True:
            first, second = (_somewhere(one, cell, (11, 14), rng) for one, cell in zip(said.what, cells, strict=True))
            if related(first, second, CLEAR) == said.form and first.apart(second):
                return [first, second]
    rows, columns = {"row": (1, len(said.what)), "column": (len(said.what), 1), "square": (2, 2)}[said.form]
    tall = (12, 14) if columns < 3 else (10, 12)
    height, (down, right) = int(rng.integers(*tall)), (min(H // rows, 18), min(W // columns, 18))
    top, left = int(rng.integers(H - rows * down + 1)), int(rng.integers(W - columns * right + 1))
    cells_of = [(top + r * down, left + c * right, down, right) for r in range(rows) for c in range(columns)]
    return [_in_cell(one, cell, height, rng) for one, cell in zip(said.what, cells_of, strict=True)]


def related(a: Placed, b: Placed, clear: float = 0) -> str:
    """How a lies to b, by the middles of their boxes: "above", "below", "left of" or "right of", whichever is larger.

    "" if it is not larger than the other direction by `clear` pixels.
    """
    (ya, xa), (yb, xb) = a.middle, b.middle
    if abs(abs(ya - yb) - abs(xa - xb)) < clear:
        return ""
    if abs(ya - yb) >= abs(xa - xb):
        return "above" if ya < yb else "below"
    return "left of" if xa < xb else "right of"


def _somewhere(one: tuple[int, int], cell: tuple[int, int, int, int], tall: tuple[int, int], rng: np.random.Generator) -> Placed:
    top, left, height, width = cell
    h = int(rng.integers(tall[0], tall[1] + 1))
    w = min(h, width - GAP)  # a square box; the digit's own width is known when it is painted
    return Placed(*one, top + 1 + int(rng.integers(max(1, height - h - 1))), left + 1 + int(rng.integers(max(1, width - w - 1))), h, w)


def _in_cell(one: tuple[int, int], cell: tuple[int, int, int, int], h: int, rng: np.random.Generator) -> Placed:
    top, left, height, width = cell
    w = min(h, width - GAP)
    wobble = int(rng.integers(max(1, height - h - 1)))
    return Placed(*one, top + 1 + min(wobble, 2), left + (width - w) // 2, h, w)


def crowd(size: tuple[int, int], rng: np.random.Generator) -> list[Placed]:
    """Digits all over the canvas, no two closer than GAP; some are cut by the border, as in a window of a larger canvas.

    They are placed on a canvas that is larger by MARGIN all around, for along a border of the placing itself they would lie denser.
    """
    H, W = size[0] + 2 * MARGIN, size[1] + 2 * MARGIN
    wanted = 1 + int(rng.integers(H * W // 500, H * W // 250 + 1))
    placed: list[Placed] = []
    for digit, colour, height, down, right in rng.random((3 * wanted, 5)).tolist():
        h = 11 + int(6 * height)
        new = Placed(int(10 * digit), int(len(COLOURS) * colour), int(down * (H - h + 1)) - MARGIN, int(right * (W - h + 1)) - MARGIN, h, h)
        if all(new.apart(other) for other in placed):
            placed.append(new)
        if len(placed) == wanted:
            break
    return [p for p in placed if -p.height < p.top < size[0] and -p.width < p.left < size[1]]
