"""Digit scenes: coloured handwritten digits on a canvas of any size, each with a caption, a map and its list of digits.

The digits are real (MNIST); where, how large, of which colour and on which ground is drawn. Scene k of a seed is always the same one.
What a caption asks for can be checked, by a program, in a picture: that is the purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np

from minidiff.run.captions import Described, caption_of, unseen
from minidiff.run.placing import Placed, arrange, crowd, some_description
from minidiff.run.store import Bytes, Pictures

RGB = np.array([(230, 50, 40), (60, 190, 70), (60, 110, 240), (240, 210, 50), (200, 80, 220), (240, 240, 240)], np.float32)
SMALLEST = 24  # pixels a side


@dataclass(frozen=True, eq=False)
class Scene:
    """picture (H, W, 3) uint8. map (H, W) uint8: 0 is ground, 1 + d the box of a digit d. tint (H, W) uint8: 0 is ground, 1 + c its colour.

    digits: what was placed, in the order in which the caption speaks of it. caption: one line of text, "" for a crowd. said: what the
    caption means, None for a crowd.
    """

    picture: Bytes
    map: Bytes
    tint: Bytes
    digits: tuple[Placed, ...]
    caption: str = ""
    said: Described | None = None

    def crop(self, top: int, left: int, height: int, width: int) -> Scene:
        """A window of it, without a caption: digits may be cut. ValueError if it leaves the canvas."""
        H, W = self.map.shape
        if not (0 <= top <= top + height <= H and 0 <= left <= left + width <= W and height > 0 and width > 0):
            got = f"rows {top}..{top + height}, columns {left}..{left + width}"
            raise ValueError(f"the window must lie in the canvas of {H} x {W}; got {got}")
        part = np.s_[top : top + height, left : left + width]
        moved = (Placed(d.digit, d.colour, d.top - top, d.left - left, d.height, d.width) for d in self.digits)
        inside = tuple(d for d in moved if d.top < height and d.left < width and d.top + d.height > 0 and d.left + d.width > 0)
        return Scene(self.picture[part], self.map[part], self.tint[part], inside)


@dataclass(frozen=True, eq=False)
class Scenes:
    """scenes[k] is the k-th scene of this seed: one to four digits and a caption ("text"), or digits all over the canvas ("crowd").

    digits: whose handwriting. size: (H, W). allowed: which captions may occur; by default those without held-out combinations
    (`unseen`). Raises ValueError for a canvas that is too small. Checked by tests/test_scenes.py.
    """

    digits: Pictures
    seed: int = 0
    size: tuple[int, int] = (32, 32)
    kind: str = "text"
    allowed: Callable[[Described], bool] = field(default=lambda said: not unseen(said))

    def __post_init__(self) -> None:
        least = 32 if self.kind == "text" else SMALLEST
        if self.kind not in ("text", "crowd"):
            raise ValueError(f'kind must be "text" or "crowd"; got {self.kind!r}')
        if min(self.size) < least:
            raise ValueError(f"a canvas for {self.kind} must have at least {least} x {least} pixels; got {self.size[0]} x {self.size[1]}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0; got {self.seed}")

    @cached_property
    def by_class(self) -> list[np.ndarray]:
        """The indices of the zeros, of the ones, ..."""
        found = [np.flatnonzero(self.digits.labels == d) for d in range(10)]
        if any(len(one) == 0 for one in found):
            raise ValueError("scenes need digits of all ten classes")
        return found

    def __getitem__(self, k: int) -> Scene:
        if k < 0:
            raise IndexError(f"scenes are numbered from 0; got {k}")
        rng = np.random.default_rng([self.seed, k])
        if self.kind == "crowd":
            return paint(crowd(self.size, rng), self.size, self._handwriting(rng), rng)
        while True:
            said = some_description(rng)
            if self.allowed(said):
                return self.draw(said, rng)

    def draw(self, said: Described, rng: np.random.Generator) -> Scene:
        """A scene of which this is true, with a caption in one of its wordings."""
        placed = arrange(said, self.size, rng)
        return paint(placed, self.size, self._handwriting(rng), rng, caption_of(said, rng), said)

    def _handwriting(self, rng: np.random.Generator) -> Callable[[int], Bytes]:
        def one(digit: int) -> Bytes:
            return self.digits.images[rng.choice(self.by_class[digit])]

        return one


def paint(
    placed: Sequence[Placed],
    size: tuple[int, int],
    handwriting: Callable[[int], Bytes],
    rng: np.random.Generator,
    caption: str = "",
    said: Described | None = None,
) -> Scene:
    """The picture of these digits on a ground of its own, and its map. Boxes are narrowed to the ink of the digit that was drawn."""
    H, W = size
    canvas, boxes = ground(size, rng), []
    labels, tint = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for p in placed:
        ink = inked(handwriting(p.digit), p.height, p.width)
        box = Placed(p.digit, p.colour, p.top, p.left + (p.width - ink.shape[1]) // 2, p.height, ink.shape[1])
        if box.left + box.width <= 0 or box.left >= W:  # narrowed out of the canvas
            continue
        boxes.append(box)
        y, x = max(box.top, 0), max(box.left, 0)
        ink = ink[y - box.top : H - box.top, x - box.left : W - box.left, None]
        part = np.s_[y : y + ink.shape[0], x : x + ink.shape[1]]
        canvas[part] += ink * (RGB[p.colour] - canvas[part])
        labels[part], tint[part] = 1 + p.digit, 1 + p.colour
    return Scene(canvas.round().clip(0, 255).astype(np.uint8), labels, tint, tuple(boxes), caption, said)


def inked(digit: Bytes, height: int, width: int) -> np.ndarray:
    """The ink of a digit in 0..1, cut to its box and scaled to this height, at most `width` wide: (28, 28) uint8 -> (height, <= width)."""
    ink = digit > 60
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    tight = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    wide = min(max(round(tight.shape[1] * height / tight.shape[0]), 4), width)
    made: np.ndarray = areas(tight.shape[0], height) @ tight @ areas(tight.shape[1], wide).T
    return made / 255


@cache
def areas(n: int, m: int) -> np.ndarray:
    """The matrix that makes m pixels of n, each the mean of what it covers: (m, n), every row sums to 1."""
    old, new = np.arange(n), np.arange(m)[:, None] * n / m
    shared = np.minimum(old + 1, new + n / m) - np.maximum(old, new)
    return np.asarray(shared.clip(0) * m / n, np.float32)


def ground(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A dark ground, plain, striped or bumpy, with a slight tint of its own: (H, W, 3) float32 in 0..255. It has no borders."""
    base = rng.uniform(10, 80) + rng.uniform(-12, 12, 3)
    kind, strength = rng.integers(3), rng.uniform(10, 28)
    angle, phase = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 2)
    k = 2 * np.pi / rng.uniform(6, 14)
    y, x = np.arange(size[0], dtype=np.float32)[:, None], np.arange(size[1], dtype=np.float32)[None]
    along, across = k * (np.cos(angle) * x + np.sin(angle) * y) + phase[0], k * (np.cos(angle) * y - np.sin(angle) * x) + phase[1]
    wave = (0 * (x + y), np.sin(along), np.sin(along) * np.sin(across))[kind]
    return np.asarray(base + strength * wave[..., None], np.float32)
