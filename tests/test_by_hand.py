"""The network without torch: every gradient by differences and by autograd, Adam against torch's, training down to the Bayes floor."""

import ast
import copy
import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import expit

from minidiff import ExactDenoiser, Schedule, bits_per_dim, ddim, ddpm, dpm_solver, heun, last, marginal, toy, variational_bound
from minidiff.arrays import normal
from minidiff.learn import NetworkDenoiser, Training, TrainStep, simple_loss
from minidiff.learn.by_hand import HandDenoiser, fit_by_hand, loss_and_gradients
from minidiff.nn import MLP, by_hand, embed
from minidiff.nn.by_hand import Adam, HandMLP, by_differences, silu, squared_error, squared_error_backward
from tests.contracts import batch, check_denoiser, check_sampler

SCHEDULE = Schedule.cosine(30, max_beta=0.5)


def network(seed=0, size=0.4, **sizes):
    """A network whose last layer and biases are not zero: at zero, most gradients are, and a check of them proves nothing."""
    rng = np.random.default_rng(seed)
    net = HandMLP(rng, **{"width": 7, "features": 6, **sizes})
    for a in net.params.values():
        a += size * rng.standard_normal(a.shape)
    return net


def points(n=9, dim=2, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, dim)), rng.integers(1, SCHEDULE.T + 1, n), rng.standard_normal((n, dim))


class Twin(torch.nn.Module):
    """The same network in torch, with the same numbers: built from F.linear, F.silu and nn.embed, differentiated by autograd."""

    def __init__(self, net):
        super().__init__()
        self.depth, self.features = net.depth, net.features
        self.p = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.tensor(a)) for name, a in net.params.items()})

    def forward(self, x_t, t, vector=None, tokens=None, image=None):
        p = self.p
        half = self.features // 2
        angle = torch.outer(t.double(), torch.tensor([10_000.0 ** (-i / half) for i in range(half)], dtype=torch.float64))
        e, h = F.silu(F.linear(torch.cat([angle.cos(), angle.sin()], 1), p["W_time"].T, p["b_time"])), x_t
        for k in range(1, self.depth + 1):
            h = F.silu(F.linear(h, p[f"W_{k}"].T, p[f"b_{k}"]) + F.linear(e, p[f"U_{k}"].T))
        return F.linear(h, p["W_out"].T, p["b_out"])

    def gradients(self):
        return {name: a.grad.numpy() for name, a in self.p.items()}


def assert_close(found, wanted, tolerance):
    """The largest difference, as a share of the largest number of the array."""
    assert found.keys() == wanted.keys()
    for name, right in wanted.items():
        assert found[name].shape == right.shape and np.abs(right).max() > 1e-6, f"{name}: nothing to compare"
        assert np.abs(found[name] - right).max() <= tolerance * np.abs(right).max(), name


# The pieces


def test_central_differences_of_known_functions():
    a = np.random.default_rng(0).standard_normal((2, 3))
    before = a.copy()
    np.testing.assert_allclose(by_differences(lambda: float(np.sin(a).sum()), a), np.cos(a), rtol=1e-9, atol=1e-9)
    assert (a == before).all(), "the array was not left as it was"
    cubic = by_differences(lambda: float((a**3).sum()), a, h=0.1)
    np.testing.assert_allclose(cubic, 3 * a**2 + 0.1**2, rtol=1e-10)  # the error is h^2 L'''/6 = h^2, exactly, for a cubic
    point = np.array(2.0)
    assert by_differences(lambda: float(point**2), point) == pytest.approx(4.0, abs=1e-9)


def test_every_partner_function_against_differences():
    rng = np.random.default_rng(2)
    x, W, b, c = (rng.standard_normal(shape) for shape in ((5, 3), (3, 4), (4,), (5, 4)))
    for found, array in zip(by_hand.linear_backward(c, x, W), (x, W, b), strict=True):
        numerical = by_differences(lambda: float((c * by_hand.linear(x, W, b)).sum()), array)
        np.testing.assert_allclose(found, numerical, rtol=1e-8, atol=1e-9)
    z = 3 * c
    np.testing.assert_allclose(by_hand.silu_backward(c, z), by_differences(lambda: float((c * silu(z)).sum()), z), rtol=1e-8, atol=1e-9)
    target = rng.standard_normal((5, 4))
    numerical = by_differences(lambda: squared_error(z, target), z)
    np.testing.assert_allclose(squared_error_backward(z, target), numerical, rtol=1e-8, atol=1e-9)


@pytest.mark.filterwarnings("error")
def test_sigmoid_and_silu_far_out():
    z = np.array([-1e4, -800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0, 1e4])
    np.testing.assert_allclose(by_hand.sigmoid(z), expit(z), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(silu(z), F.silu(torch.tensor(z)).numpy(), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(by_hand.silu_backward(np.ones(9), z), [0, 0, 0, 0.0723295, 0.5, 0.9276705, 1, 1, 1], atol=1e-7)


def test_sinusoidal_is_that_of_the_torch_networks():
    t = np.array([0, 1, 30, 999])
    np.testing.assert_allclose(by_hand.sinusoidal(t, 16), embed.sinusoidal(torch.tensor(t), 16).numpy(), atol=1e-4)  # float32 there
    with pytest.raises(ValueError, match="dim must be even"):
        by_hand.sinusoidal(t, 5)


# The whole


@pytest.mark.parametrize("sizes", [{}, {"depth": 1}, {"depth": 2, "dim": 3, "features": 2}], ids=str)
def test_every_gradient_against_central_differences(sizes):
    net = network(**sizes)
    x_t, t, eps = points(dim=net.dim)
    out = net.forward(x_t, t)
    grads = net.backward(squared_error_backward(out, eps))
    assert grads.keys() == net.params.keys()
    numerical = {name: by_differences(lambda: squared_error(net.forward(x_t, t), eps), a) for name, a in net.params.items()}
    assert_close(grads, numerical, 1e-7)


def test_backward_serves_any_loss():
    net = network()
    x_t, t, _ = points()
    grads = net.backward(np.tanh(net.forward(x_t, t)))  # of log cosh, whose slope is tanh
    numerical = {name: by_differences(lambda: float(np.log(np.cosh(net.forward(x_t, t))).sum()), a) for name, a in net.params.items()}
    assert_close(grads, numerical, 1e-7)


@pytest.mark.parametrize("sizes", [{}, {"depth": 1, "dim": 1}, {"width": 32, "depth": 4, "features": 16}], ids=str)
def test_forward_and_gradients_are_those_of_autograd(sizes):
    net = network(**sizes)
    x_t, t, eps = points(40, net.dim)
    twin = Twin(net)
    theirs = twin(torch.tensor(x_t), torch.tensor(t))
    ours = net.forward(x_t, t)
    assert np.abs(ours - theirs.detach().numpy()).max() <= 1e-10 * np.abs(ours).max()
    F.mse_loss(theirs, torch.tensor(eps)).backward()
    assert_close(net.backward(squared_error_backward(ours, eps)), twin.gradients(), 1e-10)


def test_the_loss_is_that_of_the_torch_denoiser():
    net = network()
    x_0, t, eps = points(50)
    twin = Twin(net)
    theirs = simple_loss(NetworkDenoiser(twin, SCHEDULE), torch.tensor(x_0), torch.tensor(t), torch.tensor(eps)).mean() / 2
    loss, grads = loss_and_gradients(HandDenoiser(net, SCHEDULE), x_0, t, eps)
    assert loss == pytest.approx(theirs.item(), rel=1e-12)
    theirs.backward()
    assert_close(grads, twin.gradients(), 1e-10)


def test_an_untrained_network_says_nothing_and_only_its_last_layer_learns():
    net = HandMLP(np.random.default_rng(0))
    x_t, t, eps = points(20)
    out = net.forward(x_t, t)
    assert (out == 0).all()
    grads = net.backward(squared_error_backward(out, eps))
    assert {name for name, g in grads.items() if g.any()} == {"W_out", "b_out"}
    time, first, other, end = 16 * 64 + 64, 2 * 64 + 64 + 64 * 64, 64 * 64 + 64 + 64 * 64, 64 * 2 + 2
    assert sum(a.size for a in net.params.values()) == time + first + 2 * other + end


def test_backward_uses_up_what_forward_kept():
    net, (x_t, t, eps) = network(), points()
    with pytest.raises(RuntimeError, match="call forward before each backward"):
        net.backward(eps)
    net.forward(x_t, t)
    with pytest.raises(ValueError, match=r"grad_out must be \(9, 2\); got \(9, 3\)"):
        net.backward(np.zeros((9, 3)))
    net.backward(eps)  # the refused gradient cost nothing
    with pytest.raises(RuntimeError, match="call forward before each backward"):
        net.backward(eps)


def test_no_torch_in_the_network():
    nodes = list(ast.walk(ast.parse(inspect.getsource(by_hand))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "collections.abc", "dataclasses", "math", "numpy", "numpy.typing", "typing"}


# Adam


@pytest.mark.parametrize("steps", [None, 30])
def test_adam_is_torchs(steps):
    rng = np.random.default_rng(3)
    params = {"a": rng.standard_normal((4, 3)), "b": rng.standard_normal(5)}
    theirs = {name: torch.tensor(a, requires_grad=True) for name, a in params.items()}
    ours = Adam(params, lr=0.02, betas=(0.8, 0.99), eps=1e-6, steps=steps)
    optimizer = torch.optim.Adam(theirs.values(), lr=0.02, betas=(0.8, 0.99), eps=1e-6)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps) if steps else None
    for k in range(1, 31):
        scale = 10.0 ** rng.integers(-6, 3)  # gradients of very different sizes
        grads = {name: scale * rng.standard_normal(a.shape) for name, a in params.items()}
        grads["b"][0] = 0.0
        for name, a in theirs.items():
            a.grad = torch.tensor(grads[name])
        assert ours.lr_at(k) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        ours.step(grads)
        optimizer.step()
        if falling:
            falling.step()
        for name, a in theirs.items():
            np.testing.assert_allclose(params[name], a.detach().numpy(), rtol=0, atol=1e-12)


def test_adam_first_step_learning_rate_and_refusals():
    params = {"a": np.zeros(3)}
    Adam(params, lr=0.1).step({"a": np.array([1e-3, -5.0, 1e4])})
    np.testing.assert_allclose(params["a"], [-0.1, 0.1, -0.1], rtol=1e-4)  # the size of the gradient does not matter
    training = Training(MLP(width=4), steps=50, lr=0.3, warmup=0)
    adam = Adam({"a": np.zeros(1)}, lr=0.3, steps=50)
    assert [adam.lr_at(k) for k in range(1, 52)] == [training.lr_at(k) for k in range(1, 52)]
    assert adam.lr_at(1) == 0.3 and adam.lr_at(51) == 0
    for grads in ({}, {"a": np.zeros(1), "b": np.zeros(1)}, {"a": np.zeros(2)}, {"a": np.zeros((1, 1))}):
        with pytest.raises(ValueError, match="one gradient for each parameter, in its shape; wrong or missing: [ab]"):
            adam.step(grads)
    assert adam.k == 0
    for bad in ({"lr": 0.0}, {"eps": 0.0}, {"betas": (0.9, 1.0)}, {"steps": 0}, {"lr": math.nan}):
        with pytest.raises(ValueError, match="needed: lr > 0"):
            Adam(params, **bad)


# As a denoiser


@pytest.mark.parametrize("array", ["numpy32", "numpy64"])
def test_contract(array):
    check_denoiser(HandDenoiser(network(), SCHEDULE), batch((4, 2), array))


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm_solver", "heun"])
def test_samplers_run_on_it(name):
    samplers = {
        "ddpm": lambda d, x, times, draw, cond: ddpm(d, x, times, draw, cond),
        "ddim": lambda d, x, times, draw, cond: ddim(d, x, times),
        "dpm_solver": lambda d, x, times, draw, cond: dpm_solver(d, x, times),
    }
    denoiser, x = HandDenoiser(network(), SCHEDULE), batch((6, 2), "numpy64")
    if name in samplers:
        check_sampler(samplers[name], denoiser, x, noisy=name == "ddpm")
    else:
        x = last(heun(denoiser, x, SCHEDULE.times(10)))
        assert isinstance(x, np.ndarray) and x.dtype == np.float64 and np.isfinite(x).all()


def test_the_bound_is_that_of_the_twin_in_torch():
    net, x_0 = network(size=0.05), toy.quantise(toy.ring().sample(40, np.random.default_rng(5)))
    ours = variational_bound(HandDenoiser(net, SCHEDULE), x_0, normal(np.random.default_rng(6)))
    draw = normal(np.random.default_rng(6))
    theirs = variational_bound(NetworkDenoiser(Twin(net), SCHEDULE), torch.tensor(x_0), lambda x: torch.tensor(draw(x.numpy())))
    assert isinstance(ours.total, np.ndarray) and ours.total.shape == (40,)
    np.testing.assert_allclose(ours.total, theirs.total.detach().numpy(), rtol=1e-9)


# Training


def test_a_short_training_is_torchs_step_by_step():
    net, batch_of = network(), toy.swirl()
    twin = NetworkDenoiser(Twin(net), SCHEDULE)
    optimizer = torch.optim.Adam(twin.network.parameters(), lr=0.01)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    rng = np.random.default_rng(8)
    for step in fit_by_hand(HandDenoiser(net, SCHEDULE), lambda g: batch_of.sample(32, g), 20, np.random.default_rng(8)):
        x_0, t, eps = batch_of.sample(32, rng), rng.integers(1, SCHEDULE.T + 1, size=32), rng.standard_normal((32, 2))
        optimizer.zero_grad()
        loss = simple_loss(twin, *(torch.tensor(a) for a in (x_0, t, eps))).mean() / 2
        loss.backward()
        norm = math.sqrt(sum(float((p.grad**2).sum()) for p in twin.network.parameters()))
        assert isinstance(step, TrainStep) and step.lr == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        assert step.loss == pytest.approx(loss.item(), rel=1e-9) and step.grad_norm == pytest.approx(norm, rel=1e-8)
        optimizer.step()
        falling.step()
        for name, p in twin.network.p.items():
            np.testing.assert_allclose(net.params[name], p.detach().numpy(), rtol=0, atol=1e-9)
    assert step.step == 20


def test_training_draws_every_time_and_stops_at_a_loss_that_is_not_finite():
    seen = []

    class Recorder(HandMLP):
        def forward(self, x_t, t):
            seen.append(np.array(t))
            return super().forward(x_t, t)

    denoiser, data = HandDenoiser(Recorder(np.random.default_rng(0), width=4), SCHEDULE), toy.ring()
    list(fit_by_hand(denoiser, lambda g: data.sample(300, g), 10, np.random.default_rng(1)))
    counts = np.bincount(np.concatenate(seen), minlength=SCHEDULE.T + 1)
    assert len(counts) == SCHEDULE.T + 1 and counts[0] == 0 and np.abs(counts[1:] - 100).max() < 50  # five standard deviations

    before = copy.deepcopy(denoiser.network.params)
    with pytest.raises(FloatingPointError, match="the loss of step 1 is nan: try a smaller lr"):
        list(fit_by_hand(denoiser, lambda g: np.full((4, 2), np.nan), 3, np.random.default_rng(1)))
    assert all((before[name] == a).all() for name, a in denoiser.network.params.items())


@pytest.fixture(scope="module")
def trained():
    """1500 steps of 256 points of the swirl, about five seconds."""
    denoiser, data = HandDenoiser(HandMLP(np.random.default_rng(0)), Schedule.cosine(100, max_beta=0.5)), toy.swirl()
    list(fit_by_hand(denoiser, lambda g: data.sample(256, g), 1500, np.random.default_rng(1)))
    return denoiser, data


def test_training_reaches_the_bayes_floor_within_five_percent(trained):
    denoiser, data = trained
    rng, exact, T = np.random.default_rng(2), ExactDenoiser(data, denoiser.schedule), denoiser.schedule.T
    t = np.tile(np.arange(1, T + 1), 300)  # held out: fresh points, each t equally often, the same for both denoisers
    x_0, eps = data.sample(len(t), rng), rng.standard_normal((len(t), 2))
    x_t = marginal(denoiser.schedule, x_0, t).sample(eps)
    said, right = denoiser(x_t, t).eps, exact(x_t, t).eps
    loss, floor = (((e - eps) ** 2).mean(1) for e in (said, right))
    excess = ((said - right) ** 2).mean(1)
    cross = loss - floor - excess  # 0 on average, for any network, if and only if `right` is E[eps | x_t]
    assert abs(cross.mean()) < 5 * cross.std() / math.sqrt(len(t))
    assert 1 < loss.mean() / floor.mean() < 1.05
    assert excess.mean() < 0.05 * floor.mean()


def test_samples_and_bits_of_a_trained_network(trained):
    denoiser, data = trained
    rng, schedule = np.random.default_rng(3), denoiser.schedule
    start = rng.standard_normal((500, 2))
    rare = np.quantile(data.log_prob(data.sample(20_000, rng)), 0.001)
    for steps in (ddim(denoiser, start, schedule.times(50)), ddpm(denoiser, start, schedule.times(100), normal(rng))):
        x = last(steps)
        assert np.mean(data.log_prob(x) < rare) < 0.3 < np.mean(data.log_prob(start) < rare)
    x_0 = toy.quantise(data.sample(500, rng))
    bound = bits_per_dim(variational_bound(denoiser, x_0, normal(rng), "large").total, 2)
    entropy, error = bits_per_dim(toy.quantised_entropy(data), 2), bound.std() / math.sqrt(len(bound))
    assert entropy < bound.mean() + 4 * error and bound.mean() < entropy + 1.5


# Wrong input


def test_wrong_input_says_what_was_expected():
    net, (x_t, t, _) = network(), points()
    wrong = {"float32 array": x_t.astype(np.float32), "int64 array": x_t.astype(int), "Tensor": torch.tensor(x_t), "list": x_t.tolist()}
    for got, x in wrong.items():
        with pytest.raises(TypeError, match=f"x_t must be a float64 NumPy array; got a {got}"):
            net.forward(x, t)
    for x, got in ((np.zeros((9, 3)), r"\(9, 3\)"), (np.zeros(9), r"\(9,\)"), (np.zeros((9, 2, 1)), r"\(9, 2, 1\)")):
        with pytest.raises(ValueError, match=rf"x_t must be \(B, 2\); got {got}"):
            net.forward(x, t)
    for bad in (3, t[:4], t[:, None]):
        with pytest.raises(ValueError, match="t must be a row of 9 numbers, one for each point"):
            net.forward(x_t, bad)
    net.forward(x_t, t)
    with pytest.raises(TypeError, match="grad_out must be a float64 NumPy array; got a float32 array"):
        net.backward(np.zeros((9, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="dim, width, depth >= 1"):
        HandMLP(np.random.default_rng(0), depth=0)
    with pytest.raises(ValueError, match="dim must be even"):
        HandMLP(np.random.default_rng(0), features=7)


def test_wrong_input_to_the_denoiser():
    denoiser, x = HandDenoiser(network(), SCHEDULE), np.zeros((3, 2))
    with pytest.raises(TypeError, match=r"NumPy arrays of floats; got Tensor \(x.numpy\(\) converts"):
        denoiser(torch.zeros(3, 2), 1)
    with pytest.raises(TypeError, match="NumPy arrays of floats; got int64"):
        denoiser(np.zeros((3, 2), dtype=np.int64), 1)
    with pytest.raises(ValueError, match="takes no condition; got a str"):
        denoiser(x, 1, "cat")
    with pytest.raises(ValueError, match="t must be one int or one for each of the 3 examples; got 2"):
        denoiser(x, [1, 2])
    with pytest.raises(ValueError, match=r"x_t must be \(B, 2\); got \(3, 4\)"):
        denoiser(np.zeros((3, 4)), 1)
