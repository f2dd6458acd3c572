"""Typed digits as a map: where a network that is told maps shall draw them, in its own handwriting."""

from __future__ import annotations

import numpy as np

from minidiff.run.captions import COLOURS
from minidiff.run.store import Bytes

TALL, WIDE, PITCH, SPACE = 15, 11, 14, 7  # pixels: a digit's box, from one digit to the next, and a gap for any other character


def written(text: str, size: tuple[int, int] | None = None, colour: str = "white") -> tuple[Bytes, Bytes]:
    """(labels, tint) of a canvas with these digits in one line: uint8 (H, W) each, as `minidiff.run.scene_conditions.maps` takes them.

    Every character that is no digit is a gap, so "27.11.2026" is three groups. size: (H, W), multiples of 4; by default 32 high and as
    wide as the text needs. colour: a name of COLOURS, or one letter of them for each digit ("rrggbb..."). ValueError for a text
    without digits or too long for the canvas, and for an unknown colour. Checked by tests/test_writing.py.
    """
    digits = [c for c in text if c.isdecimal() and c.isascii()]
    if not digits:
        raise ValueError(f'there must be digits to write, such as "27.11.2026"; got {text!r}')
    needed = sum(PITCH if c.isdecimal() and c.isascii() else SPACE for c in text)
    H, W = size or (32, -(-(needed + 4) // 8) * 8)
    if H % 4 or W % 4 or H < TALL + 2 or needed + 4 > W:
        raise ValueError(f"{text!r} needs a canvas of at least {TALL + 2} x {needed + 4} pixels, multiples of 4; got {H} x {W}")
    tints = iter(_tints(colour, len(digits)))
    labels, tint = np.zeros((H, W), np.uint8), np.zeros((H, W), np.uint8)
    top, left = (H - TALL) // 2, (W - needed) // 2
    for c in text:
        if c.isdecimal() and c.isascii():
            wide = WIDE - 4 if c == "1" else WIDE  # handwritten ones are narrow
            box = np.s_[top : top + TALL, left + (PITCH - wide) // 2 : left + (PITCH - wide) // 2 + wide]
            labels[box], tint[box] = 1 + int(c), 1 + next(tints)
            left += PITCH
        else:
            left += SPACE
    return labels, tint


def _tints(colour: str, n: int) -> list[int]:
    letters = [name[0] for name in COLOURS]
    if colour in COLOURS:
        return [COLOURS.index(colour)] * n
    if len(colour) == n and all(c in letters for c in colour):
        return [letters.index(c) for c in colour]
    raise ValueError(f"colour must be one of {', '.join(COLOURS)}, or {n} of their first letters, {''.join(letters)}; got {colour!r}")
