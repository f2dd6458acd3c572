"""Statistics of large canvases, where the answer is known."""

import numpy as np
import pytest
import torch

from minidiff.run.canvases import ground_drift, patch_spectrum, seams
from minidiff.run.digits import mnist
from minidiff.run.scene_conditions import pictures
from minidiff.run.scenes import Scenes

CROWD = Scenes(mnist("train", "embedded", quiet=True), 0, (64, 128), "crowd")


def real(n):
    some = [CROWD[k] for k in range(n)]
    return pictures(some), torch.from_numpy(np.stack([s.map for s in some]).astype(np.int64))


@pytest.mark.parametrize("axis", [-1, -2])
def test_seams_by_hand(axis):
    x = torch.arange(64.0).expand(2, 3, 64, 64).clone()
    x[..., 32:] += 4  # one step of 5, all others of 1
    x = x if axis == -1 else x.transpose(-1, -2)
    assert np.allclose(seams(x, [0, 32], axis), 25) and np.allclose(seams(x, [16, 48], axis), 1 / ((60 + 25) / 61))
    with pytest.raises(ValueError, match="there must be a start in 1..63"):
        seams(x, [0])


def test_real_scenes_have_no_seams():
    x, _ = real(60)
    found = seams(x, range(0, 128, 16))
    assert abs(found.mean() - 1) < 5 * found.std() / 60**0.5


def test_drift_is_the_spread_of_the_ground_alone():
    maps = torch.zeros(1, 32, 64, dtype=torch.long)
    x = torch.zeros(1, 3, 32, 64)
    x[..., 32:] = 0.5
    assert np.allclose(ground_drift(x, maps), 0.25)
    maps[:, 4:20, 8:20] = 7
    x[:, :, 4:20, 8:20] = 1.0  # a digit is no ground
    weights = np.array([1024 - 192, 1024.0])
    share = weights / weights.sum()
    assert np.allclose(ground_drift(x, maps), 0.5 * np.sqrt(share[0] * share[1]))
    with pytest.raises(ValueError, match="several patches"):
        ground_drift(x[..., :32], maps[..., :32])


def test_real_scenes_have_one_ground():
    x, maps = real(40)
    mixed = torch.cat([x[:20, ..., :64], x[20:, ..., 64:]], -1)
    both = torch.cat([maps[:20, :, :64], maps[20:, :, 64:]], -1)
    assert np.median(ground_drift(x, maps)) < 0.02 < np.median(ground_drift(mixed, both)) / 3


def test_a_wave_has_its_power_where_it_belongs():
    grid = torch.arange(128.0)
    for k in (3, 7, 12):
        wave = torch.sin(2 * np.pi * k * grid / 32).expand(1, 3, 64, 128)
        power = patch_spectrum(wave)
        assert power.argmax() + 1 == k or power.argmax() + 2 == k  # the fade spreads it over its neighbours
        assert power[max(0, k - 3) : k + 2].sum() > 0.99 * power.sum()
    noise = torch.randn(50, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    flat = patch_spectrum(noise)
    assert flat.std() / flat.mean() < 0.05, "white noise has as much of every wave"
