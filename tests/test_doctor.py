"""The doctor's manners: what it prints, what it refuses, and the command line."""

import json

import numpy as np
import pytest
import torch

from minidiff import ExactDenoiser, Schedule, ddpm, last
from minidiff.arrays import normal
from minidiff.doctor import PAGES, Averaged, Guidance, Patient, examine
from minidiff.learn import load, save
from minidiff.run import build, cli, weights_path
from minidiff.run.doctor import examine_file
from minidiff.toy import ring

SCHEDULE = Schedule.cosine(20)
EXACT = ExactDenoiser(ring(), SCHEDULE)
X = ring().sample(300, np.random.default_rng(0))


def right(x, t):
    return EXACT(x, t).eps


def test_a_report_says_what_was_expected_what_was_seen_and_where_to_read():
    report = examine(Patient(lambda x, t: -right(x, t), SCHEDULE), X)
    assert report.diagnosis == "output sign" and not report.healthy
    text = str(report)
    parts = ("Most likely defect: output sign", "expected", "seen", PAGES["output sign"], "Not examined: sampler, the patient brings none")
    for part in parts:
        assert part in text
    assert json.loads(json.dumps(report.as_dict()))["findings"][0]["page"] == PAGES["output sign"]


def test_a_healthy_one_and_what_was_examined():
    report = examine(Patient.of(EXACT, lambda d, x: last(ddpm(d, x, d.schedule.times(20), normal(np.random.default_rng(1))))), X)
    assert report.healthy and report.diagnosis is None and "No defect found" in str(report) and "sampler" in report.examined


def test_numpy_and_torch_get_the_same_diagnosis():
    for x in (X, torch.from_numpy(X).float()):
        assert examine(Patient(lambda x, t: EXACT(x, t).x_0, SCHEDULE), x).diagnosis == "output kind"


def test_data_far_too_strong():
    assert examine(Patient(right, SCHEDULE), 100 * X).diagnosis == "data scale"


@pytest.mark.parametrize("shift", [1, 4])
def test_a_shift_of_t_is_not_taken_for_a_table_of_roots(shift):
    """Four steps of twenty look like the root of the table at every level of noise, but the shift fits better."""
    roots = Patient(right, np.sqrt(SCHEDULE.alpha_bar))
    assert examine(roots, X).diagnosis == "table"
    assert examine(Patient(lambda x, t: right(x, np.minimum(t + shift, 20)), SCHEDULE), X).diagnosis == "index offset"


def test_a_table_that_is_none_ends_the_examination():
    report = examine(Patient(right, np.r_[SCHEDULE.alpha_bar[:10], 2.0]), X)
    assert report.diagnosis == "table" and report.skipped[0][0] == "all later rungs" and "entry 10" in report.findings[0].seen


def test_a_sampler_that_asks_for_a_time_the_network_refuses():
    asks_0 = Patient(right, SCHEDULE, sampler=lambda call, x: call(call(x, np.full(len(x), 20)), np.zeros(len(x), int)))
    assert "t = 0, which it refuses" in examine(asks_0, X).findings[0].seen


def test_two_defects_come_in_the_order_of_the_ladder():
    patient = Patient(lambda x, t: -right(x, t), SCHEDULE, trained=np.arange(1, 10).repeat(500))
    assert [f.name for f in examine(patient, X).findings] == ["coverage", "output sign"]


@pytest.mark.parametrize(
    ("claims", "data", "message"),
    [
        ({"output": "noise"}, X, "output must be one of eps, x_0, v, score; got 'noise'"),
        ({"first": 2}, X, "first, the number of the first noisy time, must be 0 or 1; got 2"),
        ({"data_range": (1, -1)}, X, "low < high"),
        ({"schedule": np.ones((2, 2))}, X, "schedule must be a Schedule or a row"),
        ({"schedule": [1.0, np.nan]}, X, "schedule must be a Schedule or a row"),
        ({"trained": [1.5]}, X, "trained must be a row of ints"),
        ({"call": lambda x, t: x[:, :1]}, X, "the output must have the shape of its input"),
        ({"call": lambda x, t: x * np.nan}, X, "the output must be finite; got NaN or infinity at t = "),
        ({"sampler": lambda call, x: x}, X, "the sampler never called the network"),
        ({"sampler": lambda call, x: call(x, np.arange(len(x)))}, X, "must tell one time to all of a batch"),
        ({"sampler": lambda call, x: call(x, np.full(len(x), 3))[:5]}, X, "the sampler's result must have the shape"),
        ({"noising": lambda x, t, e: x[:3]}, X, "x_t must have the shape of its input"),
        ({}, X[:, 0], "x_0 must hold 16 or more examples"),
        ({}, X[:5], "x_0 must hold 16 or more examples"),
        ({}, X * np.inf, "x_0 must be finite"),
        ({}, np.ones((20, 2)), "x_0 must hold different examples"),
    ],
)
def test_bad_input_gets_one_line(claims, data, message):
    with pytest.raises(ValueError) as error:
        examine(Patient(**{"call": right, "schedule": SCHEDULE, **claims}), data)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_bad_claims_get_one_line():
    with pytest.raises(TypeError, match="call must be a function"):
        Patient(3, SCHEDULE)
    with pytest.raises(ValueError, match="convention must be"):
        Guidance(right, right, right, "s")
    with pytest.raises(ValueError, match="decay"):
        Averaged({}, {}, 1.5, 3)
    with pytest.raises(ValueError, match="same names"):
        Averaged({"a": np.ones(2)}, {"a": np.ones(3)}, 0.9, 3)


# The command


def test_the_command_finds_shipped_weights_healthy(capsys):
    assert cli.main(["doctor", "mnist-ddpm", "-n", "16"]) == 0
    assert "No defect found" in capsys.readouterr().out


def test_the_command_names_a_defect_and_exits_with_1(tmp_path, capsys):
    """The shipped weights with the sign of the last layer turned round, as after a loss with x_t for its target's sign."""
    source = weights_path("mnist-ddpm")
    denoiser = load(source, build)
    from minidiff.learn import read_metadata

    tensors = dict(denoiser.network.state_dict())
    *_, bias = [k for k in tensors if k.endswith("bias")]
    weight = bias.removesuffix("bias") + "weight"
    tensors[weight], tensors[bias] = -tensors[weight], -tensors[bias]
    save(tmp_path / "turned.safetensors", tensors, read_metadata(source))
    assert cli.main(["doctor", str(tmp_path / "turned.safetensors"), "-n", "16", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["name"] == "output sign"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.safetensors"], "none.safetensors"),
        (["mnist-dpm"], "no shipped weights named 'mnist-dpm'"),
        (["mnist-classifier"], "the doctor examines denoisers"),
        (["mnist-ddpm", "-n", "3"], "-n must be at least 16"),
    ],
)
def test_the_command_refuses_in_one_line(args, message, capsys):
    assert cli.main(["doctor", *args]) == 1
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err and len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_other_shipped_weights_are_healthy():
    for name in ("mnist-label", "mnist-learned-variance", "mnist-superres"):
        assert examine_file(weights_path(name), 16).healthy, name
