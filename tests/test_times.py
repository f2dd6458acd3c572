"""Which t is trained: probabilities by a slow loop, unbiased weights, the best second moment, and runs that go on bit for bit."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from scipy.optimize import minimize

from minidiff import Schedule
from minidiff.learn import (
    FileError,
    LogitNormalTimes,
    LossAwareTimes,
    NetworkDenoiser,
    Training,
    UniformTimes,
    fit,
    load_state,
    save_state,
    simple_loss,
    vlb_loss,
)
from minidiff.nn import MLP

SCHEDULE = Schedule.linear(6, 0.02, 0.5)
T = SCHEDULE.T


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def filled(T=T, history=3, seed=1, **kwargs):
    """Every t seen more often than `history`, with losses of very different sizes; and all that was seen, as lists."""
    times, rng = LossAwareTimes(T, history, **kwargs), np.random.default_rng(seed)
    seen = {t: [] for t in range(1, T + 1)}
    for _ in range(12 * T):
        t = rng.integers(1, T + 1, 2)
        losses = rng.exponential(size=2) * 4.0**t
        times.update(torch.from_numpy(t), torch.from_numpy(losses))
        for i in range(2):
            seen[int(t[i])].append(float(losses[i]))
    return times, seen


# -- uniform ------------------------------------------------------------------------------------------------------------------


def test_uniform_times_are_those_of_randint_and_all_weigh_1():
    t, weight = UniformTimes(1000).sample(64, generator(3))
    assert torch.equal(t, torch.randint(1, 1001, (64,), generator=generator(3))) and weight.tolist() == [1.0] * 64
    t, _ = UniformTimes(4).sample(400, generator())
    assert set(t.tolist()) == {1, 2, 3, 4}
    UniformTimes(4).update(t, t.float())
    assert UniformTimes(4).state_dict() == {}


# -- in the middle ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 0.7)])
def test_logit_normal_times_fall_as_the_normal_cdf_says(mean, std):
    t, weight = LogitNormalTimes(10, mean, std).sample(40_000, generator(1))
    assert set(weight.tolist()) == {1.0} and t.dtype == torch.int64 and t.min() >= 1 and t.max() <= 10
    ends = scipy.stats.norm.cdf(scipy.special.logit(np.arange(11) / 10), mean, std)  # t = k stands for shares from (k - 1) / T to k / T
    found = np.bincount(t, minlength=11)[1:] / 40_000
    assert np.all(np.abs(found - np.diff(ends)) < 4 * np.sqrt(np.diff(ends) / 40_000) + 1e-6)
    wide, _ = LogitNormalTimes(3, 0.0, 200.0).sample(500, generator())  # the sigmoid of a large number is 0 or 1 exactly
    assert set(wide.tolist()) <= {1, 2, 3} and {1, 3} <= set(wide.tolist())


def test_logit_normal_times_need_a_spread():
    with pytest.raises(ValueError, match="std must be positive; got 0"):
        LogitNormalTimes(10, std=0.0)


# -- by their losses ------------------------------------------------------------------------------------------------------------


def test_uniform_until_every_t_has_its_history():
    times = LossAwareTimes(3, history=2)
    for t in (1, 1, 2, 2, 3):
        times.update(torch.tensor([t]), torch.tensor([10.0**t]))
        assert times.probabilities.tolist() == [1 / 3] * 3
    times.update(torch.tensor([3]), torch.tensor([1000.0]))
    assert times.probabilities[2] > 0.8


@pytest.mark.parametrize("uniform", [0.0, 1e-3, 0.3])
def test_probabilities_by_a_slow_loop_over_the_last_losses(uniform):
    times, seen = filled(uniform=uniform)
    roots = [math.sqrt(sum(x * x for x in seen[t][-3:]) / 3) for t in range(1, T + 1)]
    expected = [(1 - uniform) * r / sum(roots) + uniform / T for r in roots]
    p = times.probabilities
    assert p.dtype == torch.float64 and p.sum().item() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(p, expected, rtol=1e-12)
    assert p.max() > 5 * p.min()


def test_times_come_as_often_as_their_probability_says_with_weights_1_over_T_p():
    times, _ = filled(uniform=0.05)
    n = 40_000
    t, weight = times.sample(n, generator(5))
    p = times.probabilities.numpy()
    assert t.min() >= 1 and t.max() <= T and weight.dtype == torch.float32 and weight.shape == t.shape == (n,)
    share = np.bincount(t.numpy(), minlength=T + 1)[1:] / n
    assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / n)).all()
    np.testing.assert_allclose(weight, 1 / (T * p[t.numpy() - 1]), rtol=1e-6)
    assert weight.max() <= 1 / 0.05


def test_weighted_losses_have_the_mean_over_all_t():
    """Whatever the losses are: those that made the probabilities, or others."""
    times, _ = filled(uniform=0.05)
    p, losses = times.probabilities, torch.tensor([5.0, -1.0, 2.0, 0.5, 30.0, 100.0], dtype=torch.float64)
    assert (p * losses / (T * p)).sum().item() == pytest.approx(losses.mean().item())
    t, weight = times.sample(20_000, generator(6))
    products = weight.double() * losses[t - 1]
    assert abs(products.mean() - losses.mean()) < 5 * products.std() / 20_000**0.5


def test_no_other_probabilities_have_a_smaller_second_moment():
    """sum_t E[L_t^2] / (T^2 p_t), minimised over the simplex by scipy from uniform p."""
    times, seen = filled(uniform=0.0)
    square = np.array([np.mean(np.square(seen[t][-3:])) for t in range(1, T + 1)])
    square /= square.max()

    def moment(logits):
        p = np.exp(logits - logits.max())
        p /= p.sum()
        return (square / p).sum() / T**2

    found = minimize(moment, np.zeros(T), method="BFGS", options={"gtol": 1e-10})
    best = np.exp(found.x - found.x.max())
    np.testing.assert_allclose(times.probabilities, best / best.sum(), rtol=1e-4)
    assert (square / times.probabilities.numpy()).sum() / T**2 <= found.fun * (1 + 1e-9)


def test_losses_that_are_not_finite_are_not_remembered():
    times, _ = filled()
    before = times.probabilities
    times.update(torch.tensor([1, 2, 3]), torch.tensor([math.nan, math.inf, -math.inf]))
    assert torch.equal(times.probabilities, before)
    times.update(torch.tensor([1, 2]), torch.tensor([math.nan, 1e6]))
    assert times.probabilities[1] > before[1] and torch.isfinite(times.probabilities).all()


def test_when_all_losses_are_0_every_t_is_as_good():
    times = LossAwareTimes(3, history=1)
    times.update(torch.tensor([1, 2, 3]), torch.zeros(3))
    assert times.probabilities.tolist() == [1 / 3] * 3


def test_state_comes_back_and_belongs_to_one_T_and_history():
    times, _ = filled()
    other = LossAwareTimes(T, 3)
    other.load_state_dict(times.state_dict())
    assert torch.equal(other.probabilities, times.probabilities)
    assert torch.equal(other.sample(50, generator(7))[0], times.sample(50, generator(7))[0])
    before = other.probabilities
    times.update(torch.tensor([1]), torch.tensor([1e9]))
    assert torch.equal(other.probabilities, before), "the two share their memory"
    for wrong in (LossAwareTimes(T + 1, 3), LossAwareTimes(T, 4)):
        with pytest.raises(ValueError, match=r"history of losses of shape \(\d, \d\) was expected; this state has"):
            wrong.load_state_dict(times.state_dict())
    with pytest.raises(ValueError, match="was expected; this state has"):
        times.load_state_dict({})


# -- in a training --------------------------------------------------------------------------------------------------------------


class Recorded(LossAwareTimes):
    """LossAwareTimes that writes down what it drew."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.drawn = []

    def sample(self, n, rng):
        t, weight = super().sample(n, rng)
        self.drawn.append(t.tolist())
        return t, weight


def training(steps=24, times=None):
    torch.manual_seed(0)
    net = MLP(2, 4, width=16, depth=1)
    return Training(NetworkDenoiser(net, SCHEDULE), steps, lr=1e-2, warmup=2, seed=3, times=times or Recorded(T, history=4))


def batch(rng):
    return (torch.randn((16, 2), generator=rng) * 0.5 + 0.2).clamp(-1, 1).mul(127.5).add(127.5).round().div(127.5).sub(1), None


def same(a, b):
    nets = [(a.network, b.network), (a.average, b.average)]
    weights = all(torch.equal(x, y) for m, n in nets for x, y in zip(m.state_dict().values(), n.state_dict().values(), strict=True))
    return weights and torch.equal(a.times.losses, b.times.losses) and torch.equal(a.times.seen, b.times.seen)


@pytest.fixture(scope="module")
def whole():
    run = training()
    for _ in fit(run, batch, vlb_loss):
        pass
    return run


@pytest.mark.parametrize("stop", [3, 9, 17])
def test_stop_and_resume_draws_the_same_times_and_ends_in_the_same_weights(tmp_path, whole, stop):
    """Before and after the history is full: what was drawn early changes what is drawn late."""
    assert (whole.times.probabilities.max() / whole.times.probabilities.min()).item() > 2
    first = training()
    for step in fit(first, batch, vlb_loss):
        if step.step == stop:
            break
    save_state(tmp_path / "s.pt", first, {"r": 1})
    second = training()
    load_state(tmp_path / "s.pt", second, {"r": 1})
    for _ in fit(second, batch, vlb_loss):
        pass
    assert first.times.drawn + second.times.drawn == whole.times.drawn and same(second, whole)


def test_without_the_history_it_would_not(tmp_path, whole):
    first = training()
    for step in fit(first, batch, vlb_loss):
        if step.step == 17:
            break
    save_state(tmp_path / "s.pt", first, {"r": 1})
    second = training()
    load_state(tmp_path / "s.pt", second, {"r": 1})
    second.times.load_state_dict(LossAwareTimes(T, 4).state_dict())
    for _ in fit(second, batch, vlb_loss):
        pass
    assert second.times.drawn != whole.times.drawn[17:]


def test_a_step_that_is_broken_off_leaves_no_trace(tmp_path, whole):
    """Ctrl-C within step 15, between its losses and its gradient: step 14 is saved, and the resumed run makes 15 as if never begun."""
    first = training()
    weight = next(first.network.parameters())
    hook = weight.register_hook(lambda grad: ctrl_c() if first.step == 14 else None)
    with pytest.raises(KeyboardInterrupt):
        for _ in fit(first, batch, vlb_loss):
            pass
    hook.remove()
    assert first.step == 14
    save_state(tmp_path / "s.pt", first, {"r": 1})
    second = training()
    load_state(tmp_path / "s.pt", second, {"r": 1})
    for _ in fit(second, batch, vlb_loss):
        pass
    assert second.times.drawn == whole.times.drawn[14:] and same(second, whole)


def ctrl_c():
    raise KeyboardInterrupt


def test_a_loss_that_is_not_finite_leaves_no_trace():
    run = training()

    def poisoned(*args):
        losses = vlb_loss(*args)
        return losses * torch.tensor([math.nan] + [1.0] * 15) if run.step == 9 else losses

    steps = fit(run, batch, poisoned)
    for _ in range(9):
        next(steps)
    before = run.times.losses.clone()
    with pytest.raises(FloatingPointError, match="step 10"):
        next(steps)
    assert run.step == 9 and torch.equal(run.times.losses, before)


def test_what_is_remembered_is_the_loss_without_its_weight():
    losses = []

    def loss(*args):
        losses.append(simple_loss(*args))
        return losses[-1]

    run = training(steps=12)
    steps = fit(run, batch, loss)
    for k, step in enumerate(steps):
        kept = {t: [] for t in range(1, T + 1)}
        for drawn, values in zip(run.times.drawn, losses, strict=True):
            for t, value in zip(drawn, values.tolist(), strict=True):
                kept[t].append(value)
        for t in range(1, T + 1):
            ring = run.times.losses[t - 1][: min(4, len(kept[t]))]
            assert sorted(ring.tolist()) == pytest.approx(sorted(kept[t][-4:]))
        assert step.step == k + 1


def test_the_loss_of_a_step_is_the_weighted_mean():
    """A sampler of one's own, with weights that matter."""

    class Mine(UniformTimes):
        def sample(self, n, rng):
            return torch.arange(n) % T + 1, torch.arange(n, dtype=torch.float32) / n

    seen = []

    def loss(denoiser, x_0, t, eps, cond):
        seen.append(t.tolist())
        return t.double() * x_0.double().sum(1) * 0 + 3.0 * t + 0 * denoiser(x_0, t).eps.sum(1)

    step = next(fit(training(times=Mine(T)), batch, loss))
    assert seen == [[i % T + 1 for i in range(16)]]
    assert step.loss == pytest.approx(sum(i / 16 * 3 * (i % T + 1) for i in range(16)) / 16 / 2)


# -- training states on disk --------------------------------------------------------------------------------------------------------


def write_without_times(path, run):
    """A state as it was written before there was a choice of t."""
    save_state(path, run, {"r": 1})
    state = torch.load(path, weights_only=True)
    del state["times"]
    torch.save(state, path)


def test_a_state_from_before_the_choice_of_t_is_one_of_uniform_times(tmp_path):
    old = training(times=UniformTimes(T))
    next(fit(old, batch))
    write_without_times(tmp_path / "s.pt", old)
    new = training(times=UniformTimes(T))
    load_state(tmp_path / "s.pt", new, {"r": 1})
    assert new.step == 1 and all(torch.equal(a, b) for a, b in zip(old.network.parameters(), new.network.parameters(), strict=True))


@pytest.mark.parametrize("kept", ["old", "uniform", "another T", "by losses"])
def test_a_state_with_another_choice_of_t_is_refused_in_one_line_and_changes_nothing(tmp_path, kept):
    path, wanted = tmp_path / "s.pt", UniformTimes(T) if kept == "by losses" else LossAwareTimes(T, 4)
    of = {"another T": LossAwareTimes(T, 5), "by losses": LossAwareTimes(T, 4)}.get(kept, UniformTimes(T))
    run = training(times=of)
    next(fit(run, batch))
    write_without_times(path, run) if kept == "old" else save_state(path, run, {"r": 1})
    new = training(times=wanted)
    before = [p.clone() for p in new.network.parameters()]
    with pytest.raises(FileError, match=f"{path}.*another --out, or delete it") as e:
        load_state(path, new, {"r": 1})
    assert "\n" not in str(e.value) and new.step == 0
    assert all(torch.equal(a, b) for a, b in zip(before, new.network.parameters(), strict=True))


def test_times_of_another_schedule_are_refused():
    for wrong in (LossAwareTimes(T - 1), UniformTimes(T + 1)):
        with pytest.raises(ValueError, match=rf"times must be those of the schedule, 1\.\.6; got times in 1\.\.{wrong.T}"):
            training(times=wrong)
