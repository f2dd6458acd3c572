"""Losses, training, averages and checkpoints, against closed forms and slow obvious loops."""

import math
import signal
import threading
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from minidiff import Prediction, Schedule, from_output
from minidiff.learn import Condition, FileError, NetworkDenoiser, Training, descend, fit, load, load_state, save, save_state, simple_loss
from minidiff.learn.checkpoint import fill, read, replacing
from minidiff.learn.times import LossAwareTimes
from minidiff.learn.train import ema_update, step_generator, uninterrupted
from minidiff.nn import MLP, UNet


class Told(nn.Module):
    """A network that remembers what it was told, and answers with a fixed multiple of x_t."""

    def __init__(self, channels=1):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.channels = channels

    def forward(self, x_t, t, vector, tokens, image):
        self.t, self.vector = t, vector
        return torch.cat([self.a * x_t] * self.channels, dim=1)


def small_training(steps=8, seed=3, **kwargs):
    torch.manual_seed(0)
    denoiser = NetworkDenoiser(MLP(2, 2, width=16, depth=1), Schedule.linear(20, 1e-3, 0.3))
    return Training(denoiser, steps=steps, lr=1e-2, warmup=2, seed=seed, **kwargs)


def batch(rng):
    return torch.randn((32, 2), generator=rng) * 0.5 + 1, None


# -- the denoiser --------------------------------------------------------------------------------------------------------


def test_network_is_told_the_papers_t_one_for_each_example():
    net = Told()
    denoiser = NetworkDenoiser(net, Schedule.linear(50))
    x = torch.randn(4, 1, 3, 3)
    denoiser(x, 50)
    assert net.t.tolist() == [50, 50, 50, 50]
    denoiser(x, np.array([1, 2, 3, 50]))
    assert net.t.tolist() == [1, 2, 3, 50]


@pytest.mark.parametrize("kind", ["eps", "x_0", "v", "score"])
def test_output_is_read_as_its_kind(kind):
    schedule, x, t = Schedule.cosine(30), torch.randn(3, 1, 2, 2), np.array([1, 9, 29])
    pred = NetworkDenoiser(Told(), schedule, kind)(x, t)
    expected = from_output(kind, 0.5 * x, x, *schedule.scales(t))
    assert torch.equal(pred.x_0, expected.x_0) and torch.equal(pred.eps, expected.eps) and pred.var_mix is None


def test_twice_the_channels_are_a_learned_variance():
    x = torch.randn(3, 1, 2, 2)
    pred = NetworkDenoiser(Told(channels=2), Schedule.linear(10))(x, 5)
    assert torch.equal(pred.var_mix, 0.5 * x) and torch.equal(pred.eps, 0.5 * x)


def test_wrong_number_of_channels_is_an_error():
    with pytest.raises(ValueError, match="same shape, or twice the channels"):
        NetworkDenoiser(Told(channels=3), Schedule.linear(10))(torch.randn(3, 1, 2, 2), 5)


def test_condition_drop_and_null():
    c = Condition(vector=torch.ones(3, 2), image=torch.ones(3, 1, 2, 2))
    dropped = c.drop(torch.tensor([True, False, True]))
    assert dropped.vector.tolist() == [[0, 0], [1, 1], [0, 0]]
    assert dropped.image.sum((1, 2, 3)).tolist() == [0, 4, 0] and dropped.tokens is None
    assert c.null().vector.abs().sum() == 0 and c.vector.sum() == 6


# -- the loss ------------------------------------------------------------------------------------------------------------


def test_simple_loss_is_the_papers_formula_by_a_slow_loop():
    schedule = Schedule.linear(10, 0.01, 0.2)
    denoiser = NetworkDenoiser(Told(), schedule)
    x_0, eps, t = torch.randn(4, 1, 2, 2, dtype=torch.float64), torch.randn(4, 1, 2, 2, dtype=torch.float64), np.array([1, 3, 7, 10])
    got = simple_loss(denoiser, x_0, t, eps)
    for b in range(4):
        abar = math.prod(1 - schedule.beta[i] for i in range(1, t[b] + 1))
        total = 0.0
        for i in range(2):
            for j in range(2):
                x_t = math.sqrt(abar) * x_0[b, 0, i, j].item() + math.sqrt(1 - abar) * eps[b, 0, i, j].item()
                total += (eps[b, 0, i, j].item() - 0.5 * x_t) ** 2
        assert got[b].item() == pytest.approx(total, rel=1e-12)


def test_minimum_of_simple_loss_on_gaussian_data():
    """For x_0 ~ N(m, s^2) the least loss at t is abar s^2 / v per dimension, reached by noise (x - signal m) / v (B1)."""
    m, s, schedule, t = 0.8, 0.5, Schedule.linear(100, 1e-3, 0.1), 30
    signal, noise = schedule.scales(t)
    v = signal**2 * s**2 + noise**2
    rng = torch.Generator().manual_seed(5)
    x_0 = m + s * torch.randn((200_000, 1), generator=rng, dtype=torch.float64)
    eps = torch.randn((200_000, 1), generator=rng, dtype=torch.float64)

    def line(slope):
        class Line:
            pass

        line = Line()
        line.schedule = schedule
        Line.__call__ = lambda self, x, t, cond=None: Prediction(x, slope * noise * (x - signal * m) / v)
        return simple_loss(line, x_0, t, eps)

    best = line(1.0)
    z = (best.mean() - signal**2 * s**2 / v) / (best.std() / len(best) ** 0.5)
    assert abs(z) < 5
    assert line(0.9).mean() > best.mean() < line(1.1).mean()


# -- training ------------------------------------------------------------------------------------------------------------


def test_fit_yields_after_each_step_and_the_loss_falls():
    training = small_training(steps=150)
    before = [p.clone() for p in training.network.parameters()]
    steps = fit(training, batch)
    first = next(steps)
    assert first.step == training.step == 1
    assert any(not torch.equal(a, b) for a, b in zip(before, training.network.parameters(), strict=True))
    losses = [first.loss] + [s.loss for s in steps]
    assert training.step == 150 and np.mean(losses[-30:]) < 0.6 * np.mean(losses[:5])


def test_every_t_is_trained_both_ends_included():
    seen = []

    def loss(denoiser, x_0, t, eps, cond):
        seen.extend(t.tolist())
        return simple_loss(denoiser, x_0, t, eps, cond)

    for _ in fit(small_training(steps=40), batch, loss):
        pass
    assert set(seen) == set(range(1, 21))


def test_learning_rate_warms_up_and_ends_at_nothing():
    training = small_training(steps=100)
    rates = [training.lr_at(k) for k in range(1, 101)]
    assert rates[0] == pytest.approx(0.5e-2) and max(rates) <= 1e-2 and rates[-1] < 1e-5
    assert all(a >= b for a, b in pairwise(rates[2:]))


def test_randomness_of_a_step_depends_on_seed_and_step_only():
    draws = {(s, k): torch.randn(4, generator=step_generator(s, k)) for s in range(3) for k in range(1, 40)}
    assert torch.equal(draws[1, 7], torch.randn(4, generator=step_generator(1, 7)))
    rows = [tuple(v.tolist()) for v in draws.values()]
    assert len(set(rows)) == len(rows)


def test_stop_and_resume_is_the_uninterrupted_run_bit_for_bit(tmp_path):
    whole = small_training(steps=12)
    for _ in fit(whole, batch):
        pass
    first = small_training(steps=12)
    for step in fit(first, batch):
        if step.step == 5:
            break
    save_state(tmp_path / "s.pt", first, {"r": 1})
    second = small_training(steps=12)
    load_state(tmp_path / "s.pt", second, {"r": 1})
    for _ in fit(second, batch):
        pass
    for a, b in [(whole.network, second.network), (whole.average, second.average)]:
        assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_nan_loss_stops_and_keeps_the_last_good_weights():
    training = small_training(steps=10)

    def poisoned(rng):
        x, cond = batch(rng)
        return (x * math.nan if training.step == 4 else x), cond

    with pytest.raises(FloatingPointError, match="step 5.*smaller train.lr"):
        for _ in fit(training, poisoned):
            pass
    assert training.step == 4 and all(torch.isfinite(p).all() for p in training.network.parameters())


def test_ema_closed_form_with_warm_up():
    """average_n = sum_k (1 - d_k) prod_{j>k} d_j theta_k + prod d_j theta_0 (E01), d_k = min(d, (1 + k) / (10 + k))."""
    net, avg = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    thetas = [0.3, -1.0, 2.0, 0.7, 5.0]
    avg.weight.data.fill_(thetas[0])
    decays = [min(0.3, (1 + k) / (10 + k)) for k in range(1, 5)]
    for theta, d in zip(thetas[1:], decays, strict=True):
        net.weight.data.fill_(theta)
        ema_update(avg, net, d)
    expected = math.prod(decays) * thetas[0] + sum((1 - decays[k]) * math.prod(decays[k + 1 :]) * thetas[k + 1] for k in range(4))
    assert avg.weight.item() == pytest.approx(expected, rel=1e-6)


def test_fit_is_for_denoisers_and_descend_for_the_rest():
    training = Training(nn.Linear(1, 1), steps=60, lr=0.1, warmup=1)
    with pytest.raises(TypeError, match="descend"):
        next(fit(training, batch))
    target = torch.tensor([[2.0]])
    values = [s.loss for s in descend(training, lambda rng: ((training.network(torch.ones(1, 1)) - target) ** 2).mean())]
    assert values[-1] < 0.05 * values[0]


# -- a batch in parts, Ctrl-C, precision ---------------------------------------------------------------------------------


def same(a, b):
    nets = [(a.network, b.network), (a.average, b.average)]
    return all(torch.equal(x, y) for m, n in nets for x, y in zip(m.state_dict().values(), n.state_dict().values(), strict=True))


def told_training(accumulate, times=None):
    """A U-Net in float64 that is told a label and a picture, so that a condition out of step with its picture would show."""
    torch.manual_seed(0)
    net = UNet(1, 1, (8, 16), 1, (False, True), 2, vector_dim=3, image_channels=1)
    denoiser = NetworkDenoiser(net.double(), Schedule.linear(4, 1e-2, 0.3))
    return Training(denoiser, steps=8, lr=1e-2, warmup=2, seed=3, accumulate=accumulate, times=times)


def told_batch(rng):
    x = torch.randn((7, 1, 8, 8), generator=rng, dtype=torch.float64)
    label = torch.nn.functional.one_hot(torch.randint(0, 3, (7,), generator=rng), 3).double()
    return x + label.argmax(1).reshape(7, 1, 1, 1), Condition(vector=label, image=0.5 * x).drop(torch.rand(7, generator=rng) < 0.3)


@pytest.mark.parametrize("accumulate", [2, 3, 7])
@pytest.mark.parametrize("aware", [False, True])
def test_a_batch_in_parts_makes_the_steps_of_the_whole(accumulate, aware):
    """In float64: sums in another order differ by 1e-16, parts that are too many, too few or of the wrong weight by 1e-4 and more."""
    whole, parts = (told_training(n, LossAwareTimes(4, history=2) if aware else None) for n in (1, accumulate))
    a, b = ([(s.loss, s.grad_norm) for s in fit(run, told_batch)] for run in (whole, parts))
    np.testing.assert_allclose(a, b, rtol=1e-9)
    for one, other in ((whole.network, parts.network), (whole.average, parts.average)):
        for x, y in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(x, y, rtol=0, atol=1e-9)
    if aware:
        assert (whole.times.seen > 2).all() and torch.equal(whole.times.seen, parts.times.seen)
        torch.testing.assert_close(whole.times.losses, parts.times.losses, rtol=1e-9, atol=0)


def test_a_part_is_all_that_the_network_sees_at_once():
    seen = []
    run = small_training(steps=1, accumulate=5)
    run.network.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    next(fit(run, batch))
    assert seen == [6, 6, 7, 6, 7]  # 32 rows, cut at the integer parts of 32 i / 5


def test_a_batch_smaller_than_its_parts_and_a_batch_norm_are_refused():
    with pytest.raises(ValueError, match="a batch of 32 is too small for 1 .* train.accumulate = 33"):
        next(fit(small_training(accumulate=33), batch))
    run = Training(nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1)), steps=2, accumulate=2)
    with pytest.raises(ValueError, match="batch normalisation looks at the whole batch"):
        next(descend(run, lambda rng: iter([run.network(torch.ones(2, 1)).sum()] * 2)))


@pytest.mark.parametrize("moment", ["before the update", "in the update", "after the update", "in what the times learn"])
def test_ctrl_c_leaves_a_step_undone_or_whole(moment, tmp_path):
    """A real SIGINT at the worst moments of step 4: what is saved then goes on to the weights of the uninterrupted run, bit for bit."""

    class Times(LossAwareTimes):
        def update(self, t, losses):
            super().update(t, losses)
            ctrl_c("in what the times learn")

    def ctrl_c(now, *_):
        if now == moment and run.step == (4 if now == "in what the times learn" else 3) and not heard:
            heard.append(now)
            signal.raise_signal(signal.SIGINT)

    heard, whole = [], small_training(times=LossAwareTimes(20, history=1))
    list(fit(whole, batch))
    run = small_training(times=Times(20, history=1))
    next(run.network.parameters()).register_hook(partial(ctrl_c, "before the update"))
    run.optimizer.register_step_pre_hook(partial(ctrl_c, "in the update"))
    run.optimizer.register_step_post_hook(partial(ctrl_c, "after the update"))
    with pytest.raises(KeyboardInterrupt):
        list(fit(run, batch))
    assert heard == [moment] and run.step == (3 if moment == "before the update" else 4)
    save_state(tmp_path / "s.pt", run, {"r": 1})
    second = small_training(times=LossAwareTimes(20, history=1))
    load_state(tmp_path / "s.pt", second, {"r": 1})
    list(fit(second, batch))
    assert same(second, whole) and torch.equal(second.times.losses, whole.times.losses)


def test_ctrl_c_waits_for_the_end_of_the_outermost_block():
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted():
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_training_in_another_thread_leaves_signals_alone():
    run = small_training()
    thread = threading.Thread(target=lambda: list(fit(run, batch)))
    thread.start()
    thread.join()
    assert run.step == 8


def test_bfloat16_is_for_the_network_alone():
    dtypes = {}

    def loss(denoiser, x_0, t, eps, cond):
        dtypes["guess"] = denoiser(x_0, t, cond).eps
        return simple_loss(denoiser, x_0, t, eps, cond)

    plain, half = small_training(steps=5), small_training(steps=5, precision="bfloat16")
    half.network.register_forward_hook(lambda module, args, out: dtypes.update(network=out))
    a, b = [s.loss for s in fit(plain, batch)], [s.loss for s in fit(half, batch, loss)]
    assert dtypes["network"].dtype == torch.bfloat16 and dtypes["guess"].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in [*half.network.parameters(), *half.average.parameters()])
    assert a != b
    np.testing.assert_allclose(a, b, rtol=0.05)  # bfloat16 keeps 8 bits: 0.4% of a number
    assert half.network.state_dict().keys() == plain.network.state_dict().keys()  # what is saved knows nothing of it


def test_a_compiled_network_trains_the_same_weights(monkeypatch):
    """torch's tracing with its plain back end, which needs no C compiler on the machine that runs this."""
    asked = []

    def traced(module):
        asked.append(module)
        return compile_(module, backend="aot_eager")

    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", traced)
    plain, run = small_training(steps=3), small_training(steps=3, compile=True)
    list(fit(plain, batch)), list(fit(run, batch))
    assert asked == [run.network] and run.called is not run.network
    for a, b in zip(plain.network.parameters(), run.network.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert run.network.state_dict().keys() == plain.network.state_dict().keys()


@pytest.mark.parametrize("wrong", [{"accumulate": 0}, {"precision": "float16"}])
def test_a_training_refuses_values_out_of_range(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))} (>= 1|must be "float32" or "bfloat16")'):
        small_training(**wrong)


# -- files ---------------------------------------------------------------------------------------------------------------


def build(recipe):
    return NetworkDenoiser(MLP(2, 2, width=recipe["width"], depth=1), Schedule.linear(20, 1e-3, 0.3))


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.safetensors"
    save(path, build({"width": 8}).network, {"recipe": {"width": 8}, "steps": 7})
    return path


def test_weights_and_metadata_come_back(weights):
    _, metadata = read(weights)
    assert metadata == {"recipe": {"width": 8}, "steps": 7}
    denoiser = load(weights, build)
    assert not denoiser.network.training and not any(p.requires_grad for p in denoiser.network.parameters())


def test_half_precision_rounds_each_weight_and_comes_back_as_float32(tmp_path):
    net = torch.nn.Sequential(torch.nn.Linear(50, 40), torch.nn.BatchNorm1d(40))  # the batch norm counts with an integer
    save(tmp_path / "w.safetensors", net, {"a": 1}, torch.float16)
    tensors, metadata = read(tmp_path / "w.safetensors")
    assert metadata == {"a": 1} and tensors["0.weight"].dtype == torch.float16 and tensors["1.num_batches_tracked"].dtype == torch.int64
    back = torch.nn.Sequential(torch.nn.Linear(50, 40), torch.nn.BatchNorm1d(40))
    fill(back, tensors, "w")
    for a, b in zip(net.parameters(), back.parameters(), strict=True):
        assert b.dtype == torch.float32 and ((a - b).abs() <= 2**-11 * a.abs() + 2**-25).all()
    save(tmp_path / "again.safetensors", tensors, metadata)  # tensors as they are: nothing is rounded twice
    assert all(torch.equal(v, tensors[k]) and v.dtype == tensors[k].dtype for k, v in read(tmp_path / "again.safetensors")[0].items())
    net[0].weight.data[0, 0] = 1e6
    with pytest.raises(ValueError, match="weight '0.weight' is too large for torch.float16"):
        save(tmp_path / "w.safetensors", net, {}, torch.float16)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.unlink(), "no such file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-20]), "not a readable safetensors file"),
        (lambda p: p.write_bytes(b"\x00" * 100), "not a readable safetensors file"),
        (lambda p: p.write_bytes(b""), "not a readable safetensors file"),
        (lambda p: save(p, build({"width": 8}).network, {}), "no recipe inside"),
        (lambda p: save(p, build({"width": 16}).network, {"recipe": {"width": 8}}), "has shape"),
        (lambda p: save(p, nn.Linear(1, 1), {"recipe": {"width": 8}}), "missing"),
        (lambda p: save(p, nn.Sequential(build({"width": 8}).network), {"recipe": {"width": 8}}), "missing"),
        (lambda p: save(p, with_nan(), {"recipe": {"width": 8}}), "NaN or infinity"),
    ],
)
def test_damaged_weights_give_one_clear_line(weights, damage, message):
    damage(weights)
    with pytest.raises(FileError, match=message) as e:
        load(weights, build)
    assert "\n" not in str(e.value) and str(weights) in str(e.value)


def with_nan():
    net = build({"width": 8}).network
    net.last.weight.data[0, 0] = math.nan
    return net


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[: len(b) // 2], lambda b: b"junk", lambda b: b""])
def test_damaged_state_gives_one_clear_line(tmp_path, damage):
    path = tmp_path / "s.pt"
    save_state(path, small_training(), {"r": 1})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileError, match="not a readable training state.*delete it") as e:
        load_state(path, small_training(), {"r": 1})
    assert "\n" not in str(e.value)


def test_state_of_other_settings_is_refused(tmp_path):
    save_state(tmp_path / "s.pt", small_training(), {"r": 1})
    with pytest.raises(FileError, match="other settings"):
        load_state(tmp_path / "s.pt", small_training(), {"r": 2})


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    path.write_text("old")

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(FileError, match=r"cannot write .*No space left on device; nothing was changed"), replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot write"), replacing(tmp_path / "file" / "x"):
        pass


def test_averaged_keeps_kind_and_schedule():
    training = small_training()
    training.model = replace(training.model, kind="v")
    averaged = training.averaged()
    assert averaged.kind == "v" and averaged.schedule is training.model.schedule and averaged.network is training.average


def test_an_infinite_gradient_of_a_finite_loss_stops_before_the_step():
    network = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    run = Training(network, steps=3)
    with pytest.raises(FloatingPointError, match="the gradient of step 1 is (nan|inf)"):
        next(descend(run, lambda rng: network.weight.abs().sqrt().sum()))  # sqrt has slope infinity at 0, its value there is 0
    assert run.step == 0 and (network.weight == 0).all() and (run.average.weight == 0).all()
