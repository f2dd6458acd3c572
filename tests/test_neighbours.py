"""Precision, recall and nearest neighbours against slow loops, clouds whose answer is known, and scipy."""

import math

import numpy as np
import pytest
import scipy.spatial
import scipy.stats
import torch

import minidiff.neighbours
from minidiff.neighbours import memorised, modes_met, nearest, precision_recall, wilson

RNG = np.random.default_rng


def among(x, centres, k):
    """The definition, in loops: is a point within the k-th neighbour's distance of some centre?"""
    radii = [sorted(math.dist(c, d) for j, d in enumerate(centres) if j != i)[k - 1] for i, c in enumerate(centres)]
    return sum(any(math.dist(p, c) <= r for c, r in zip(centres, radii, strict=True)) for p in x) / len(x)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_the_slow_loop(k, monkeypatch):
    monkeypatch.setattr(minidiff.neighbours, "BLOCK", 100)  # several blocks, the last one shorter
    rng = RNG(0)
    x, y, real = 1.5 * rng.standard_normal((31, 2)) + 0.3, rng.standard_normal((31, 2)), rng.standard_normal((62, 2))
    got = precision_recall(x, y, real, k)
    assert (got.precision.value, got.recall.value) == (pytest.approx(among(x, y, k)), pytest.approx(among(y, x, k)))
    blocks = real[:31], real[31:]
    assert got.precision.floor == pytest.approx(np.mean([among(b, y, k) for b in blocks]))
    assert got.recall.floor == pytest.approx(np.mean([among(y, b, k) for b in blocks]))
    assert got.precision.n == 31 and (got.precision.low, got.precision.high) == wilson(round(31 * got.precision.value), 31)
    assert got.precision.value != got.recall.value


def test_precision_and_recall_of_clouds_whose_answer_is_known():
    rng = RNG(1)
    y, real = rng.random((400, 2)), rng.random((400, 2))
    left = rng.random((400, 2)) * [0.5, 1]  # half of the square: all of it is real, half of the real is missing
    got = precision_recall(left, y, real)
    assert got.precision.value > 0.95 and 0.45 < got.recall.value < 0.6
    half_wrong = np.concatenate([rng.random((200, 2)), rng.random((200, 2)) + 10])
    got = precision_recall(half_wrong, y, real)
    assert 0.45 < got.precision.value < 0.51 and got.recall.value > 0.85
    got = precision_recall(y + 10, y, real)
    assert got.precision.value == got.recall.value == 0 and got.precision.low == 0 < got.precision.high
    assert got.precision.floor > 0.9  # of fresh real points
    got = precision_recall(y, y, real)
    assert got.precision.value == got.recall.value == 1


@pytest.mark.parametrize("k", [0, 5, 1.0, True])
def test_a_bad_k_is_named(k):
    with pytest.raises(ValueError, match=r"k must be an int in 1..4, below the number of points; got"):
        precision_recall(np.zeros((5, 2)), np.zeros((5, 2)), np.zeros((5, 2)), k)


def test_nearest_is_scipys_tree(monkeypatch):
    monkeypatch.setattr(minidiff.neighbours, "BLOCK", 500)
    rng = RNG(2)
    x, real = rng.standard_normal((57, 5)) + 3, rng.standard_normal((130, 5)) + 3
    distance, index = scipy.spatial.cKDTree(real).query(x)
    got = nearest(x, real)
    assert (got[0] == index).all()
    np.testing.assert_allclose(got[1], distance, rtol=1e-12)
    again = nearest(torch.from_numpy(x), torch.from_numpy(real))
    assert (again[0] == index).all() and (again[1] == got[1]).all()


def test_a_copy_is_at_distance_nought_however_far_from_the_origin():
    real = RNG(3).standard_normal((50, 20)) + 1e3
    index, distance = nearest(real[[7, 3]], real)
    assert index.tolist() == [7, 3] and distance.tolist() == [0, 0]
    close = nearest(real[[7, 3]] + 2.0**-20, real)[1]  # 1e-6 beside 1e3: its square is far below the rounding of |x|^2
    np.testing.assert_allclose(close, 2.0**-20 * 20**0.5, rtol=1e-6)


def test_samples_that_are_training_points_are_found_and_others_are_not():
    rng = RNG(4)
    train, held_out = rng.standard_normal((500, 4)), rng.standard_normal((300, 4))
    copied = memorised(train[100:200] + 1e-6, held_out, train)
    assert copied.closer.value == 1 and copied.closer.low > 0.95 and (copied.index == np.arange(100, 200)).all()
    assert copied.distance.max() < np.median(copied.held_out)
    some = np.concatenate([rng.standard_normal((190, 4)), train[:10]])
    found = memorised(some, held_out, train).closer
    assert found.low > found.floor and found.n == 200


def test_the_floor_of_memorised_is_what_fresh_points_get():
    """Exchangeability gives r / (m + 1) for every law; Monte Carlo over everything agrees."""
    rng, shares = RNG(5), []
    for _ in range(300):
        train, held_out, fresh = (rng.exponential(size=(n, 2)) for n in (60, 39, 40))
        got = memorised(fresh, held_out, train, level=0.1)
        shares.append(got.closer.value)
    assert got.closer.floor == pytest.approx(4 / 40)
    assert abs(np.mean(shares) - 0.1) < 4 * np.std(shares) / 300**0.5
    assert abs(np.mean(shares) - 3 / 40) > 4 * np.std(shares) / 300**0.5  # one rank off would be seen
    assert memorised(fresh, held_out, train).closer.floor == 1 / 40  # 1 % of 40 ranks is less than one


def test_modes_are_counted_as_by_loops():
    rng = RNG(6)
    centres, x = 2 * rng.standard_normal((5, 2)), 2 * rng.standard_normal((300, 2))
    counts = [0] * 5
    for p in x:
        distances = [math.dist(p, c) for c in centres]
        if min(distances) <= 0.7:
            counts[distances.index(min(distances))] += 1
    got = modes_met(x, centres, 0.7)
    assert got.counts.tolist() == counts and 0 < sum(counts) < 300
    assert got.near.value == sum(counts) / 300 and (got.near.low, got.near.high) == wilson(sum(counts), 300)


def test_modes_that_are_missing_are_missed():
    rng, centres = RNG(7), np.array([[0.0], [1.0], [2.0], [3.0]])
    two = rng.choice([0.0, 2.0], 1000)[:, None] + 0.05 * rng.standard_normal((1000, 1))
    got = modes_met(two, centres, 0.15, expected=0.9973)
    assert got.met() == 2 and got.counts[[1, 3]].tolist() == [0, 0] and got.near.floor == 0.9973 and got.near.value > 0.99
    few = np.concatenate([np.zeros((978, 1)), np.ones((22, 1))])  # an even share is 250, a tenth of it 25
    assert modes_met(few, centres, 0.1).met() == 1 and modes_met(few, centres, 0.1).met(0.05) == 2
    assert modes_met(few + 10, centres, 0.1).met(0.0) == 0


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 10), (10, 10), (917, 1000), (1, 1)])
def test_wilson_is_scipys(hits, n):
    interval = scipy.stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(wilson(hits, n), (interval.low, interval.high), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nearest(np.zeros((3, 2)), np.zeros((3, 4))), r"x and real must be points, .* got shapes \(3, 2\) and \(3, 4\)"),
        (lambda: nearest(np.zeros((0, 2)), np.zeros((3, 2))), "n, N >= 1"),
        (lambda: nearest(np.zeros(3), np.zeros((3, 2))), "must be points"),
        (lambda: nearest(np.full((3, 2), np.inf), np.zeros((3, 2))), "finite"),
        (lambda: memorised(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2)), level=1.0), "level must lie strictly between 0 and 1"),
        (lambda: precision_recall(np.zeros((3, 2)), np.zeros((4, 2)), np.zeros((4, 2))), "equally many"),
        (lambda: modes_met(np.zeros((3, 2)), np.zeros((3, 2)), 0.0), "radius must be a number > 0, in the unit of the points; got 0.0"),
        (lambda: wilson(5, 4), "hits must lie in 0..n, n >= 1; got 5 of 4"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
