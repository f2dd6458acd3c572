"""The four parameterisations, there and back, and what each promises."""

import numpy as np
import pytest
import torch

from minidiff import GaussianMixture, Prediction, Schedule, from_output, target
from minidiff.prediction import KINDS
from tests.contracts import batch, numbers


@pytest.mark.parametrize("array", ["numpy32", "numpy64", "torch32", "torch64"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("t", [1, 400, [1, 2, 30, 700]])
def test_from_output_inverts_target(kind, array, t):
    x_0, eps = batch((4, 2, 3), array, 1), batch((4, 2, 3), array, 2)
    signal, noise = Schedule.linear().scales(t)
    a, b = (np.reshape(c, (-1, 1, 1)) for c in (signal, noise))
    x_t = numbers(x_0) * a + numbers(eps) * b
    x_t = torch.from_numpy(x_t).to(x_0.dtype) if array.startswith("torch") else x_t.astype(x_0.dtype)
    output = target(kind, x_0, eps, signal, noise)
    pred = from_output(kind, output, x_t, signal, noise)
    tolerance = 1e-11 if array.endswith("64") else 1e-4
    for got, want in ((pred.x_0, x_0), (pred.eps, eps)):
        assert got.dtype == x_0.dtype
        np.testing.assert_allclose(numbers(got), numbers(want), atol=tolerance)
    np.testing.assert_allclose(numbers(target(kind, pred.x_0, pred.eps, signal, noise)), numbers(output), rtol=1e-3, atol=tolerance * 100)


@pytest.mark.parametrize("kind", KINDS)
def test_any_output_obeys_the_relation(kind):
    output, x_t = batch((5, 2), "numpy64", 3), batch((5, 2), "numpy64", 4)
    signal, noise = Schedule.cosine(20).scales([1, 5, 10, 19, 20])
    mix = batch((5, 2), "numpy64", 5)
    pred = from_output(kind, output, x_t, signal, noise, mix)
    np.testing.assert_allclose(signal[:, None] * pred.x_0 + noise[:, None] * pred.eps, x_t, rtol=1e-10)
    assert pred.var_mix is mix


def test_v_is_the_derivative_along_the_circle():
    """With signal = cos phi, noise = sin phi, v = d x_t / d phi (Salimans & Ho): by complex step."""
    x_0, eps, phi, h = batch((6,), "numpy64", 1), batch((6,), "numpy64", 2), 0.7, 1e-30
    derivative = (np.cos(phi + 1j * h) * x_0 + np.sin(phi + 1j * h) * eps).imag / h
    np.testing.assert_allclose(target("v", x_0, eps, np.cos(phi), np.sin(phi)), derivative, rtol=1e-14)


def test_score_is_the_gradient_of_log_q():
    signal, noise = Schedule.linear().scales(300)
    x_0, eps = batch((3, 2), "torch64", 1), batch((3, 2), "torch64", 2)
    x_t = (signal * x_0 + noise * eps).requires_grad_()
    (-((x_t - signal * x_0) ** 2) / (2 * noise**2)).sum().backward()
    np.testing.assert_allclose(target("score", x_0, eps, signal, noise), x_t.grad, rtol=1e-10)


def test_the_score_of_a_mixture_read_as_a_prediction_is_tweedies_formula():
    mixture, schedule = GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], [0.2, 0.5]), Schedule.linear()
    signal, noise = schedule.scales(300)
    x_t = np.linspace(-3, 3, 7)[:, None]
    pred = from_output("score", mixture.push(signal, noise**2).score(x_t), x_t, signal, noise)
    x, w = np.linspace(-6, 8, 20_001)[:, None], np.exp(mixture.log_prob(np.linspace(-6, 8, 20_001)[:, None]))
    for i in range(7):
        p = w * np.exp(-((x_t[i] - signal * x[:, 0]) ** 2) / (2 * noise**2))
        assert pred.x_0[i, 0] == pytest.approx(p @ x[:, 0] / p.sum(), abs=1e-9)


def test_integers_and_gradients():
    assert target("v", np.array([1, 2]), np.array([0, 1]), 0.8, 0.6).tolist() == pytest.approx([-0.6, -0.4])
    out = torch.ones(2, 3, requires_grad=True)
    from_output("eps", out, torch.zeros(2, 3), 0.8, 0.6).x_0.sum().backward()
    np.testing.assert_allclose(out.grad, -0.75, rtol=1e-6)
    assert Prediction(1, 2).var_mix is None
