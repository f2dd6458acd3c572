"""The fair table: a run that is broken off is taken up, what it records is what the notebook reads, and a rank is one in every seed."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from minidiff.notebook.family_widgets import table

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "families.py"


@pytest.fixture
def script(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location("families_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_taken_up_where_it_was_broken_off(tmp_path):
    out, recorded = tmp_path / "out", tmp_path / "families.json"
    few = ["--sets", "line", "--only", "gan", "autoregressive", "--seeds", "2", "--seconds", "0.2", "--n", "1000", "--judged", "20"]
    command = [sys.executable, str(SCRIPT), *few, "--out", str(out), "--record", str(recorded)]
    first = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert first.returncode == 0, first.stderr
    cells = {p.name: p.read_bytes() for p in out.glob("line-*.json")}
    assert sorted(cells) == [f"line-{family}-{seed}.json" for family in ("autoregressive", "gan") for seed in (0, 1)]
    (out / "line-gan-1.json").unlink()
    again = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    new = {p.name: p.read_bytes() for p in out.glob("line-*.json")}
    assert {name for name in cells if new[name] != cells[name]} == {"line-gan-1.json"}  # other seconds, other steps

    one = json.loads(new["line-autoregressive-0.json"])
    assert 0.2 <= one["seconds"] < 1 and one["steps"] > 2 and one["likelihood"]["exact"]["n"] == 20 and len(one["samples"]) == 400
    found = json.loads(recorded.read_text())
    gan, autoregressive = found["rows"]
    assert (gan["nats"], autoregressive["kind"], autoregressive["seeds"]) == (None, "exact", 2)
    assert autoregressive["modes"] == [one["modes"]["met"], json.loads(new["line-autoregressive-1.json"])["modes"]["met"]]
    assert table(found, "line").splitlines()[2].startswith("gan             none")
    assert (out / "families.png").stat().st_size > 5000 and "| gan |" in (out / "results.md").read_text()


def test_a_rank_says_in_how_many_seeds_it_holds(script):
    values = {"vae": (3.0, 2.0, 3.0), "flow": (1.0, 1.0, 2.0), "diffusion": (2.0, 3.0, 1.0)}
    rows = [{"family": f, "seed": s, "likelihood": {"exact": {"value": v}}} for f, seeds in values.items() for s, v in enumerate(seeds)]
    rows += [{"family": "gan", "seed": s, "likelihood": {}} for s in range(3)]
    assert script.firsts(rows, "nats") == "flow first in 2 of 3 seeds, the whole order that of the first seed in 1"
    assert script.firsts(rows[:-4], "nats").startswith("flow first in 2 of 2 seeds")  # the third seed is not whole yet: it ranks nobody
    assert script.firsts(rows[-3:], "nats") == "nobody is measured"
    recall = [{"family": f, "seed": 0, "recall": {"value": v}} for f, v in (("vae", 0.2), ("flow", 0.9))]
    assert script.firsts(recall, "recall") == "flow first in 1 of 1 seeds, the whole order that of the first seed in 1"  # more is better
