"""The command line, as a user types it; and training that survives kill -9."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import minidiff.verify as ledger
import minidiff.verify.registry  # noqa: F401  (reached as ledger.registry)
from minidiff.run import RECIPES, cli, prepare
from minidiff.run.settings import override

TINY = ["--data", "embedded", "--set", "network.channels=8,16", "--set", "train.batch=8", "--set", "train.warmup=5"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}


def start(*args):
    command = [sys.executable, "-m", "minidiff.run.cli", *args]
    # A shell that runs us in the background makes its children ignore Ctrl-C; a user's terminal does not.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)


def test_kill_9_at_random_moments_and_resume_gives_the_same_weights(tmp_path):
    """A real process, killed at several random moments, against one left alone: the same weights, bit for bit."""
    settings = [*TINY, "--set", "train.steps=120", "--set", "train.save_every=4"]
    alone = start("train", "mnist-ddpm", "--out", str(tmp_path / "alone"), *settings)
    _, err = alone.communicate(timeout=300)
    assert alone.returncode == 0, err

    folder = tmp_path / "killed"
    rng, kills = random.Random(), 0
    for _ in range(30):
        p = start("train", "mnist-ddpm", "--out", str(folder), *settings)
        had = step_of(folder)
        while p.poll() is None and step_of(folder) <= had and kills < 3:
            time.sleep(0.005)
        if kills < 3 and p.poll() is None:
            time.sleep(rng.uniform(0, 0.25))  # anywhere: within a step, or within the writing of a state
            p.send_signal(signal.SIGKILL)
        p.communicate(timeout=300)
        if p.returncode == 0:
            break
        assert p.returncode == -signal.SIGKILL
        kills += 1
        torch.load(folder / "state.pt", weights_only=True)  # what is on disk can be read
    assert p.returncode == 0 and kills == 3
    a, b = (load_file(f / "mnist-ddpm.safetensors") for f in (tmp_path / "alone", folder))
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def step_of(folder):
    path = folder / "state.pt"
    return path.stat().st_mtime_ns if path.exists() else 0


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    p = start("train", "toy-ring", "--out", str(tmp_path), "--set", "train.steps=100000", "--set", "train.batch=4")
    line = p.stdout.readline()  # "step 500 of ...": it is training
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=60)
    assert line.startswith("step 500") and p.returncode == 130
    assert "the same command goes on from there" in err and "Traceback" not in err
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] >= 500


def test_training_says_where_it_goes_on_and_refuses_other_settings(tmp_path, capsys):
    args = ["train", "toy-ring", "--out", str(tmp_path), "--set", "train.batch=4"]
    assert cli.main([*args, "--set", "train.steps=6"]) == 0
    assert cli.main([*args, "--set", "train.steps=6"]) == 0
    assert "going on from step 6 of 6" in capsys.readouterr().out
    assert cli.main([*args, "--set", "train.steps=7"]) == 1
    assert one_line(capsys.readouterr().err, "other settings")


@pytest.mark.parametrize("name, extra", [
    ("mnist-label", ["--label", "7", "--scale", "2"]), ("mnist-label", []), ("mnist-superres", ["--sampler", "ddpm"]),
    ("mnist-inpaint", []), ("mnist-learned-variance", []), ("mnist-quick", []),
])
def test_sample_knows_what_each_network_is_told(name, extra, tmp_path):
    small = override(RECIPES[name], ["network.channels=8,16", "train.batch=2", "train.steps=1", "train.warmup=1"])
    job = prepare(small, "embedded")
    list(job.steps())
    job.publish(tmp_path / "w.safetensors")
    out = tmp_path / "a.png"
    assert cli.main(["sample", str(tmp_path / "w.safetensors"), "-n", "3", "--steps", "2", "--out", str(out), *extra]) == 0
    with Image.open(out) as picture:
        assert picture.size == (2 * (2 * 30 + 2), 2 * (2 * 30 + 2))


@pytest.mark.parametrize("extra, message", [(["--label", "3"], "know no labels"), (["--scale", "2"], "these weights take none")])
def test_sample_refuses_what_the_network_cannot_be_told(extra, message, capsys):
    assert cli.main(["sample", "mnist-ddpm", "-n", "1", "--steps", "1", *extra]) == 1
    assert message in capsys.readouterr().err


def test_sample_writes_a_picture_and_a_table(tmp_path, capsys):
    assert cli.main(["sample", "mnist-ddpm", "-n", "5", "--steps", "2", "--out", str(tmp_path / "a.png")]) == 0
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape == (2 * (2 * 30 + 2), 2 * (3 * 30 + 2)) and picture.std() > 10
    cli.main(["train", "toy-ring", "--out", str(tmp_path), "--set", "train.steps=2", "--set", "train.batch=4"])
    for sampler in ("ddim", "ddpm"):
        out = tmp_path / f"{sampler}.csv"
        assert cli.main(["sample", str(tmp_path / "toy-ring.safetensors"), "-n", "7", "--sampler", sampler, "--out", str(out)]) == 0
        assert np.loadtxt(out, delimiter=",").shape == (7, 2)


def test_another_family_is_trained_and_sampled_and_told_nothing(tmp_path, capsys):
    weights, out = str(tmp_path / "family-flow.safetensors"), str(tmp_path / "flow.csv")
    train = ["train", "family-flow", "--out", str(tmp_path), "--set", "train.batch=4"]
    assert cli.main([*train, "--set", "train.steps=2"]) == 0 and cli.main(["sample", weights, "-n", "7", "--out", out]) == 0
    assert np.loadtxt(out, delimiter=",").shape == (7, 2)
    assert cli.main(["sample", weights, "--label", "3"]) == 1
    assert "this model is told nothing" in capsys.readouterr().err
    assert cli.main(["evaluate", weights]) == 1 and "these are for ring" in capsys.readouterr().err


def test_sampling_is_a_function_of_the_seed(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        cli.main(["sample", "mnist-ddpm", "-n", "2", "--steps", "2", "--seed", str(seed), "--out", str(tmp_path / f"{name}.png")])
    a, b, c = ((tmp_path / f"{n}.png").read_bytes() for n in "abc")
    assert a == b != c


def test_verify_lists_checks_and_reports_failure(monkeypatch, capsys):
    assert cli.main(["verify", "--only", "ddpm", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    import minidiff.process

    right = minidiff.process.posterior_variance
    monkeypatch.setattr(minidiff.process, "posterior_variance", lambda schedule, s, t: 1.02 * right(schedule, s, t))
    assert cli.main(["verify", "--only", "ddpm"]) == 1


def checked(capsys, *args):
    """What `minidiff verify --json` says of the checks, without the seconds."""
    assert cli.main(["verify", "--json", *args]) == 0
    return re.sub(r'"seconds": [^,}]*', "", capsys.readouterr().out)


def test_verify_takes_a_seed(capsys):
    """Another seed, other draws, the same verdicts; the same seed, the same numbers; and no seed is 0."""
    plain, zero = checked(capsys, "--only", "ledger"), checked(capsys, "--only", "ledger", "--seed", "0")
    three, again = (checked(capsys, "--only", "ledger", "--seed", "3") for _ in range(2))
    assert plain == zero and three == again != zero
    assert ledger.registry._seed == 0, "the seed of a run outlived it"


def test_a_seed_changes_every_stream_and_is_gone_after_a_failure():
    def draws():
        return [ledger.registry.generator(stream).standard_normal() for stream in range(50)]

    seen = []
    e = ledger.registry.Equation("ledger", "seed", "", "", "", "", lambda: seen.append(draws()) or ledger.close("", 0, 0, 0, ""))
    ledger.registry.REGISTRY.append(e)
    try:
        for seed in range(5):
            assert ledger.run("ledger", "seed", seed=seed)[0].passed
    finally:
        ledger.registry.REGISTRY.remove(e)
    assert len({x for row in seen for x in row}) == 250 and draws() == seen[0]
    with pytest.raises(KeyError):
        ledger.run("nobody", seed=4)
    assert draws() == seen[0]


@pytest.mark.parametrize("seed", [-1, 1.0, True, "2", None])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises(ValueError, match="seed must be an int >= 0; got"):
        ledger.run("ledger", seed=seed)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "mnist-dpm"], "did you mean mnist-ddpm"),
        (["train", "mnist-ddpm", "--set", "train.stepz=1"], "did you mean train.steps"),
        (["train", "mnist-ddpm", "--set", "train.steps=x"], "takes a int"),
        (["train", "toy-ring", "--out", "{file}/x", "--set", "train.steps=1"], "cannot write"),
        (["sample", "nothing"], "no shipped weights named 'nothing'"),
        (["sample", "nothing.safetensors"], "no such file"),
        (["sample", "{file}"], "no shipped weights named"),
        (["sample", "mnist-ddpm", "-n", "0"], "-n must be at least 1"),
        (["sample", "mnist-ddpm", "--steps", "0"], "number of steps must be an int in 1..1000"),
        (["sample", "mnist-ddpm", "--steps", "1001"], "number of steps must be an int in 1..1000"),
        (["sample", "mnist-ddpm", "-n", "1", "--steps", "1", "--out", "x.jpg"], "are written as .png"),
        (["sample", "mnist-ddpm", "-n", "1", "--steps", "1", "--out", "{file}/x.png"], "cannot write"),
        (["sample", "mnist-classifier"], "mnist-classifier is no denoiser"),
        (["data", "fetch", "imagenet"], "imagenet"),
        (["verify", "--only", "nobody"], "nobody"),
        (["verify", "--seed", "-1"], "seed must be an int >= 0; got -1"),
        (["tour", "--out", "{file}/x"], "{file}"),
    ],
)
def test_bad_commands_give_one_line(args, message, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("not a folder")
    assert cli.main([a.format(file=file) for a in args]) == 1
    assert one_line(capsys.readouterr().err, message.format(file=file))


def test_unknown_commands_list_the_known_ones(capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(["fly"])
    assert e.value.code == 2 and "verify" in capsys.readouterr().err


def test_show_prints_the_recipe(capsys):
    assert cli.main(["train", "mnist-ddpm", "--show", "--set", "train.steps=9"]) == 0
    assert json.loads(capsys.readouterr().out)["train"]["steps"] == 9


def one_line(err, message):
    lines = [line for line in err.strip().splitlines() if line.startswith("minidiff: ")]
    return len(lines) == 1 and message in lines[0]
