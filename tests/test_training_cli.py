"""`minidiff train` as a process: Ctrl-C and kill -9 at random moments, its log, a disk that is full, files of earlier versions."""

import csv
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from minidiff import __version__
from minidiff.learn import FileError, read_metadata
from minidiff.notebook.log_figure import draw_log
from minidiff.run import RECIPES, cli, jobs, prepare
from minidiff.run.jobs import run
from minidiff.run.log import COLUMNS, step_log
from minidiff.run.settings import override

ROOT = Path(__file__).parents[1]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
# Small steps, most of which are the update of the weights: where Ctrl-C would hurt.
QUICK = ["--set", "train.batch=8", "--set", "train.save_every=7"]


def start(folder, *settings, limit=None):
    """minidiff train toy-ring, which heeds Ctrl-C even if we run in the background; limit: no file may grow beyond so many bytes."""

    def prepare_process():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-m", "minidiff.run.cli", "train", "toy-ring", "--out", str(folder), *settings]
    return subprocess.Popen(command, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=prepare_process)


def logged(folder):
    """The size of the log; that of its heading where there is none yet."""
    log = folder / "log.csv"
    return log.stat().st_size if log.exists() else len(",".join(COLUMNS)) + 1


def rows(folder):
    """The log without the seconds: one tuple for each step."""
    with (folder / "log.csv").open(encoding="utf-8", newline="") as f:
        table = list(csv.reader(f))
    assert tuple(table[0]) == COLUMNS
    return [(*row[:4], row[5]) for row in table[1:]]


def test_ctrl_c_and_kill_9_at_random_moments_leave_the_uninterrupted_run(tmp_path):
    """The same weights and averages, bit for bit, and the same log: each step once, none missing."""
    settings = [*QUICK, "--set", "train.steps=1500"]
    whole = start(tmp_path / "whole", *settings)
    _, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err
    broken, rng = tmp_path / "broken", random.Random()
    for stop in [signal.SIGINT, signal.SIGINT, signal.SIGKILL, signal.SIGINT, None]:
        size = logged(broken)
        p = start(broken, *settings)
        while stop and p.poll() is None and logged(broken) <= size:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.2))
        if stop and p.poll() is None:
            p.send_signal(stop)
        _, err = p.communicate(timeout=300)
        assert p.returncode in (0, 130, -signal.SIGKILL) and "Traceback" not in err, err
        if p.returncode == 130:
            assert torch.load(broken / "state.pt", weights_only=True)["step"] == len(rows(broken))  # nothing done was lost
    assert p.returncode == 0
    for name in ("network", "ema"):
        a, b = (torch.load(tmp_path / f / "state.pt", weights_only=True)[name] for f in ("whole", "broken"))
        assert all(torch.equal(a[k], b[k]) for k in a)
    assert rows(broken) == rows(tmp_path / "whole") and [int(r[0]) for r in rows(broken)] == list(range(1, 1501))


def test_a_write_that_fails_is_one_line_and_leaves_the_old_state(tmp_path):
    """A real failed write: the process may write files of 100 kB, and a state is larger."""
    p = start(tmp_path, *QUICK, "--set", "train.steps=4000")
    while p.poll() is None and not (tmp_path / "state.pt").exists():
        time.sleep(0.002)
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=60)
    assert p.returncode == 130
    old = (tmp_path / "state.pt").read_bytes()
    p = start(tmp_path, *QUICK, "--set", "train.steps=4000", limit=100_000)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 1 and len(old) > 100_000
    assert err.strip() == f"minidiff: cannot write {tmp_path}/state.pt: File too large; nothing was changed"
    assert (tmp_path / "state.pt").read_bytes() == old
    assert sorted(f.name for f in tmp_path.iterdir()) == ["log.csv", "state.pt"]


# -- the log, in this process ---------------------------------------------------------------------------------------------------


def test_the_log_says_what_the_steps_said(tmp_path):
    job = prepare(override(RECIPES["toy-ring"], ["train.batch=5", "train.steps=6", "train.warmup=2"]))
    said = [(s.step, s.loss, s.lr, s.grad_norm, 5 * s.step) for s in run(job, tmp_path)]
    assert [tuple(float(x) for x in row) for row in rows(tmp_path)] == said


def test_ctrl_c_between_a_step_and_its_row_waits_for_the_row(tmp_path):
    """A real SIGINT when the weights of step 4 are new: the state of step 4 is kept, and so is its row."""
    job = prepare(override(RECIPES["toy-ring"], ["train.batch=5", "train.steps=6"]))
    job.training.optimizer.register_step_post_hook(lambda *_: signal.raise_signal(signal.SIGINT) if job.training.step == 3 else None)
    with pytest.raises(KeyboardInterrupt):
        list(run(job, tmp_path))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 4 and [row[0] for row in rows(tmp_path)] == ["1", "2", "3", "4"]


def test_rows_of_steps_that_are_made_again_are_dropped_and_so_is_half_a_row(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(",".join(COLUMNS) + "\n1,.5,.1,2.0,0.1,8\n2,.4,.1,2.0,0.2,16\n3,.3,.1,2.0,0.3,24\n1")  # the beginning of 12,...
    with step_log(path, 2) as log:
        assert path.read_text().endswith("2,.4,.1,2.0,0.2,16\n")
        log((3, 0.25, 0.1, 1.0, 0.5, 24))
        assert path.read_text().endswith("2,.4,.1,2.0,0.2,16\n3,0.25,0.1,1.0,0.5,24\n")  # flushed
    with step_log(path, 0):
        assert path.read_text() == ",".join(COLUMNS) + "\n"


def test_a_log_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    real = Path.open

    def full(self, mode="r", *args, **kwargs):
        return open("/dev/full", mode, *args, **kwargs) if mode == "ab" else real(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with step_log(tmp_path / "log.csv", 0) as log, pytest.raises(FileError, match="cannot write .*log.csv: No space left on device"):
        log((1, 2, 3, 4, 5, 6))


def test_the_log_is_drawn_at_the_end_and_shows_what_it_says(tmp_path):
    settings = ["train.batch=5", "train.steps=6", "train.warmup=1"]
    assert cli.main(["train", "toy-ring", "--out", str(tmp_path), *(word for value in settings for word in ("--set", value))]) == 0
    assert (tmp_path / "log.png").read_bytes().startswith(b"\x89PNG")
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minidiff.notebook.log_figure.Figure.savefig", lambda figure, path, **kwargs: drawn.append(figure))
        draw_log(tmp_path / "log.csv", tmp_path / "again.png", windows=3)
    dots, medians = drawn[0].axes[0].lines
    losses = [float(row[1]) for row in rows(tmp_path)]
    assert dots.get_ydata().tolist() == losses and dots.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert medians.get_ydata() == pytest.approx([(losses[i] + losses[i + 1]) / 2 for i in (0, 2, 4)])
    assert [ax.get_title() for ax in drawn[0].axes] == ["loss per feature", "norm of the gradient", "learning rate"]
    (tmp_path / "log.csv").write_text(",".join(COLUMNS) + "\n")
    draw_log(tmp_path / "log.csv", tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


# -- what is kept of a run ------------------------------------------------------------------------------------------------------


def test_seconds_add_up_over_all_runs(tmp_path, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(jobs.time, "monotonic", lambda: next(clock))  # each look at the clock takes a second
    recipe = override(RECIPES["toy-ring"], ["train.batch=4", "train.steps=6"])
    for step in run(prepare(recipe), tmp_path):
        if step.step == 4:
            break
    assert torch.load(tmp_path / "state.pt", weights_only=True)["seconds"] == 4
    job = prepare(recipe)
    job.resume(tmp_path / "state.pt")
    list(run(job, tmp_path))
    assert read_metadata(tmp_path / "toy-ring.safetensors")["seconds"] == 6
    with (tmp_path / "log.csv").open() as f:
        assert [float(row["seconds"]) for row in csv.DictReader(f)] == [1, 2, 3, 4, 5, 6]


def test_weights_say_where_and_with_what_they_were_made(tmp_path):
    assert cli.main(["train", "toy-ring", "--out", str(tmp_path), "--set", "train.steps=3", "--set", "train.batch=4"]) == 0
    made = read_metadata(tmp_path / "toy-ring.safetensors")
    assert made["steps"] == 3 and made["images_seen"] == 12 and made["seconds"] > 0 and made["processes"] == 1
    assert made["device"] == "cpu" and made["threads"] == torch.get_num_threads()
    assert made["torch"] == torch.__version__ and made["minidiff"] == __version__


def test_the_commit_is_that_of_the_checkout_that_holds_the_package(tmp_path, monkeypatch):
    git = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True, text=True)
    try:
        git(["git", "init", "-q"])
    except OSError:
        pytest.skip("needs git")
    (tmp_path / "jobs.py").write_text("")
    monkeypatch.setattr(jobs, "__file__", str(tmp_path / "jobs.py"))
    git(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "somebody's", "--allow-empty"])
    assert "commit" not in jobs.made_with(torch.device("cpu"))  # inside a checkout, as an environment may be, but not of it
    git(["git", "add", "jobs.py"])
    git(["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"])
    head = git(["git", "rev-parse", "HEAD"]).stdout.strip()
    assert jobs.made_with(torch.device("cpu"))["commit"] == head
    (tmp_path / "jobs.py").write_text("# changed")
    assert jobs.made_with(torch.device("cpu"))["commit"] == f"{head}-dirty"


def test_a_state_of_an_earlier_version_goes_on(tmp_path):
    """Written before there were seconds, accumulate, precision and compile: their defaults are meant."""
    recipe = override(RECIPES["toy-ring"], ["train.batch=4", "train.steps=6"])
    for step in run(prepare(recipe), tmp_path):
        if step.step == 4:
            break
    old = torch.load(tmp_path / "state.pt", weights_only=True)
    settings = json.loads(old["recipe"])
    for key in ("accumulate", "precision", "compile"):
        del settings["recipe"]["train"][key]
    torch.save({k: v for k, v in old.items() if k != "seconds"} | {"recipe": json.dumps(settings)}, tmp_path / "state.pt")
    (tmp_path / "log.csv").unlink()
    job = prepare(recipe)
    assert job.resume(tmp_path / "state.pt") and job.training.step == 4 and job.training.seconds == 0
    list(run(job, tmp_path))
    whole = prepare(recipe)
    list(whole.steps())
    made = load_file(tmp_path / "toy-ring.safetensors")
    assert all(torch.equal(made[k], v) for k, v in whole.training.average.state_dict().items())
    assert [row[0] for row in rows(tmp_path)] == ["5", "6"]
    other = prepare(override(recipe, ["train.accumulate=2"]))
    with pytest.raises(FileError, match="other settings"):
        other.resume(tmp_path / "state.pt")


@pytest.mark.parametrize("setting, message", [
    ("train.accumulate=0", "needed: .*accumulate >= 1; got .*, 0"),
    ("train.accumulate=5", "a batch of 4 is too small for .* train.accumulate = 5"),
    ("train.precision=half", "train.precision must be one of 'float32', 'bfloat16'; got 'half'"),
    ("train.compile=maybe", "train.compile takes a bool"),
])
def test_bad_settings_are_one_line(setting, message, tmp_path, capsys):
    assert cli.main(["train", "toy-ring", "--out", str(tmp_path), "--set", "train.batch=4", "--set", setting]) == 1
    err = capsys.readouterr().err
    assert re.search(message, err) and err.count("\n") == 1
