"""What a network is told of x_0: made by the same functions in training and in sampling, checked by slow loops."""

from dataclasses import replace

import pytest
import torch

from minidiff.run import RECIPES, build, prepare
from minidiff.run.conditions import CONDITIONS, coarse, holes, label, low_resolution, partly


def test_label_is_one_hot():
    vector = label([3, 0, 9]).vector
    assert vector.shape == (3, 10) and vector.dtype == torch.float32
    assert [row.nonzero().flatten().tolist() for row in vector] == [[3], [0], [9]] and (vector.sum(1) == 1).all()


@pytest.mark.parametrize("labels", [[10], [-1], [0.5], [[1, 2]], 3])
def test_a_label_outside_is_one_line(labels):
    with pytest.raises(ValueError, match=r"integers 0\.\.9 of shape \(B,\)"):
        label(labels)


@pytest.mark.parametrize("factor", [1, 2, 4, 7])
def test_low_resolution_by_a_slow_loop(factor):
    x = torch.randn(2, 1, 28, 28)
    low = low_resolution(x, factor)
    for i in range(0, 28, factor):
        for j in range(0, 28, factor):
            tile = x[:, :, i : i + factor, j : j + factor].mean((2, 3), keepdim=True)
            torch.testing.assert_close(low[:, :, i : i + factor, j : j + factor], tile.expand(-1, -1, factor, factor))
    torch.testing.assert_close(low_resolution(low, factor), low)  # a second look loses nothing more
    assert coarse(x, factor).image.equal(low)


@pytest.mark.parametrize("x, factor", [(torch.zeros(1, 1, 28, 28), 3), (torch.zeros(1, 28, 28), 2), (torch.zeros(1, 1, 28, 28), 0)])
def test_a_picture_that_cannot_be_tiled_is_one_line(x, factor):
    with pytest.raises(ValueError, match="multiples of factor"):
        low_resolution(x, factor)


def test_super_resolution_is_trained_on_both_factors():
    x = torch.randn(400, 1, 28, 28)
    image = CONDITIONS["low-resolution"].make(x, torch.zeros(400, dtype=torch.int64), torch.Generator().manual_seed(0)).image
    two, four = ((image - low_resolution(x, f)).abs().amax((1, 2, 3)) == 0 for f in (2, 4))
    assert (two ^ four).all() and abs(two.float().mean() - 0.5) < 4 * (0.25 / 400) ** 0.5


def test_a_hole_is_one_rectangle_anywhere():
    masks = holes((3000, 1, 28, 28), torch.Generator().manual_seed(0))
    assert masks.dtype == torch.bool and masks.shape == (3000, 1, 28, 28)
    sides = set()
    for known in masks[:500, 0]:
        rows, columns = (~known).any(1).nonzero().flatten(), (~known).any(0).nonzero().flatten()
        assert not known[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].any()  # the whole rectangle is unknown
        assert (~known).sum() == len(rows) * len(columns) == (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        sides |= {len(rows), len(columns)}
    assert sides >= set(range(8, 21)) and max(sides) == 20 and min(sides) >= 4  # smaller only where cut off by the edge
    often = (~masks).float().mean((0, 1))
    assert often.min() > 0.03 and (often - often.T).abs().max() < 6 * (0.25 / 3000) ** 0.5  # corners too


def test_the_known_part_and_nothing_else():
    x, known = torch.randn(4, 1, 28, 28), holes((4, 1, 28, 28), torch.Generator().manual_seed(1))
    image = partly(x, known).image
    assert image.shape == (4, 2, 28, 28) and torch.equal(image[:, 1:], known.float()) and torch.equal(image[:, :1], x * known)
    spoilt = torch.where(known, x, torch.full_like(x, torch.nan))
    assert torch.equal(partly(spoilt, known).image, image)  # what is unknown may be anything
    for bad in (known.float(), known[:2]):
        with pytest.raises(ValueError, match="known must be bool of shape"):
            partly(x, bad)
    with pytest.raises(ValueError, match="1 <= low <= high <= 28"):
        holes((4, 1, 28, 28), torch.Generator(), 8, 29)


@pytest.mark.parametrize("name", ["mnist-label", "mnist-superres"])
def test_the_condition_belongs_to_its_picture(name):
    """Batches carry label and coarse picture of the very digits they carry."""
    recipe = RECIPES[name]
    x, cond = prepare(replace(recipe, train=replace(recipe.train, batch=6, drop=0.0)), "embedded").batch(torch.Generator().manual_seed(1))
    if name == "mnist-superres":
        assert all(any(torch.equal(i, low_resolution(p[None], f)[0]) for f in (2, 4)) for p, i in zip(x, cond.image, strict=True))
        return
    from minidiff.run import load_classifier  # the judge knows the digits by another road

    assert (load_classifier()(x).argmax(1) == cond.vector.argmax(1)).float().mean() > 0.8


def test_the_share_of_dropped_labels():
    recipe = RECIPES["mnist-label"]
    job = prepare(replace(recipe, train=replace(recipe.train, batch=2000)), "embedded")
    empty = (job.batch(torch.Generator().manual_seed(2))[1].vector.sum(1) == 0).float().mean()
    assert abs(empty - recipe.train.drop) < 4 * (recipe.train.drop * (1 - recipe.train.drop) / 2000) ** 0.5


def test_networks_are_as_wide_as_what_they_are_told():
    label_net, coarse_net = build("mnist-label").network, build("mnist-superres").network
    assert (label_net.vector_dim, label_net.image_channels) == (10, 0) and (coarse_net.vector_dim, coarse_net.image_channels) == (0, 1)
    assert build("mnist-learned-variance")(torch.zeros(1, 1, 28, 28), 5).var_mix.shape == (1, 1, 28, 28)
