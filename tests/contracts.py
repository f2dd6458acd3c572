"""One suite per protocol, run over every implementation: what any Denoiser and any sampler must do, whoever wrote it."""

import inspect
from itertools import pairwise

import numpy as np
import torch

from minidiff.arrays import is_torch, normal

DTYPES = {"numpy32": np.float32, "numpy64": np.float64, "torch32": torch.float32, "torch64": torch.float64}


def batch(shape, kind, seed=0):
    """Normal numbers of the given shape as NumPy or torch, float32 or float64."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(x).to(DTYPES[kind]) if kind.startswith("torch") else x.astype(DTYPES[kind])


def numbers(x):
    """Any array as float64 NumPy."""
    return x.detach().numpy().astype(float) if is_torch(x) else np.asarray(x, dtype=float)


def check_denoiser(denoiser, x_t, cond=None):
    """Shapes, dtype, the relation x_t = signal x_0 + noise eps, (B,) times = one at a time, guard on t, determinism."""
    T = denoiser.schedule.T
    tolerance = 1e-10 if x_t.dtype in (np.float64, torch.float64) else 2e-4
    for t in (1, 2, T // 2, T):
        pred = denoiser(x_t, t, cond)
        for part in (pred.x_0, pred.eps):
            assert part.shape == x_t.shape and part.dtype == x_t.dtype and is_torch(part) == is_torch(x_t)
        signal, noise = denoiser.schedule.scales(t)
        back = signal * numbers(pred.x_0) + noise * numbers(pred.eps)
        assert np.abs(back - numbers(x_t)).max() <= tolerance * max(1, np.abs(numbers(pred.eps)).max())
        again = denoiser(x_t, t, cond)
        assert (again.x_0 == pred.x_0).all() and (again.eps == pred.eps).all()
    times = np.resize([1, T, T // 2, 2], len(x_t))
    row = denoiser(x_t, times, cond)
    for i, t in enumerate(times):
        alone = denoiser(x_t, int(t), cond)
        np.testing.assert_allclose(numbers(row.x_0)[i], numbers(alone.x_0)[i], rtol=1e-4, atol=tolerance)
        np.testing.assert_allclose(numbers(row.eps)[i], numbers(alone.eps)[i], rtol=1e-4, atol=tolerance)
    for bad in (0, -1, T + 1):
        try:
            denoiser(x_t, bad, cond)
        except ValueError as e:
            assert f"1..{T}" in str(e)
        else:
            raise AssertionError(f"t = {bad} was accepted")


class CountingDraw:
    """A draw that counts its calls."""

    def __init__(self, seed=0):
        self.draw, self.calls = normal(np.random.default_rng(seed)), 0

    def __call__(self, x):
        self.calls += 1
        return self.draw(x)


class Watching:
    """A denoiser that records each call: the time, the condition, and whether gradients were on."""

    def __init__(self, denoiser):
        self.denoiser, self.times, self.conds, self.grad = denoiser, [], [], []

    @property
    def schedule(self):
        return self.denoiser.schedule

    def __call__(self, x_t, t, cond=None):
        self.times.append(t)
        self.conds.append(cond)
        self.grad.append(torch.is_grad_enabled())
        return self.denoiser(x_t, t, cond)


def check_sampler(sampler, denoiser, x, cond=None, noisy=True, ends=1):
    """sampler(denoiser, x, times, draw, cond) -> steps: laziness, states, reproducibility, gradients, noise on the last step.

    ends: at how many ends of a step from t to s the denoiser is asked: 1, at t only; 2, at t and then at s, as a method of second
    order may. On the step to t = 0 it is asked at t only, whatever the method: at 0 there is no noise to predict.
    """
    times = denoiser.schedule.times(5)
    watching, draw = Watching(denoiser), CountingDraw()
    steps = sampler(watching, x, times, draw, cond)
    assert inspect.isgenerator(steps) and not watching.times
    start = next(steps)
    assert start.t == times[0] and start.x_t is x and start.x_0 is None and not watching.times

    seen, asked = [start], []
    for step in steps:
        assert torch.is_grad_enabled(), "the sampler switched gradients off in its caller"
        asked += [seen[-1].t, step.t][: ends if step.t > 0 else 1]
        assert watching.times == asked, "the denoiser was asked at other times, or before a step was asked for"
        seen.append(step)
    assert [s.t for s in seen] == times and all(c is cond for c in watching.conds)
    assert not is_torch(x) or not any(watching.grad)
    for step in seen[1:]:
        assert step.x_t.shape == x.shape and step.x_t.dtype == x.dtype and not getattr(step.x_t, "requires_grad", False)
        assert step.x_0.shape == x.shape and step.x_0.dtype == x.dtype
    assert draw.calls == (4 if noisy else 0), "one draw a step, none on the step to t = 0"
    assert seen[-1].t == 0 and (seen[-1].x_t == seen[-1].x_0).all()

    again = list(sampler(denoiser, x, times, CountingDraw(), cond))
    assert all((a.x_t == b.x_t).all() for a, b in zip(seen, again, strict=True))
    other = list(sampler(denoiser, x, times, CountingDraw(seed=1), cond))
    assert bool((seen[-1].x_t != other[-1].x_t).any()) == noisy
    part = list(sampler(denoiser, x, times[:3], CountingDraw(), cond))  # a sampler may stop before 0
    assert all((a.x_t == b.x_t).all() for a, b in zip(part, seen, strict=False)) and part[-1].t == times[2]
    assert all(s.t > r.t for s, r in pairwise(part))
