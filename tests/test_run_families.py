"""Six contestants on equal terms: their data have the entropy that is said, their sizes and batches agree, and no bound cheats."""

import math

import numpy as np
import pytest
import torch

from minidiff.mixture import GaussianMixture
from minidiff.nn.perceptron import free_parameters
from minidiff.run import families
from minidiff.run.families import FAMILIES, contestant
from minidiff.run.worlds import dequantised, entropy, line, moon_mixture, per_level, small_digits, world
from minidiff.toy import moons, ring

POINTS = ["line", "ring", "moons", "swirl"]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def embedded(monkeypatch, tmp_path):
    """The digits that come with the package, whatever is on this machine."""
    for name in ("MINIDIFF_DATA", "MINIDIFF_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    world.cache_clear()
    yield
    world.cache_clear()


# -- data ----------------------------------------------------------------------------------------------------------------


def test_entropies_of_gaussians_are_the_closed_form():
    for dims in (1, 2):
        closed = dims * 0.5 * math.log(2 * math.pi * math.e * 0.04)
        one = GaussianMixture(np.ones(1), np.full((1, dims), 0.3), np.array([0.04]))
        assert entropy(one) == pytest.approx(closed, abs=1e-12)
    with pytest.raises(ValueError, match="entropy needs round components"):
        entropy(GaussianMixture(np.ones(1), np.zeros((1, 2)), np.diag([1.0, 2.0])[None]))


@pytest.mark.parametrize("law", [line(), ring(), moon_mixture()])
def test_entropies_are_the_mean_of_minus_log_p(law):
    nats = -law.log_prob(law.sample(4000, np.random.default_rng(1)))
    assert abs(nats.mean() - entropy(law)) < 4 * nats.std() / 4000**0.5


def test_the_moons_as_a_mixture_have_the_law_of_the_moons():
    x, law = moons(20_000, np.random.default_rng(2)), moon_mixture()
    y = law.sample(20_000, np.random.default_rng(3))
    for f in (lambda a: a, lambda a: a**2, lambda a: a[:, :1] * a[:, 1:], lambda a: np.sin(5 * a)):
        a, b = f(x), f(y)
        assert (abs(a.mean(0) - b.mean(0)) < 5 * np.sqrt((a.var(0) + b.var(0)) / 20_000)).all()
    finer = moon_mixture(900)
    assert entropy(law) == pytest.approx(entropy(finer), abs=1e-4)


def test_small_digits_are_means_of_four_on_the_levels():
    images = np.random.default_rng(4).integers(0, 256, (3, 28, 28)).astype(np.uint8)
    small = (small_digits(images).double().numpy() + 1) * 127.5
    for n, i, j in ((0, 0, 0), (1, 5, 9), (2, 13, 13)):
        four = [int(images[n, 2 * i + a, 2 * j + b]) for a in (0, 1) for b in (0, 1)]
        assert small[n, 14 * i + j] == pytest.approx(round(sum(four) / 4), abs=1e-4)
    assert world("mnist14").train.shape == (4500, 196) and world("mnist14").test.shape == (500, 196)


def test_noise_of_a_bin_keeps_the_level_and_its_price_is_the_bins_volume():
    x = world("swirl").test[:1000]
    noisy = dequantised(x, rng())
    assert torch.equal(((noisy + 1) * 127.5).round(), ((x + 1) * 127.5).round()) and (noisy != x).float().mean() > 0.99
    assert per_level(1) == pytest.approx(math.log(256) - math.log(2 * 256 / 255))  # uniform: 256 levels over a range of 512/255


# -- equal terms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [*POINTS, "mnist14"])
def test_parameters_agree_within_a_tenth(data):
    sizes = {name: free_parameters(contestant(name, world(data), steps=1).training.network) for name in FAMILIES}
    assert all(abs(n / world(data).parameters - 1) < 0.1 for n in sizes.values()), sizes


def test_all_see_the_same_batches_in_the_same_order(monkeypatch):
    seen, batch = {}, families.World.batch
    for name in FAMILIES:
        mine = seen.setdefault(name, [])
        monkeypatch.setattr(families.World, "batch", lambda self, n, g, mine=mine: mine.append(batch(self, n, g)) or mine[-1])
        assert [s.step for s in contestant(name, world("swirl"), steps=2, batch=16).steps()] == [1, 2]
    first, *others = seen.values()
    assert len(first) == 2 and not torch.equal(*first)
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def test_a_budget_of_seconds_ends_training_and_brings_the_rate_to_nought():
    now = iter(np.arange(0, 100, 0.5))  # each look at the clock is half a second later: a step lasts half a second
    it = contestant("flow", world("ring"), seconds=10.0, batch=8)
    it.training.warmup = 1
    rates = [s.lr for s in it.steps(lambda: next(now))]
    assert len(rates) == 20 and it.training.seconds == 10.0
    np.testing.assert_allclose(rates, it.training.lr * 0.5 * (1 + np.cos(np.pi * np.arange(20) / 20)), rtol=1e-12)


# -- answers -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["line", "swirl", "mnist14"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_contestant_answers_for_every_kind_of_data(name, data):
    it = contestant(name, world(data), steps=2, batch=8)
    list(it.steps())
    x, nats = it.sample(3, rng(1)), it.nats(it.data.test[:2], rng(2))
    assert x.shape == (3, it.data.dims) and torch.isfinite(x).all() and torch.equal(x, it.sample(3, rng(1)))
    assert all(v.shape == (2,) and torch.isfinite(v).all() for v in nats.values())
    last = "bound" if it.data.eight_bit else "exact"
    said = {"gan": [], "gan-minimax": [], "vae": ["bound", "importance"], "autoregressive": ["exact"], "flow": [last]}
    assert list(nats) == said.get(name, ["bound"] if it.data.eight_bit else ["bound", "exact"])
    if it.data.eight_bit:
        levels = ((x + 1) * 127.5).double()
        assert (levels - levels.round()).abs().max() < 1e-3 and levels.min() >= -1e-3 and levels.max() <= 255.001


@pytest.mark.parametrize("name", ["vae", "flow", "autoregressive", "diffusion"])
def test_no_likelihood_of_levels_lies_below_the_entropy(name):
    """An untrained and a briefly trained model of uniform levels: the entropy is 2 log 256, and every bound must stay above."""
    g = np.random.default_rng(5)
    levels = torch.from_numpy(g.integers(0, 256, (2000, 2)) / 127.5 - 1).float()
    data = families.World("uniform", levels, levels[:1000], 3000, eight_bit=True, entropy=2 * math.log(256))
    it = contestant(name, data, steps=60, batch=64)
    it.training.warmup = 1
    list(it.steps())
    for nats in it.nats(data.test, rng()).values():
        excess = (nats - data.entropy).mean().item()
        assert -4 * nats.std().item() / 1000**0.5 < excess < 2.5, excess


def test_the_bound_of_diffusion_on_a_density_lies_above_the_entropy_and_so_does_its_ode():
    it = contestant("diffusion", world("line"), steps=150)
    list(it.steps())
    nats = it.nats(it.data.test[:300], rng())
    assert list(nats) == ["bound", "exact"]
    for value in nats.values():
        assert -0.25 < value.mean().item() - it.data.entropy < 2, value.mean()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: world("rings"), "data must be one of 'line', 'ring', 'moons', 'swirl', 'mnist14'; got 'rings'"),
        (lambda: contestant("gans", world("ring"), steps=1), "family must be one of 'gan', .*'diffusion'; got 'gans'"),
        (lambda: contestant("gan", world("ring")), "a contestant needs an end: give seconds or steps; got neither"),
    ],
)
def test_bad_calls_say_what_is_allowed(call, message):
    with pytest.raises(ValueError, match=message):
        call()
