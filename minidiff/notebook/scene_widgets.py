"""Ask and see: a caption is typed, or a map painted, and a network draws what it was told; the judge says what it reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import ipywidgets as ipw
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from minidiff.learn.condition import Condition
from minidiff.nn.scene_judge import SceneJudge
from minidiff.notebook.alternative import Picture, description
from minidiff.notebook.widgets import Explorer, explorer, png, slider
from minidiff.prediction import Denoiser
from minidiff.run.captions import COLOURS, DIGITS, read
from minidiff.run.placing import Placed
from minidiff.run.reading import agrees, digits_seen
from minidiff.run.scene_conditions import captions, maps
from minidiff.run.scenes import RGB
from minidiff.run.space import Space
from minidiff.run.store import Bytes
from minidiff.run.writing import TALL, WIDE, written
from minidiff.sample import dpm_solver, last
from minidiff.wrappers import Clipped, Guided

DRAWN = 4  # pictures for each caption
CALLS = 20
BLANK = "\N{NO-BREAK SPACE}"  # a browser goes on showing what a button said before it was told to say nothing


def painted(denoiser: Denoiser, space: Space, cond: Condition, size: tuple[int, int], scale: float = 1.0, seed: int = 0) -> Tensor:
    """One picture for each condition by `dpm_solver` with 20 steps, guided if scale is not 1: (B, 3, H, W) in [-1, 1]."""
    given = cond.tokens if cond.tokens is not None else cond.image
    assert given is not None
    x = space.noise(len(given), size, torch.Generator().manual_seed(seed))
    guided: Denoiser = denoiser if scale == 1 else Guided(denoiser, scale)
    inner: Denoiser = Clipped(guided) if space.bounded else guided
    return space.show(last(dpm_solver(inner, x, denoiser.schedule.times(CALLS), cond))).clamp(-1, 1)


def said(seen: list[Placed]) -> str:
    """What the judge sees, from left to right, in words: "red seven, blue two"."""
    return ", ".join(f"{COLOURS[p.colour]} {DIGITS[p.digit]}" for p in sorted(seen, key=lambda p: p.left)) or "nothing"


def caption_explorer(denoiser: Denoiser, space: Space, judge: SceneJudge, caption: str = "a red seven above a blue two") -> Explorer:
    """A text box: type a caption, and four pictures of it are drawn and read. What is no caption is said to be none, in one line."""

    @lru_cache(maxsize=8)
    def drawn(caption: str, scale: float, seed: int) -> Tensor:
        return painted(denoiser, space, captions([caption] * DRAWN), (32, 32), scale, seed)

    def update(caption: str, scale: float, seed: int) -> Figure:
        try:
            return row(drawn(caption, scale, seed), caption or "(no caption)")
        except ValueError as e:
            return message(str(e))

    def readout(caption: str, scale: float, seed: int) -> str:
        try:
            seen = digits_seen(judge, drawn(caption, scale, seed))
        except ValueError:
            return "nothing drawn"
        lines = [f"picture {i}: {said(one)}" for i, one in enumerate(seen, 1)]
        try:
            wanted = read(caption)
        except ValueError:
            return "\n".join([*lines, "no sentence of this language, so nobody can say whether it is right"])
        return "\n".join([*lines, f"as was said: {sum(agrees(one, wanted)['all'] for one in seen)} of {DRAWN}"])

    box = ipw.Text(value=caption, continuous_update=False)
    return explorer(update, readout, caption=box, scale=slider(4.0, 1.0, 8.0, 0.5), seed=slider(0, 0, 20))


def row(x: Tensor, title: str) -> Figure:
    """Pictures side by side, (B, 3, H, W) in [-1, 1], under one title."""
    wide = 1.7 * x.shape[3] / x.shape[2]
    fig = Figure(figsize=(min(wide * len(x), 12), 2.1), layout="constrained")
    for axes, picture in zip(np.atleast_1d(fig.subplots(1, len(x))), x, strict=True):
        axes.imshow((picture.permute(1, 2, 0).numpy() + 1) / 2)
        axes.axis("off")
    fig.suptitle(title, fontsize=10)
    return fig


def message(text: str) -> Figure:
    """A figure that says what is wrong."""
    fig = Figure(figsize=(8, 1.2), layout="constrained")
    fig.text(0.02, 0.5, text, wrap=True, va="center", fontsize=9)
    return fig


def put(labels: Bytes, tint: Bytes, digit: int, colour: int, y: int, x: int) -> tuple[Bytes, Bytes]:
    """The map with the box of one digit more, its middle at (y, x) or as near as the canvas allows; what it covers is gone.

    labels and tint: (H, W) as `maps` takes them; they are not changed. ValueError for a digit or colour that there is not.
    """
    if not (0 <= digit <= 9 and 0 <= colour < len(COLOURS)):
        raise ValueError(f"there are digits 0..9 and colours 0..{len(COLOURS) - 1}; got {digit} and {colour}")
    H, W = labels.shape
    wide = WIDE - 4 if digit == 1 else WIDE
    top, left = min(max(y - TALL // 2, 0), H - TALL), min(max(x - wide // 2, 0), W - wide)
    labels, tint = labels.copy(), tint.copy()
    box = np.s_[top : top + TALL, left : left + wide]
    labels[box], tint[box] = 1 + digit, 1 + colour
    return labels, tint


class MapPainter(ipw.VBox):
    """A canvas of buttons: choose a digit and a colour, press where it shall stand, and what `draw(labels, tint)` makes is shown.

    Made by `map_painter`. `press(row, column)` does what a hand does; a typed line of digits in `line.value` replaces the map; `clear`
    empties it. What goes wrong is said in `readout`, and the map stays as it was.
    """

    def __init__(self, draw: Callable[[Bytes, Bytes], tuple[Figure, str]], size: tuple[int, int], text: str, cell: int = 8) -> None:
        self._draw, self._size, self._cell = draw, size, cell
        self.digit = ipw.Dropdown(options=list(range(10)), value=7, description="digit", layout=ipw.Layout(width="150px"))
        self.colour = ipw.Dropdown(options=list(COLOURS), value="red", description="colour", layout=ipw.Layout(width="190px"))
        self.line = ipw.Text(value=text, description="or type", continuous_update=False, layout=ipw.Layout(width="260px"))
        self.clear = ipw.Button(description="clear", layout=ipw.Layout(width="80px"))
        small = ipw.Layout(width="28px", height="24px", margin="1px", padding="0px")
        self.cells = [[ipw.Button(layout=small) for _ in range(size[1] // cell)] for _ in range(size[0] // cell)]
        for i, line in enumerate(self.cells):
            for j, button in enumerate(line):
                button.on_click(lambda _, i=i, j=j: self.press(i, j))
        self.image, self.readout = Picture(format="png"), ipw.HTML()
        grid = ipw.VBox([ipw.HBox(line) for line in self.cells])
        super().__init__([ipw.HBox([self.digit, self.colour, self.line, self.clear]), grid, self.image, self.readout])
        self.line.observe(lambda change: self._write(change["new"]), names="value")
        self.clear.on_click(lambda _: self._set(np.zeros(size, np.uint8), np.zeros(size, np.uint8)))
        self._write(text)

    def press(self, row: int, column: int) -> None:
        """The chosen digit, its middle in this cell."""
        half = self._cell // 2
        there = self._cell * row + half, self._cell * column + half
        self._set(*put(self.labels, self.tint, self.digit.value, COLOURS.index(self.colour.value), *there))

    def _write(self, text: str) -> None:
        try:
            self._set(*written(text, self._size, self.colour.value))
        except ValueError as e:
            self.readout.value = f"<pre>{e}</pre>"

    def _set(self, labels: Bytes, tint: Bytes) -> None:
        self.labels, self.tint = labels, tint
        for i, line in enumerate(self.cells):
            for j, button in enumerate(line):
                y, x = self._cell * i + self._cell // 2, self._cell * j + self._cell // 2
                what = f"{COLOURS[tint[y, x] - 1]} {DIGITS[labels[y, x] - 1]}" if labels[y, x] else "empty"
                button.description = str(labels[y, x] - 1) if labels[y, x] else BLANK
                button.tooltip = f"row {i + 1}, column {j + 1}: {what}"  # for those who do not see its place and its colour
                button.style.button_color = "rgb({:.0f},{:.0f},{:.0f})".format(*RGB[tint[y, x] - 1]) if tint[y, x] else "#444444"
        figure, text = self._draw(labels, tint)
        self.image.value, self.image.tooltip, self.readout.value = png(figure), f"{description(figure)} {text}", f"<pre>{text}</pre>"


def map_painter(
    denoiser: Denoiser, space: Space, judge: SceneJudge, size: tuple[int, int] = (32, 96), text: str = "27.11", scale: float = 4.0
) -> MapPainter:
    """A canvas to paint a map on, drawn at once by a network that is told maps (`scenes-map`) and read by the judge."""

    def draw(labels: Bytes, tint: Bytes) -> tuple[Figure, str]:
        x = painted(denoiser, space, maps(labels[None], tint[None]), size, scale)
        return row(x, "drawn from the map"), f"the judge sees: {said(digits_seen(judge, x)[0])}"

    return MapPainter(draw, size, text)
