"""Guidance and clipping, and the Denoiser contract over every implementation."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from minidiff import Clipped, ExactDenoiser, GaussianMixture, Guided, Prediction, Schedule, Windowed
from minidiff.learn import Condition, NetworkDenoiser
from minidiff.nn import MLP, UNet
from minidiff.prediction import KINDS
from minidiff.toy import ring
from tests.contracts import batch, check_denoiser

SCHEDULE = Schedule.linear(30, 0.001, 0.2)


@dataclass(frozen=True)
class Label:
    centre: float = 0.0

    def null(self):
        return Label()


class Conditional:
    """The exact denoiser of N(label, 0.3) in every coordinate; the empty label is N(0, 0.3)."""

    schedule = SCHEDULE

    def __call__(self, x_t, t, cond=None):
        centre = 0.0 if cond is None else cond.centre
        pred = ExactDenoiser(GaussianMixture([1.0], [[centre, centre]], [0.3]), SCHEDULE)(x_t, t)
        return Prediction(pred.x_0, pred.eps, x_t * 0 + centre)


def network(kind, unet=False, seed=0):
    torch.manual_seed(seed)
    net = UNet(channels=(8, 16)) if unet else MLP(width=16)
    for p in net.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return NetworkDenoiser(net, SCHEDULE, kind)


@pytest.mark.parametrize("array", ["numpy32", "numpy64", "torch32", "torch64"])
@pytest.mark.parametrize("wrap", ["exact", "guided", "clipped", "both"])
def test_contract_of_exact_denoisers(wrap, array):
    exact, label = ExactDenoiser(ring(), SCHEDULE), Label(1.0)
    denoiser, cond = {
        "exact": (exact, None), "guided": (Guided(Conditional(), 3.0), label), "clipped": (Clipped(exact), None),
        "both": (Clipped(Guided(Conditional(), 3.0)), label),
    }[wrap]
    check_denoiser(denoiser, batch((4, 2), array), cond)


@pytest.mark.parametrize("kind", KINDS)
def test_contract_of_networks(kind):
    check_denoiser(network(kind), batch((4, 2), "torch32"))
    check_denoiser(Clipped(network(kind)), batch((3, 2), "torch32"))


def test_contract_of_the_unet():
    check_denoiser(network("v", unet=True), batch((3, 1, 8, 8), "torch32"))


def test_guidance_at_both_ends_is_exact():
    label = Label(0.7)
    for array in ("numpy32", "numpy64", "torch32"):
        x = batch((200, 2), array)
        for scale, plain in ((1, label), (0, None), (1.0, label), (0.0, None)):
            got, want = Guided(Conditional(), scale)(x, 7, label), Conditional()(x, 7, plain)
            assert (got.eps == want.eps).all() and (got.x_0 == want.x_0).all()


@pytest.mark.parametrize("scale", [-1.0, 0.3, 2.0, 7.5])
def test_guidance_is_linear_in_eps(scale):
    x, label = batch((5, 2), "numpy64"), Label(0.7)
    with_it, without = Conditional()(x, 7, label), Conditional()(x, 7, None)
    got = Guided(Conditional(), scale)(x, 7, label)
    np.testing.assert_allclose(got.eps, without.eps + scale * (with_it.eps - without.eps), rtol=1e-12, atol=1e-13)
    w = scale - 1  # Ho & Salimans, Eq. 6
    np.testing.assert_allclose(got.eps, (1 + w) * with_it.eps - w * without.eps, rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(got.var_mix, with_it.var_mix)


def test_guidance_of_a_network_with_a_real_condition():
    torch.manual_seed(0)
    denoiser = NetworkDenoiser(MLP(width=16, vector_dim=3), SCHEDULE)
    x, cond = batch((4, 2), "torch32"), Condition(vector=torch.eye(4, 3))
    guided = Guided(denoiser, 2.5)(x, [1, 5, 9, 30], cond)
    a, b = denoiser(x, [1, 5, 9, 30], cond).eps, denoiser(x, [1, 5, 9, 30], Condition(vector=torch.zeros(4, 3))).eps
    torch.testing.assert_close(guided.eps, b + 2.5 * (a - b))


@pytest.mark.parametrize("array", ["numpy64", "torch64"])
def test_clipping_re_derives_eps(array):
    x = 3 * batch((50, 2), array)
    t = np.resize([1, 15, 30], 50)
    plain, clipped = ExactDenoiser(ring(radius=2.0), SCHEDULE)(x, t), Clipped(ExactDenoiser(ring(radius=2.0), SCHEDULE), -0.5, 1.5)(x, t)
    assert clipped.x_0.min() == -0.5 and clipped.x_0.max() == 1.5
    inside = ((plain.x_0 > -0.5) & (plain.x_0 < 1.5)).numpy() if array == "torch64" else (plain.x_0 > -0.5) & (plain.x_0 < 1.5)
    assert inside.any() and not inside.all()
    signal, noise = (c[:, None] for c in SCHEDULE.scales(t))
    np.testing.assert_array_equal(np.asarray(clipped.x_0)[inside], np.asarray(plain.x_0)[inside])
    np.testing.assert_allclose(clipped.eps, (np.asarray(x) - signal * np.asarray(clipped.x_0)) / noise, rtol=1e-12)
    assert (np.asarray(clipped.eps)[~inside] != np.asarray(plain.eps)[~inside]).all()


def test_wrappers_keep_var_mix_and_schedule():
    assert (Clipped(Conditional())(batch((2, 2), "numpy64"), 3, Label(0.5)).var_mix == 0.5).all()
    assert Clipped(Guided(Conditional(), 1.0)).schedule is SCHEDULE


class Place:
    """Told a number for each pixel of the canvas, it answers that number; as if the answer depended on the window, it adds its mean."""

    schedule = SCHEDULE

    def __call__(self, x_t, t, cond=None):
        signal, noise = self.schedule.scales(t)
        x_0 = cond.image + cond.image.mean((-2, -1))[..., None, None]
        return Prediction(x_0, (x_t - signal * x_0) / noise)


@pytest.mark.parametrize(("size", "stride"), [(4, 4), (4, 2), (4, 1), (4, 3), (6, 5)])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_windows_against_a_loop_over_pixels(size, stride, library):
    rng = np.random.default_rng(0)
    told, x = rng.standard_normal((2, 3, 7, 10)), rng.standard_normal((2, 3, 7, 10))
    windowed = Windowed(Place(), size, stride)
    starts = [windowed.starts(7), windowed.starts(10)]
    expected = np.zeros_like(x)
    for y in range(7):
        for z in range(10):
            holding = [(a, b) for a in starts[0] for b in starts[1] if a <= y < a + size and b <= z < b + size]
            assert holding, "a pixel in no window"
            answers = [told[..., y, z] + told[..., a : a + size, b : b + size].mean((-2, -1)) for a, b in holding]
            expected[..., y, z] = np.mean(answers, axis=0)
    if library == "torch":
        cond, x_t = Condition(image=torch.from_numpy(told)), torch.from_numpy(x)
        pred = windowed(x_t, 12, cond)
    else:
        cond, x_t = Canvas(told), x
        pred = windowed(x_t, 12, cond)
    signal, noise = SCHEDULE.scales(12)
    assert np.allclose(np.asarray(pred.x_0), expected, atol=1e-12)
    assert np.allclose(signal * np.asarray(pred.x_0) + noise * np.asarray(pred.eps), x, atol=1e-12)
    assert np.array_equal(np.asarray(x_t), x), "what came in was changed"


@dataclass(frozen=True, eq=False)
class Canvas:
    image: np.ndarray

    def crop(self, top, left, size):
        return Canvas(self.image[..., top : top + size, left : left + size])


def test_one_window_is_the_denoiser_itself():
    net = network("eps", unet=True)
    x = torch.randn(2, 1, 28, 28)
    one, inside = Windowed(net, 28, 14)(x, 12), net(x, 12)
    assert torch.equal(one.x_0, inside.x_0) and torch.equal(one.eps, inside.eps)


def test_windows_that_are_refused():
    with pytest.raises(ValueError, match=r"stride must lie in 1\.\.size = 8, .*; got 9"):
        Windowed(Conditional(), 8, 9)
    with pytest.raises(ValueError, match="at least 32 pixels a side, the size of a window; got 28"):
        Windowed(network("eps", unet=True), 32)(torch.randn(1, 1, 28, 32), 12)
