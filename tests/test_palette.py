"""The colours of the figures: told apart by normal and by colour-blind eyes, and seen on white.

Protanopia, deuteranopia and tritanopia are simulated in linear RGB (Machado, Oliveira and Fernandes 2009, the matrices of severity 1), and
differences measured in CIELAB by CIEDE2000 (Sharma, Wu and Dalal 2005), whose published pairs check the implementation here.
"""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from minidiff.notebook.setup import COLOURS

ROOT = Path(__file__).resolve().parents[1]
EYES = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])  # of linear sRGB
APART, CONTRAST = 12, 3  # CIEDE2000 (one is just seen, side by side); WCAG 2.1 asks 3:1 of graphics


def linear(colour):
    """#rrggbb -> linear sRGB in [0, 1]."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB of linear sRGB, white at (100, 0, 0)."""
    r = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(1)
    x, y, z = np.where(r > 216 / 24389, np.cbrt(r), (24389 / 27 * r + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(p, q):
    """The difference of two colours in CIELAB, Sharma et al. 2005, equations 2 to 22."""
    chroma = (np.hypot(*p[1:]) + np.hypot(*q[1:])) / 2
    g = 0.5 * (1 - np.sqrt(chroma**7 / (chroma**7 + 25**7)))
    c, h = zip(*((np.hypot((1 + g) * a, b), np.degrees(np.arctan2(b, (1 + g) * a)) % 360) for _, a, b in (p, q)), strict=True)
    turn = (h[1] - h[0] + 180) % 360 - 180 if c[0] * c[1] else 0
    d_l, d_c, d_h = q[0] - p[0], c[1] - c[0], 2 * np.sqrt(c[0] * c[1]) * np.sin(np.radians(turn / 2))
    mean_l, mean_c, mean_h = (p[0] + q[0]) / 2, sum(c) / 2, h[0] + turn / 2 if c[0] * c[1] else sum(h)
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    t = 1 + sum(size * np.cos(np.radians(k * mean_h + shift)) for size, k, shift in waves)
    s_l, s_c, s_h = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2), 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    blue = 60 * np.exp(-(((mean_h % 360 - 275) / 25) ** 2))
    r = -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25**7)) * np.sin(np.radians(blue))
    return np.sqrt((d_l / s_l) ** 2 + (d_c / s_c) ** 2 + (d_h / s_h) ** 2 + r * d_c / s_c * d_h / s_h)


def contrast_with_white(colour):
    """(1 + 0.05) / (luminance + 0.05), as in WCAG 2.1."""
    return 1.05 / (linear(colour) @ (0.2126, 0.7152, 0.0722) + 0.05)


def alike(colours):
    """Every pair of colours that somebody may take for one another: (eyes, colour, colour, difference)."""
    seen = {eyes: [lab(np.array(m) @ linear(c)) for c in colours] for eyes, m in EYES.items()}
    pairs = [(eyes, i, j) for eyes in EYES for i, j in itertools.combinations(range(len(colours)), 2)]
    far = {(eyes, colours[i], colours[j]): ciede2000(seen[eyes][i], seen[eyes][j]) for eyes, i, j in pairs}
    return [(*pair, round(float(d), 1)) for pair, d in far.items() if d < APART]


@pytest.mark.parametrize(
    ("p", "q", "published"),
    [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_differences_are_those_of_the_published_pairs(p, q, published):
    assert abs(ciede2000(p, q) - published) < 5e-5 and abs(ciede2000(q, p) - published) < 5e-5


def test_the_instruments_know_red_white_and_grey():
    np.testing.assert_allclose(lab(linear("#ff0000")), (53.24, 80.09, 67.20), atol=0.01)
    assert abs(contrast_with_white("#000000") - 21) < 1e-9 and abs(contrast_with_white("#777777") - 4.48) < 0.005
    for eyes, m in EYES.items():
        np.testing.assert_allclose(np.sum(m, 1), 1, atol=2e-6, err_msg=f"{eyes}: white must stay white")
    assert all(abs(np.linalg.det(EYES[eyes])) < 1e-5 for eyes in ("protan", "deutan")), "two kinds of cones span a plane"


def test_colours_are_told_apart_by_everybody():
    assert alike(COLOURS) == []


def test_colours_are_seen_on_white():
    assert {c: round(contrast_with_white(c), 2) for c in COLOURS if contrast_with_white(c) < CONTRAST} == {}


def test_a_bad_palette_is_noticed():
    old = ["#2f6db5", "#d1642a", "#3d8f5f", "#8a4fa3", "#b8912b", "#5b6770"]  # ours until it was measured
    found = {pair[:3] for pair in alike(old)}
    assert {("protan", "#2f6db5", "#8a4fa3"), ("deutan", "#2f6db5", "#8a4fa3"), ("deutan", "#d1642a", "#b8912b")} <= found
    assert contrast_with_white("#b8912b") < CONTRAST


def test_figures_take_their_colours_from_the_palette():
    files = [p for folder in ("minidiff", "notebooks/src", "benchmarks", "tools") for p in (ROOT / folder).rglob("*.py")]
    typed = {p.name: set(re.findall(r"""["'](#[0-9a-fA-F]{6})["']""", p.read_text(encoding="utf-8"))) for p in files}
    assert set(COLOURS) == typed.pop("setup.py")
    assert {name: found for name, found in typed.items() if found} == {"scene_widgets.py": {"#444444"}}  # a cell of the map without a digit
