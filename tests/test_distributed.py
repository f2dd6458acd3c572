"""Several processes, real ones started by torchrun, against the run of one process with the same global batch."""

import csv
import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from minidiff.learn import Condition, Training, descend, distributed
from minidiff.run import RECIPES, prepare
from minidiff.run.jobs import run
from minidiff.run.settings import override

ROOT = Path(__file__).parents[1]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]  # standalone: any free port

SMALL = ["network.channels=8,16", "network.blocks=1", "train.warmup=2", "train.save_every=4"]
# Batches that do not divide evenly; a label that is sometimes dropped; times that follow the losses (T = 4, so that each has its ten
# losses early and the second half of the run draws by them); two parts for each of two processes.
RUNS = {
    "points": ("toy-ring", ["train.batch=3", "train.steps=12", "train.warmup=2", "train.save_every=4"]),
    "labels": ("mnist-label", [*SMALL, "train.batch=7", "train.steps=5", "train.drop=0.5"]),
    "aware": ("mnist-learned-variance", [*SMALL, "noise.T=4", "train.batch=17", "train.steps=8", "train.accumulate=2"]),
}
# In float64, where sums in another order differ by 1e-16: a row too many or too few, or a mean of unequal means, shows at 1e-4 and
# more. In float32 it would drown: Adam divides a gradient by its own size, so weights whose true gradient is 0 (a bias before a
# normalisation) move by whole steps of rounding noise.
TOLERANCE = 1e-9


def doubled(name):
    """The job of a run, in float64: weights, data and what the network is told."""
    recipe, settings = RUNS[name]
    job = prepare(override(RECIPES[recipe], settings), "embedded")
    job.training.network.double(), job.training.average.double()
    draw = job.batch

    def double(rng):
        x, c = draw(rng)
        return x.double(), None if c is None else Condition(*[None if v is None else v.double() for v in (c.vector, c.tokens, c.image)])

    job.batch = double
    return job


# -- what each of the two processes does: torchrun starts this very file ---------------------------------------------------------


def worker(out):
    with distributed.processes():
        said = {"size": distributed.size(), "hash": {}}
        for name in [*RUNS, "stopped"]:
            job = doubled("points" if name == "stopped" else name)
            for step in run(job, out / name):
                if name == "stopped" and step.step == 5:
                    break
            weights = [p.detach().numpy().tobytes() for m in (job.training.network, job.training.average) for p in m.parameters()]
            said["hash"][name] = hashlib.sha256(b"".join(weights)).hexdigest()
        for case in WRONG:
            job, steps = wrong(case, out)
            try:
                said[case] = f"no error, {len(list(steps))} steps", job.training.step
            except (ValueError, FloatingPointError) as e:
                said[case] = f"{type(e).__name__}: {e}", job.training.step
        (out / f"said{distributed.rank()}.json").write_text(json.dumps(said))


def wrong(case, out):
    """A job with something wrong, as seen by this process, and its steps."""
    if case == "batchnorm":
        job = prepare(override(RECIPES["mnist-classifier"], ["train.batch=4", "train.steps=2"]), "embedded")
        return job, job.steps()
    job = prepare(override(RECIPES["toy-ring"], [f"train.batch={1 if case == 'few' else 4}", "train.steps=5"]))
    if case == "data":
        job.settings["data_sha256"] += str(distributed.rank())
    if case == "step":
        job.training.step = distributed.rank()
    if case == "nan":
        draw = job.batch

        def poisoned(rng):
            x, c = draw(rng)
            if job.training.step == 2:
                x[0] = math.nan  # the first row: the share of process 0 alone
            return x, c

        job.batch = poisoned
    return job, run(job, out / case)


WRONG = {
    "nan": "FloatingPointError: the loss of step 3 is nan",
    "few": r"ValueError: a batch of 1 is too small for 2 process\(es\) x train.accumulate = 1: enlarge train.batch",
    "batchnorm": "ValueError: batch normalisation looks at the whole batch",
    "data": "ValueError: the processes do not agree on recipe and data",
    "step": "ValueError: the processes do not agree on the step to go on from",
}


# -- and what comes of it --------------------------------------------------------------------------------------------------------


def torchrun(*args, timeout=300):
    done = subprocess.run([*TORCHRUN, *args], env=ENV, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def alone(name, folder, stop=None, make=doubled):
    """The same run in this process, in float64 as there; the losses of its steps, and the job."""
    job = make(name)
    job.resume(folder / "state.pt")
    losses = [step.loss for step in islice(run(job, folder), stop)]
    return losses, job


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder of all runs by two processes, and what each process said."""
    out = tmp_path_factory.mktemp("together")
    torchrun(__file__, str(out))
    return out, [json.loads((out / f"said{rank}.json").read_text()) for rank in range(2)]


def log(folder):
    with (folder / "log.csv").open(encoding="utf-8") as f:
        return list(csv.DictReader(f))


def state(folder):
    return torch.load(folder / "state.pt", weights_only=True)


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_are_one_with_the_same_global_batch(name, together, tmp_path):
    out, _ = together
    losses, job = alone(name, tmp_path)
    rows = log(out / name)
    assert [int(r["step"]) for r in rows] == list(range(1, len(losses) + 1)) and job.training.step == len(losses)
    np.testing.assert_allclose([float(r["loss"]) for r in rows], losses, rtol=TOLERANCE)
    start, ours, one = doubled(name).training.network.state_dict(), state(out / name), state(tmp_path)
    for part in ("network", "ema"):
        for k, v in one[part].items():
            torch.testing.assert_close(ours[part][k], v, rtol=0, atol=TOLERANCE)
    assert max((one["network"][k] - v).abs().max().item() for k, v in start.items()) > 1e-4  # there was something to differ in


def test_times_by_losses_see_those_of_all_processes_in_their_order(together, tmp_path):
    _, job = alone("aware", tmp_path)
    ours, one = state(together[0] / "aware")["times"], job.training.times.state_dict()
    assert (one["seen"] >= 10).all() and one["seen"].sum() == 8 * 17
    assert torch.equal(ours["seen"], one["seen"])
    torch.testing.assert_close(ours["losses"], one["losses"], rtol=TOLERANCE, atol=0)


def test_all_processes_hold_the_same_weights_to_the_last_bit(together):
    _, (first, second) = together
    assert first["size"] == second["size"] == 2
    assert first["hash"] == second["hash"] and first["hash"].keys() == {*RUNS, "stopped"}


@pytest.mark.parametrize("case", WRONG)
def test_what_goes_wrong_in_one_process_stops_all_with_the_same_line(case, together):
    """NaN in a row of process 0 only; and each process got as far as the next case, so none was left waiting."""
    for rank, said in enumerate(together[1]):
        message, step = said[case]
        assert re.match(WRONG[case], message) and "\n" not in message
        assert step == {"nan": 2, "step": rank}.get(case, 0)


def test_a_state_of_two_processes_goes_on_in_one(together, tmp_path):
    out, _ = together
    assert state(out / "stopped")["step"] == 5
    losses, job = alone("points", out / "stopped")
    whole, other = alone("points", tmp_path)
    assert len(losses) == 7 and job.training.step == 12
    np.testing.assert_allclose(losses, whole[5:], rtol=TOLERANCE)
    for a, b in zip(job.training.average.parameters(), other.training.average.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE)


def test_a_state_of_one_process_goes_on_in_two_from_the_command_line(tmp_path):
    """In float32, as users do: the losses agree, and so do the weights but for a few that follow rounding noise (see TOLERANCE)."""
    recipe, settings = RUNS["points"]

    def plain(name):
        return prepare(override(RECIPES[recipe], settings))

    alone("points", tmp_path / "a", 5, plain)
    whole, other = alone("points", tmp_path / "b", None, plain)
    args = [x for s in settings for x in ("--set", s)]
    said = torchrun("-m", "minidiff.run.cli", "train", recipe, "--out", str(tmp_path / "a"), *args)
    assert said.count("going on from step 5 of 12") == said.count("done: ") == 1  # one process speaks
    rows = log(tmp_path / "a")
    assert [int(r["step"]) for r in rows] == list(range(1, 13))
    np.testing.assert_allclose([float(r["loss"]) for r in rows], whole, rtol=1e-4)
    made = load_file(tmp_path / "a" / f"{recipe}.safetensors")
    for k, v in other.training.average.state_dict().items():
        assert (made[k] - v).abs().mean() < 1e-5


KILLED = """
import os, sys
from pathlib import Path
from minidiff.run import cli
(Path(sys.argv[1]) / ("pid" + os.environ["RANK"])).write_text(str(os.getpid()))
sys.exit(cli.main(["train", "toy-ring", "--out", sys.argv[1], *sys.argv[2:]]))
"""


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_all_and_costs_the_steps_since_the_last_save(victim, tmp_path):
    (tmp_path / "worker.py").write_text(KILLED)
    settings = ["train.batch=3", "train.steps=4000", "train.save_every=4", "train.warmup=1"]
    args = [str(tmp_path / "worker.py"), str(tmp_path), *[x for s in settings for x in ("--set", s)]]
    p = subprocess.Popen([*TORCHRUN, *args], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while p.poll() is None and not (tmp_path / "state.pt").exists():
        time.sleep(0.005)
    os.kill(int((tmp_path / f"pid{victim}").read_text()), signal.SIGKILL)
    _, err = p.communicate(timeout=300)
    assert p.returncode != 0, err
    kept = state(tmp_path)
    written = len((tmp_path / "log.csv").read_text().splitlines()) - 1
    assert 4 <= kept["step"] < 4000 and written - kept["step"] <= 4
    for pid in range(2):
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / f"pid{pid}").read_text()), 0)
    job = prepare(override(RECIPES["toy-ring"], settings))
    far = []  # from the weights kept to those of one process after each step, on the mean: float32, so not 0
    for _ in islice(job.steps(), kept["step"]):
        far.append(sum((kept["network"][k] - v).abs().mean().item() for k, v in job.training.network.state_dict().items()))
    assert far[-1] < 0.1 * far[-2]


def test_ctrl_c_under_torchrun_keeps_every_step(tmp_path):
    """No state is due before step 4000, so the one that is there was saved because of Ctrl-C: at the last step that was logged."""
    settings = [x for s in ["train.batch=3", "train.steps=100000", "train.save_every=4000"] for x in ("--set", s)]
    args = [*TORCHRUN, "-m", "minidiff.run.cli", "train", "toy-ring", "--out", str(tmp_path), *settings]
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # also where we run in the background
    p = subprocess.Popen(args, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    while p.poll() is None and not ((tmp_path / "log.csv").exists() and len(log(tmp_path)) > 20):
        time.sleep(0.02)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=300)
    steps = state(tmp_path)["step"]
    assert p.returncode != 0 and 20 < len(log(tmp_path)) == steps < 4000
    assert err.count(f"stopped after step {steps}; the same command goes on from there") == 1


# -- parts, in this process -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, accumulate, n", [(1, 1, 5), (1, 3, 7), (2, 1, 7), (3, 2, 6), (3, 4, 100)])
def test_shares_cover_the_batch_once_in_order(size, accumulate, n, monkeypatch):
    rows = []
    monkeypatch.setattr(distributed, "size", lambda: size)
    for rank in range(size):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        mine = [list(range(n))[s] for s in distributed.shares(n, accumulate)]
        assert len(mine) == accumulate and [*chain(*mine)] == list(range(n))[distributed.shares(n)[0]]
        rows += mine
    assert [*chain(*rows)] == list(range(n))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1 and min(map(len, rows)) >= 1


def test_rows_of_a_condition_are_rows_of_all_it_holds():
    c = Condition(vector=torch.arange(4.0)[:, None], image=torch.arange(4.0).reshape(4, 1, 1, 1))
    got = distributed.part(c, slice(1, 3), "cpu")
    assert got.vector.tolist() == [[1], [2]] and got.image.flatten().tolist() == [1, 2] and got.tokens is None
    assert distributed.part(None, slice(1, 3), "cpu") is None
    with pytest.raises(TypeError, match="a batch is x_0 and a Condition or None; got dict"):
        distributed.part({}, slice(1, 3), "cpu")


def test_one_scalar_is_not_divided():
    training = Training(nn.Linear(1, 1), steps=2, accumulate=2)
    with pytest.raises(ValueError, match="one scalar cannot be divided"):
        next(descend(training, lambda rng: training.network(torch.ones(1, 1)).mean()))


def test_a_gpu_that_is_not_there_is_one_line():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match=r"finds 0 GPU\(s\); leave out --device"), distributed.processes("cuda"):
        pass


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
    distributed.leave()
