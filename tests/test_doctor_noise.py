"""Noise that is no fresh draw, and states that are cut: what `minidiff.doctor.noise` says of them, and of a right sampler beside them."""

import numpy as np
import pytest
from sick_models import World, student
from sick_models_blind import DATA, SCHEDULES

from minidiff.doctor import examine


def shared(axes):
    """A draw that is one for all along these axes."""
    rng = np.random.default_rng(2)
    return lambda shape: np.broadcast_to(rng.standard_normal([1 if axis in axes else n for axis, n in enumerate(shape)]), shape)


def said(noise):
    w = World(DATA["cigars"], SCHEDULES["cosine 100"], np.random.default_rng(1))
    return [(f.name, f.what) for f in examine(w.patient(sampler=student(w, noise=noise)), w.law.sample(2000, w.rng)).findings]


@pytest.mark.parametrize(("axes", "what"), [((0,), "every example"), ((1,), "every feature")])
def test_noise_that_is_shared(axes, what):
    name, text = said(shared(axes))[0]
    assert name == "noise law" and what in text


def test_fresh_noise_is_not_accused():
    assert said(shared(())) == []


def test_clipping_of_the_states():
    w = World(DATA["cigars"], SCHEDULES["cosine 100"], np.random.default_rng(1))

    def loop(call, x):
        bars, betas, rng = w.schedule.alpha_bar, w.schedule.beta, np.random.default_rng(3)
        for t in range(w.T, 0, -1):
            x = (x - betas[t] / np.sqrt(1 - bars[t]) * call(x, np.full(len(x), t))) / np.sqrt(1 - betas[t])
            x = np.clip(x + (t > 1) * np.sqrt(betas[t]) * rng.standard_normal(x.shape), -1, 1)
        return x

    report = examine(w.patient(sampler=loop), w.law.sample(2000, w.rng))
    assert report.diagnosis == "clipping" and "x_t itself" in report.findings[0].what
