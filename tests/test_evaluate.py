"""`minidiff evaluate`: its parts against known answers, the whole on real weights with tiny numbers, and its command line."""

import json
import shutil
import sys
import types
from urllib.error import URLError

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from minidiff import Clipped, Prediction, Schedule, bits_per_dim, variational_bound
from minidiff.arrays import normal
from minidiff.learn import NetworkDenoiser, read_metadata
from minidiff.nn.mlp import MLP
from minidiff.nn.unet import UNet
from minidiff.run import cli, load_classifier, mnist, scale, weights_path
from minidiff.run.bits import Replayed, bits, in_chunks, learns_variance, models, summary, term_by_term
from minidiff.run.conditions import label
from minidiff.run.evaluate import Plan, copies, draw_pictures, evaluate, feature_distances, judge_samples, recognised, table
from minidiff.run.fid import AsBytes, inception_fid
from minidiff.run.records import merged
from minidiff.run.sampling import SAMPLERS
from minidiff.run.store import Pictures
from tests.test_cli import one_line

TRAIN, TEST = mnist("train", "embedded", quiet=True), mnist("test", "embedded", quiet=True)
SMALL = dict(channels=(8, 16), attention=(False, False), blocks=1)


def tiny(**kwargs):
    """A small untrained network; its last layer is not zero, so that conditions and t matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(**{**SMALL, **kwargs})
        torch.nn.init.normal_(network.last.weight, std=0.05)
    return NetworkDenoiser(network.eval().requires_grad_(False), Schedule.linear(20, 1e-3, 0.4))


def truth(n):
    return scale(TEST.images[:n]), torch.from_numpy(TEST.labels[:n].astype(np.int64))


@pytest.fixture(scope="module")
def judge():
    return load_classifier()


# -- samples -----------------------------------------------------------------------------------------------------------


def test_a_share_of_clear_digits_and_labels_is_counted(judge):
    x, labels = truth(100)
    got = recognised(judge, x, labels, x, labels)
    assert got["clear"]["value"] == got["clear"]["floor"] > 0.9 and sum(got["classes"]) == 100
    assert got["label_accuracy"]["value"] == got["label_accuracy"]["floor"] > 0.95
    wrong = torch.cat([labels[:50], (labels[50:] + 1) % 10])
    assert recognised(judge, x, wrong, x, labels)["label_accuracy"]["value"] == pytest.approx(0.5, abs=0.05)
    grey = torch.cat([x[:50], torch.zeros(50, 1, 28, 28)])
    assert recognised(judge, grey, None, x, labels)["clear"]["value"] in (pytest.approx(0.5, abs=0.05), pytest.approx(1, abs=0.05))
    assert "label_accuracy" not in recognised(judge, x, None, x, labels)


def test_copies_of_training_digits_are_caught_and_test_digits_are_not():
    train, held_out = scale(TRAIN.images), scale(TEST.images[:200])
    caught = copies(train[:50] * 0.999, held_out, train)
    assert caught["near_copies"]["value"] == 1 and caught["distance_to_train"]["samples"] < 0.1 * caught["distance_to_train"]["test"]
    assert copies(scale(TEST.images[200:400]), held_out, train)["near_copies"]["value"] < 0.05


class Asks:
    """A denoiser that notes its calls and answers with digits: real ones, for the asked label where there is one."""

    def __init__(self, vector_dim=0):
        self.schedule, self.calls, self.network = Schedule.linear(20, 1e-3, 0.4), [], types.SimpleNamespace(vector_dim=vector_dim)

    def __call__(self, x_t, t, cond=None):
        self.calls.append((len(x_t), cond))
        labels = np.arange(len(x_t)) % 10 if cond is None else cond.vector.argmax(1).numpy()
        x_0 = scale(TEST.images[labels])  # the classes take turns: digit i is of class i
        signal, noise = self.schedule.scales(t)
        return Prediction(x_0, (x_t - float(signal) * x_0) / float(noise))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [4, 5])
def test_every_sampler_asks_as_often_as_it_is_told(sampler, steps):
    asks = Asks()
    x, labels = draw_pictures(asks, Plan(n=20, sampler=sampler, steps=steps))
    assert x.shape == (20, 1, 28, 28) and labels is None and torch.isfinite(x).all()
    assert len(asks.calls) == (3 if sampler == "heun" and steps == 4 else steps)  # Heun's calls are odd: two a step, one the last


def test_labels_are_told_in_turn_and_guidance_asks_twice(judge):
    for guidance, times in ((1.0, 1), (2.0, 2)):
        asks = Asks(vector_dim=10)
        _, labels = draw_pictures(asks, Plan(n=130, steps=2, scale=guidance))
        assert labels.tolist() == [i % 10 for i in range(130)] and len(asks.calls) == 2 * 2 * times
        full = [cond for _, cond in asks.calls if cond.vector.any()]
        assert torch.cat([cond.vector.argmax(1) for cond in (full[0], full[-1])]).tolist() == labels.tolist()
        assert sum(not cond.vector.any() for _, cond in asks.calls) == 4 * (times - 1)
    y = truth(100)
    assert recognised(judge, draw_pictures(Asks(10), Plan(n=20, steps=2))[0], torch.arange(20) % 10, *y)["label_accuracy"]["value"] == 1


def test_more_samples_begin_with_the_same_and_another_seed_is_another_start():
    denoiser = tiny()
    a, b = (draw_pictures(denoiser, Plan(n=n, steps=2, sampler="ddpm"))[0] for n in (100, 120))
    assert torch.equal(a, b[:100])
    assert not torch.equal(draw_pictures(denoiser, Plan(n=100, steps=2, sampler="ddpm", seed=1))[0], a)
    assert a.abs().max() <= 1  # the last prediction is clipped


def test_distances_are_on_the_floor_for_real_digits_and_above_it_for_noise(judge, monkeypatch):
    for name, low, high in (("digits", 0.5, 2), ("noise", 5, np.inf)):
        x = scale(TRAIN.images[-300:]) if name == "digits" else torch.randn(300, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        monkeypatch.setattr("minidiff.run.evaluate.draw_pictures", lambda denoiser, plan, space, tell, x=x: (x, None))
        got = judge_samples(tiny(), judge, TRAIN, TEST, Plan(n=300), np.random.default_rng(0))
        assert low < got["frechet"]["value"] / got["frechet"]["floor"] < high
        for metric in ("frechet", "kernel", "precision", "recall", "near_copies", "clear"):
            assert got[metric]["n"] == 300 and len(got[metric]["interval_95"]) == 2
        assert (got["precision"]["value"] > 0.7) == (name == "digits")
        if name == "digits":  # against *test* digits: let those be another thing, and training digits are far
            other = Pictures(255 - TEST.images, TEST.labels, "inverted")
            far = judge_samples(tiny(), judge, TRAIN, other, Plan(n=300), np.random.default_rng(0))
            assert far["frechet"]["value"] > 5 * got["frechet"]["value"] and far["frechet"]["floor"] > 5 * got["frechet"]["floor"]


def test_each_distance_of_features_has_its_name():
    rng = np.random.default_rng(0)
    x, y, real = rng.random((200, 2)) * [0.3, 1], rng.random((200, 2)), rng.random((400, 2))
    got = feature_distances(*(torch.from_numpy(a) for a in (x, y, real)), rng)
    assert got["precision"]["value"] > 0.9 and got["recall"]["value"] < 0.5  # nothing false, much missing
    assert got["frechet"]["value"] == pytest.approx(0.35**2 + (1 - 0.3) ** 2 / 12, rel=0.2)  # means 0.15 and 0.5, widths 0.3 and 1


# -- bits/dim ----------------------------------------------------------------------------------------------------------


def test_replayed_answers_cost_nothing_and_must_be_to_the_same_questions():
    asks = Asks()
    replayed, x = Replayed(asks), torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    first = [replayed(x * t, t).x_0 for t in (1, 2)]
    replayed.rewind()
    assert all(torch.equal(a, replayed(x * t, t).x_0) for a, t in zip(first, (1, 2), strict=True)) and len(asks.calls) == 2
    replayed.rewind()
    with pytest.raises(ValueError, match="the same questions in the same order"):
        replayed(x + 1, 1)


def test_term_by_term_is_the_bound_of_each_variance():
    denoiser, (x, _) = tiny(), truth(5)
    got = in_chunks(denoiser, x, None, 5, models(("small", "large")), 0, term_by_term, "")
    assert list(got) == ["small", "small clipped", "large", "large clipped"]
    for name, numbers in got.items():
        kind, model = name.split()[0], Clipped(denoiser) if "clipped" in name else denoiser
        total = bits_per_dim(variational_bound(model, x, normal(torch.Generator().manual_seed(0)), kind).total, 784)
        assert numbers["value"] == pytest.approx(total.mean().item(), rel=1e-4) and numbers["n"] == 5
        assert numbers["standard_error"] == pytest.approx(total.numpy().std(ddof=1) / 5**0.5, rel=1e-3)
        assert numbers["prior"] + numbers["steps"] + numbers["decoder"] == pytest.approx(numbers["value"], rel=1e-3)
        assert np.mean(numbers["interval_95"]) == pytest.approx(numbers["value"], rel=1e-3)


def test_clipping_mends_an_error_where_the_signal_has_gone():
    """Pixels lie in [-1, 1], so clipping brings x_0 no further from the truth; at the end of the cosine schedule it saves much."""
    x, cosine = truth(8)[0], Schedule.cosine(1000)

    class Nearly:
        """Knows the digits, and errs by 0.01 in every eps."""

        schedule = cosine

        def __call__(self, x_t, t, cond=None):
            signal, noise = (float(value) for value in cosine.scales(t))
            eps = (x_t - signal * x) / noise + 0.01
            return Prediction((x_t - noise * eps) / signal, eps)

    got = in_chunks(Nearly(), x, None, 8, models(("small",)), 0, term_by_term, "")
    plain, clipped = got["small"], got["small clipped"]
    # the last step multiplies an error of eps by beta_T / sqrt(alpha_T), against a standard deviation of nearly sqrt(beta_T)
    last = 0.5 * 0.01**2 * float(cosine.beta[1000] / (1 - cosine.beta[1000])) / np.log(2)
    assert plain["steps"] - clipped["steps"] > 0.9 * last > 0.05


def test_each_chunk_has_its_own_labels_and_a_second_variance_asks_nothing_new():
    x, labels = truth(5)
    asks = Asks(10)
    got = in_chunks(asks, x, labels.flip(0), 2, models(("small", "large")), 0, term_by_term, "")
    assert len(asks.calls) == 3 * 20 and [n for n, _ in asks.calls[::20]] == [2, 2, 1]
    assert torch.cat([cond.vector.argmax(1) for _, cond in asks.calls[::20]]).tolist() == labels.flip(0).tolist()
    assert got["small"]["n"] == got["large"]["n"] == 5 and got["small"] != got["large"]


def test_the_two_estimates_agree_on_the_same_digits():
    """They differ by noise alone: that of the stratified one is known, the other's is at most that of a single repeat."""
    got = bits(tiny(), TEST, 200, 200, seed=1)
    for kind in ("small", "large"):
        full, few = got["term by term"][kind], got["stratified"][kind]
        assert abs(full["value"] - few["value"]) < 4 * 3**0.5 * few["noise"] < 0.02 * full["value"]
        assert full["prior"] == pytest.approx(few["prior"], rel=1e-3) and full["steps"] == pytest.approx(few["steps"], rel=0.02)


def test_noise_and_standard_error_of_known_spreads():
    rng = torch.Generator().manual_seed(0)
    images, draws = 2 * torch.randn(20_000, generator=rng), 3 * torch.randn(2, 20_000, generator=rng)
    got = summary({"a": images + draws, "b": torch.full((2, 20_000), 5.0)}, 1)
    bit = np.log(2)
    assert got["noise"] == pytest.approx(3 / (2 * 20_000) ** 0.5 / bit, rel=0.05)
    assert got["standard_error"] == pytest.approx((2**2 + 3**2 / 2) ** 0.5 / 20_000**0.5 / bit, rel=0.05)
    assert got["b"] == pytest.approx(5 / bit, rel=1e-4)


def test_learned_variance_and_labels_are_used():
    denoiser = tiny(out_channels=2, vector_dim=10)
    x = torch.zeros(1, 1, 28, 28)
    assert learns_variance(denoiser, x) and not learns_variance(tiny(), x)
    got = bits(denoiser, TEST, 2, 4, seed=0)
    assert got["term by term"].keys() == got["stratified"].keys() == {"learned", "learned clipped"}
    x, labels = truth(500)
    order = np.random.default_rng(0).permutation(500)[:2]
    draw = normal(torch.Generator().manual_seed(0))
    by_hand = variational_bound(denoiser, x[order], draw, "learned", cond=label(labels[order])).total
    assert got["term by term"]["learned"]["value"] == pytest.approx(bits_per_dim(by_hand, 784).mean().item(), rel=1e-4)


def test_too_many_digits_are_refused():
    with pytest.raises(ValueError, match="there are 500 test digits; bits/dim were asked for of 501"):
        bits(tiny(), TEST, 0, 501, seed=0)


# -- the whole, and the command line -----------------------------------------------------------------------------------


def test_a_network_of_labels_from_end_to_end(judge):
    plan = Plan(n=20, sampler="dpm_solver", steps=2, scale=2.0, bound=2, stratified=4)
    got = evaluate(tiny(vector_dim=10), judge, TRAIN, TEST, plan)
    assert json.loads(json.dumps(got)) == got
    assert "label_accuracy" in got["samples"]["dpm_solver 2 scale 2"]
    text = table(got)
    for word in ("label_accuracy", "frechet", "near_copies", "stratified", "embedded, 4,500 pictures", "noise"):
        assert word in text
    assert "trained on other pictures" in table({"data": {**got["data"], "trained_on_these": False}}) and "trained on other" not in text


def test_the_command_writes_what_it_prints(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("minidiff.run.mnist", lambda split: TRAIN if split == "train" else TEST)
    weights, out = tmp_path / "w.safetensors", tmp_path / "out.json"
    shutil.copy(weights_path("mnist-ddpm"), weights)
    before = read_metadata(weights)
    args = ["evaluate", str(weights), "-n", "20", "--steps", "1", "--bound", "0", "--stratified", "4", "--json", str(out), "--save"]
    assert cli.main(args) == 0
    printed, written, after = capsys.readouterr().out, json.loads(out.read_text()), read_metadata(weights)
    found = written["samples"]["ddim 1"]
    assert str(found["frechet"]["value"]) in printed and str(written["bits_per_dim"]["stratified"]["small"]["value"]) in printed
    assert written["data"]["trained_on_these"] is False and "trained on other pictures" in printed  # the shipped ones saw the full set
    assert after["recipe"] == before["recipe"] and after["results"]["samples"]["ddim 1"] == found
    assert cli.main(["evaluate", str(weights), "-n", "20", "--steps", "2", "--bound", "0", "--stratified", "0", "--save"]) == 0
    results = read_metadata(weights)["results"]  # of what is not measured again, nothing is lost
    assert results["samples"].keys() >= {"ddim 1", "ddim 2"} and results["bits_per_dim"] == written["bits_per_dim"]
    tensors = [load_file(path) for path in (weights, weights_path("mnist-ddpm"))]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[1])


def test_results_of_other_samplers_stay():
    old = {"samples": {"ddpm 250": 1, "ddim 50": 2}, "bits_per_dim": 3, "other": 4}
    assert merged(old, {"samples": {"ddim 50": 5}}) == {"samples": {"ddpm 250": 1, "ddim 50": 5}, "bits_per_dim": 3, "other": 4}
    assert merged({}, {"bits_per_dim": 1}) == {"bits_per_dim": 1}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nothing"], "no shipped weights named 'nothing'"),
        (["mnist-classifier"], "mnist-classifier is no denoiser"),
        (["mnist-ddpm", "-n", "19"], "n must be 0 (leave it out) or at least 20"),
        (["mnist-ddpm", "-n", "-5"], "n must be 0 (leave it out) or at least 20"),
        (["mnist-ddpm", "--bound", "1"], "bound must be 0 (leave it out) or at least 2"),
        (["mnist-ddpm", "--stratified", "-1"], "stratified must be 0"),
        (["mnist-ddpm", "--seed", "-1"], "seed must be at least 0; got -1"),
        (["mnist-ddpm", "--scale", "2"], "guidance needs weights that are told labels"),
        (["mnist-ddpm", "-n", "20", "--steps", "0"], "number of steps must be an int in 1..1000"),
        (["mnist-ddpm", "--bound", "99999"], "test digits; bits/dim were asked for of 99999"),
    ],
)
def test_bad_commands_give_one_line(args, message, capsys):
    assert cli.main(["evaluate", *args, *([] if "-n" in args else ["-n", "0"])]) == 1
    assert one_line(capsys.readouterr().err, message)


def test_weights_that_restore_are_judged_by_what_they_restore(judge):
    found = evaluate(tiny(image_channels=1), judge, TRAIN, TEST, Plan(n=20, steps=2))
    assert set(found) == {"data", "restoration"} and set(found["restoration"]) == {"x2", "x4"}
    assert "psnr_without_network" in table(found) and "1.6" in table(found)
    assert found == json.loads(json.dumps(found))


def test_weights_that_draw_no_digits_are_refused(judge):
    with pytest.raises(ValueError, match="these weights are of a MLP"):
        evaluate(NetworkDenoiser(MLP(2, 2, 8, 1), Schedule.linear(20, 1e-3, 0.4)), judge, TRAIN, TEST)
    with pytest.raises(ValueError, match="sampler must be one of ddim, ddpm, dpm_solver, heun; got 'euler'"):
        Plan(sampler="euler")


# -- the Inception distance, with a stand-in for the package that brings it --------------------------------------------


def fidelity(monkeypatch, calculate):
    module = types.SimpleNamespace(calculate_metrics=calculate)
    monkeypatch.setitem(sys.modules, "torch_fidelity", module)


def test_fid_hands_over_pictures_as_inception_reads_them(monkeypatch):
    x, _ = truth(3)
    seen = {}
    fidelity(monkeypatch, lambda **kwargs: seen.update(kwargs) or {"frechet_inception_distance": 7.5})
    assert inception_fid(x, -x) == 7.5 and seen["fid"] is True and seen["cuda"] is False
    assert isinstance(seen["input1"], AsBytes) and len(seen["input1"]) == 3
    picture = seen["input1"][1]
    assert picture.shape == (3, 28, 28) and picture.dtype == torch.uint8 and (picture.numpy() == TEST.images[1]).all()
    assert (seen["input2"][1].numpy() == 255 - TEST.images[1]).all()


def test_fid_says_what_to_do_without_package_or_network(monkeypatch, judge, capsys):
    def no_network(**kwargs):
        raise URLError("Name or service not known")

    fidelity(monkeypatch, no_network)
    with pytest.raises(ValueError, match="could not get Inception's weights .* connect to the network once, or leave --fid out"):
        inception_fid(*[torch.zeros(2, 1, 28, 28)] * 2)

    def too_early(*args):
        raise AssertionError("sampled before it was known that the package is missing")

    monkeypatch.setitem(sys.modules, "torch_fidelity", None)  # as if it were not installed
    monkeypatch.setattr("minidiff.run.evaluate.draw_pictures", too_early)
    assert cli.main(["evaluate", "mnist-ddpm", "--fid"]) == 1
    assert one_line(capsys.readouterr().err, "pip install 'minidiff[fid]'")
