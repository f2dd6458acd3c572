"""The walk of notebook 12: a linear space gives the blend of pixels itself, a turn keeps its length, and numbers are counted by hand."""

import math

import numpy as np
import pytest
import torch

from minidiff import Gaussian
from minidiff.learn import LatentSpace
from minidiff.notebook.latent_widgets import COLOURS, SHARES, STOPS, contrast, latent_explorer, spherical, walk, walk_figure
from minidiff.run import load_latent_space

PNG = b"\x89PNG\r\n\x1a\n"
X = torch.rand((5, 3, 8, 8), generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8
X = X * torch.tensor([1.0, 0.5, 0.9, 0.7, 0.3]).reshape(-1, 1, 1, 1)  # of different contrast


class Halves:
    """A linear autoencoder without loss: the picture, halved. It counts what it decodes."""

    factor = 1

    def __init__(self):
        self.decoded = 0

    def encode(self, x):
        return Gaussian(x / 2, torch.zeros(()))

    def decode(self, z):
        self.decoded += len(z)
        return 2 * z


def test_a_turn_keeps_length_and_speed():
    g = torch.Generator().manual_seed(1)
    a, b = torch.randn((2, 1, 4, 5, 5), generator=g, dtype=torch.float64)
    b = b * a.norm() / b.norm()
    path = spherical(a, b, SHARES.double())
    angle = math.acos(float((a * b).sum() / a.norm() ** 2))
    for share, z in zip(SHARES.flatten().tolist(), path, strict=True):
        assert float(z.norm()) == pytest.approx(float(a.norm()))
        assert float((z * a).sum() / a.norm() ** 2) == pytest.approx(math.cos(share * angle))
    assert torch.allclose(path[0], a[0]) and torch.allclose(path[-1], b[0])


def test_a_turn_by_nothing_is_a_straight_line():
    a = torch.randn((1, 4, 2, 2), generator=torch.Generator().manual_seed(2))
    for b in (a, 3 * a):
        path = spherical(a, b, SHARES)
        assert torch.allclose(path, (1 - SHARES) * a + SHARES * b, atol=1e-4) and bool(torch.isfinite(path).all())


def test_in_a_linear_space_the_straight_walk_is_the_blend_of_pixels():
    found = walk(LatentSpace(Halves(), 1.7), X[0], X[1])
    assert list(found.pictures) == list(COLOURS)
    assert torch.allclose(found.pictures["straight"], found.pictures["pixels"], atol=1e-6)
    assert (found.pictures["spherical"][4] - found.pictures["pixels"][4]).abs().max() > 0.05
    cos = float((X[0] * X[1]).sum() / X[0].norm() / X[1].norm())
    assert found.angle == pytest.approx(math.degrees(math.acos(cos)), abs=1e-3)
    made = latent_explorer({"linear": LatentSpace(Halves(), 1.7)}, X)
    pixels, straight, _ = (line.split() for line in made.text.splitlines()[2:])
    assert pixels[1:5] == straight[1:5] and straight[3] == "equal" and pixels[5] == "-"


def test_the_contrast_counted_by_hand():
    x = X[0].numpy()
    across = [(x[c, i, j + 1] - x[c, i, j]) ** 2 for c in range(3) for i in range(8) for j in range(7)]
    down = [(x[c, i + 1, j] - x[c, i, j]) ** 2 for c in range(3) for i in range(7) for j in range(8)]
    assert float(contrast(X[:1])[0]) == pytest.approx(math.sqrt((np.mean(across) + np.mean(down)) / 2), rel=1e-5)
    assert float(contrast(torch.full((1, 3, 4, 4), 0.3))[0]) == 0


def test_the_readout_counted_by_hand():
    made = latent_explorer({"linear": LatentSpace(Halves(), 1.7)}, X)
    made.controls.first.value, made.controls.second.value, made.controls.share.value = 2, 4, 0.25
    head, _, pixels, straight, _ = made.text.splitlines()
    a, b = X[2].double().numpy(), X[4].double().numpy()
    there = 0.75 * a + 0.25 * b
    to = [10 * math.log10(4 / np.mean((there - end) ** 2)) for end in (a, b)]
    edge = [math.sqrt((np.mean(np.diff(p, axis=1) ** 2) + np.mean(np.diff(p, axis=2) ** 2)) / 2) for p in (a, b, there)]
    assert head.startswith("share 0.250, angle")
    assert [float(n) for n in pixels.split()[1:3]] == pytest.approx(to, abs=0.051)
    assert float(pixels.split()[4]) == pytest.approx(edge[2] / (0.75 * edge[0] + 0.25 * edge[1]), abs=0.0051)
    assert float(straight.split()[5]) == pytest.approx(1.7 / 2 * math.sqrt(np.mean(there**2)), abs=0.0051)


def test_a_walk_is_decoded_once_and_moving_along_it_costs_nothing():
    model = Halves()
    made = latent_explorer({"linear": LatentSpace(model, 1.0)}, X)
    assert model.decoded == 2 * STOPS
    pictures = {bytes(made.image.value)}
    for k in range(STOPS):
        made.controls.share.value = k / (STOPS - 1)
        pictures.add(bytes(made.image.value))
    assert model.decoded == 2 * STOPS and len(pictures) == STOPS
    made.controls.second.value = 3
    assert model.decoded == 4 * STOPS
    assert not any(getattr(made.controls, name).continuous_update for name in ("first", "second", "share"))


def test_the_frame_stands_where_the_share_says():
    found = walk(LatentSpace(Halves(), 1.0), X[0], X[1])
    left, right = walk_figure(found, 0.75, "linear").axes
    frame = left.patches[0]
    assert (frame.get_x(), frame.get_width(), frame.get_height()) == (6 * 8 - 0.5, 8, 24)
    sheet = left.images[0].get_array()
    assert np.allclose(sheet[8:16, 48:56], (found.pictures["straight"][6].permute(1, 2, 0).numpy() + 1) / 2, atol=1e-6)
    assert [t.get_text() for t in left.get_yticklabels()] == list(COLOURS)
    assert right.lines[-1].get_xdata()[0] == 0.75


def test_one_picture_twice_and_every_corner():
    spaces = {"f = 8": load_latent_space("cifar-autoencoder-f8"), "linear": LatentSpace(Halves(), 1.0)}
    x = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(3)) * 2 - 1
    made = latent_explorer(spaces, x)
    for space in spaces:
        for first, second, share in ((0, 0, 0.5), (2, 0, 0.0), (0, 2, 1.0)):
            made.controls.space.value, made.controls.first.value = space, first
            made.controls.second.value, made.controls.share.value = second, share
            assert bytes(made.image.value).startswith(PNG) and "nan" not in made.text and "inf" not in made.text
    with pytest.raises(ValueError, match="a walk needs a space and two pictures; got 2 spaces and 1 pictures"):
        latent_explorer(spaces, x[:1])
