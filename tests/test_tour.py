"""The tour, shortened: every section is on the page, every picture is a picture, and a failing equation is told."""

import re

import numpy as np
import pytest
from PIL import Image

from minidiff import verify
from minidiff.notebook import tour


@pytest.fixture
def short(tmp_path, monkeypatch):
    monkeypatch.setattr(tour, "POINT_STEPS", 20)
    monkeypatch.setattr(tour, "DIGIT_STEPS", 2)
    sample = tour.sample_digits
    monkeypatch.setattr(tour, "sample_digits", lambda denoiser, n: sample(denoiser, min(n, 4), steps=2))
    photographs = tour.sample_photographs
    monkeypatch.setattr(tour, "sample_photographs", lambda n: photographs(min(n, 4), steps=2))
    results = verify.run("ddpm", "7")
    monkeypatch.setattr(tour.verify, "run", lambda: results)
    return tmp_path / "out"


def test_every_section_and_picture_is_there(short):
    assert tour.main(short) == 0
    page = (short / "index.html").read_text()
    assert len(re.findall("<h2>", page)) == 5 and "all hold" in page
    names = re.findall(r'<img src="([^"]+)"', page)
    assert len(names) == 4
    for name in names:
        picture = np.asarray(Image.open(short / name).convert("L"), dtype=float)
        assert min(picture.shape) > 40 and picture.std() > 10
    assert "posterior" in (short / "equations.txt").read_text()


def test_a_failed_equation_is_told_and_is_the_exit_status(short, monkeypatch):
    class Failed:
        passed, checks = False, ()

    monkeypatch.setattr(tour.verify, "run", lambda: [Failed()])
    monkeypatch.setattr(tour.verify, "table", lambda results: "one failure")
    assert tour.main(short) == 1
    assert "1 FAILED" in (short / "index.html").read_text()
