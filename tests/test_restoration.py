"""Restoration judged where the truth is known: exact posteriors pass the test of the law, answers that are no draws fail it."""

import numpy as np
import pytest
import torch

from minidiff import Schedule
from minidiff.learn import NetworkDenoiser
from minidiff.nn import UNet
from minidiff.run import load_classifier, mnist
from minidiff.run import restoration as r
from minidiff.run.conditions import coarse, low_resolution


class ExactTile(torch.nn.Module):
    """E[x_0 | x_t, coarse picture] of white noise of variance 1/4: given its tile's mean, a pixel's deviation is Gaussian, by hand.

    blurred: answer the mean of the posterior without looking at x_t, so that the sampler draws nothing but that mean.
    """

    image_channels = 1

    def __init__(self, schedule, factor, blurred=False):
        super().__init__()
        self.schedule, self.factor, self.blurred = schedule, factor, blurred

    def forward(self, x_t, t, vector=None, tokens=None, image=None):
        signal, noise = (torch.as_tensor(v).reshape(-1, 1, 1, 1).float() for v in self.schedule.scales(t.numpy()))
        deviation = x_t / signal - image
        deviation = deviation - low_resolution(deviation, self.factor)  # the tile's mean is known: nothing to learn about it
        share = 0 if self.blurred else 0.25 * signal**2 / (0.25 * signal**2 + noise**2)
        return image + share * deviation


@pytest.mark.parametrize("blurred", [False, True])
def test_the_ratio_of_errors_tells_draws_from_their_mean(blurred):
    schedule, x = Schedule.cosine(200), 0.5 * torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    denoiser = NetworkDenoiser(ExactTile(schedule, 2, blurred), schedule, "x_0")
    cond, guess, wanted = coarse(x, 2), low_resolution(x, 2), torch.ones_like(x, dtype=torch.bool)
    draws = unclipped(denoiser, cond, x.shape)
    one, mean = r.errors(draws[0], x, wanted), r.errors(draws.mean(0), x, wanted)
    found = r._ratio(one, mean, 2 * r.DRAWS / (r.DRAWS + 1))
    if blurred:
        assert abs(found["value"] - 1) < 1e-3  # every draw is the mean
        torch.testing.assert_close(one, r.errors(guess, x, wanted))
    else:
        assert found["floor"] == 1.6 and abs(found["value"] - 1.6) < 0.05
        assert abs(one.mean().item() - 2 * 0.25 * 3 / 4) < 0.02  # twice the posterior's variance: 3 of 4 directions of a tile are free


def unclipped(denoiser, cond, shape):
    """`restored`, around a denoiser whose x_0 stays well inside the range that clipping would cut."""
    wide = NetworkDenoiser(denoiser.network, denoiser.schedule, "x_0")
    return torch.stack([
        r.last(r.dpm_solver(wide, torch.randn(shape, generator=torch.Generator().manual_seed(100 + k)), wide.schedule.times(40), cond))
        for k in range(r.DRAWS)
    ])  # fmt: skip


def test_errors_look_at_the_wanted_pixels_only():
    x, y, wanted = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    y[:, :, 0, 0], y[:, :, 3, 3] = 2.0, 5.0
    wanted[:, :, 0] = True
    assert r.errors(y, x, wanted).tolist() == [1.0, 1.0]  # (4 + 0 + 0 + 0) / 4; the 5 is not wanted
    assert r._db(torch.full((30,), 0.04))["value"] == 20.0


@pytest.mark.parametrize("channels", [1, 2])
def test_every_task_gives_plain_numbers_with_intervals(channels):
    net = UNet(channels=(8, 8), blocks=1, image_channels=channels)
    denoiser = NetworkDenoiser(net, Schedule.cosine(50))
    found = r.judge_restoration(denoiser, load_classifier(), mnist("test", "embedded", quiet=True), 20, 2)
    assert list(found) == (["x2", "x4"] if channels == 1 else ["holes"])
    for task in found.values():
        for key in ("psnr", "psnr_of_mean", "psnr_without_network", "error_ratio", "label_accuracy"):
            low, high = task[key]["interval_95"]
            assert low <= task[key]["value"] <= high and task[key]["n"] == 20
        assert task["error_ratio"]["floor"] == 1.6 and task["label_accuracy"]["floor"] > 0.9


def test_pictures_and_draws_do_not_depend_on_the_number_asked_for():
    net = UNet(channels=(8, 8), blocks=1, image_channels=1)
    torch.nn.init.normal_(net.last.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    denoiser, x = NetworkDenoiser(net, Schedule.cosine(50)), torch.randn(60, 1, 28, 28)
    few, many = (r.restored(denoiser, coarse(x[:n]), x[:n].shape, 2, 0) for n in (50, 60))
    assert torch.allclose(few, many[:, :50], atol=1e-5) and not torch.allclose(few[0], few[1], atol=0.1)
    assert np.isfinite(many.numpy()).all()
