"""Typed digits as a map: read back column by column."""

import numpy as np
import pytest

from minidiff.run.scene_conditions import maps
from minidiff.run.writing import written


def read_back(labels):
    """The digits from left to right, one for each run of columns."""
    columns = labels.max(0)
    starts = np.flatnonzero((columns > 0) & (np.r_[0, columns[:-1]] == 0))
    return "".join(str(columns[s] - 1) for s in starts)


@pytest.mark.parametrize("text", ["27.11.2026", "0", "12 + 34 = 46", "1111111111"])
def test_what_is_written_is_read_from_left_to_right(text):
    labels, tint = written(text)
    assert read_back(labels) == "".join(c for c in text if c.isdecimal())
    assert labels.shape == tint.shape and labels.shape[0] == 32 and labels.shape[1] % 8 == 0 and (tint[labels > 0] == 6).all()
    assert maps(labels[None], tint[None]).image.shape == (1, 17 * 16, labels.shape[0] // 4, labels.shape[1] // 4)
    inside = np.flatnonzero(labels.max(0))
    assert inside[0] >= 2 and inside[-1] < labels.shape[1] - 2


def test_a_date_fits_32_x_160_in_colours_of_its_own():
    labels, tint = written("27.11.2026", (32, 160), "rrggbbyy")
    starts = np.flatnonzero((tint.max(0) > 0) & (np.r_[0, tint.max(0)[:-1]] == 0))
    assert labels.shape == (32, 160) and [int(tint.max(0)[s]) - 1 for s in starts] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_what_cannot_be_written():
    with pytest.raises(ValueError, match="there must be digits"):
        written("abc")
    with pytest.raises(ValueError, match="needs a canvas of at least 17 x 130 pixels"):
        written("27.11.2026", (32, 64))
    with pytest.raises(ValueError, match="colour must be one of red, .* or 2 of their first letters, rgbypw; got 'pink'"):
        written("12", colour="pink")
    with pytest.raises(ValueError, match="there must be digits"):
        written("٣٤")
