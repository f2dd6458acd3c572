"""Every exercise: the right answer passes, none takes nothing, and every known mistake is called by its name; nothing gives itself away."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from minidiff import Schedule, posterior
from minidiff.course import EXERCISES, check, find, table, verdict
from minidiff.course.exercise import Exercise
from minidiff.nn import count_parameters
from minidiff.nn.blocks import ResBlock
from minidiff.notebook import suspects
from minidiff.wrappers import Windowed

SOURCES = sorted((Path(__file__).resolve().parents[1] / "notebooks" / "src").glob("*.py"))
CALL = re.compile(r'^check\("([^"]+)", (\w+)', re.M)
SOLUTION = re.compile(r"^[ \t]*### BEGIN SOLUTION\n(.*?)^[ \t]*### END SOLUTION", re.S | re.M)


def not_begun(*args):
    raise NotImplementedError


# -- all exercises -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("e", EXERCISES.values(), ids=lambda e: e.name)
def test_right_empty_and_wrong_answers(e):
    args = e.example()
    right = e.reference if args else e.reference()
    said = verdict(e.name, right, *args)
    assert (said.points, said.of, said.why) == (e.points, e.points, "right") and e.points >= 1
    for empty in (None, ..., not_begun, lambda *args: None):
        assert (verdict(e.name, empty, *args).points, verdict(e.name, empty, *args).why) == (0, "no answer yet")
    assert len(e.mistakes) >= 1 and (len(e.mistakes) >= 2 or isinstance(e.reference(*args), str))
    for what, wrong in e.mistakes.items():
        said = verdict(e.name, wrong, *args)
        assert said.points == 0 and what in said.why, said
        assert said.why.endswith(f"\n  read notebook {e.notebook}, {e.page}") or "the shape is" in said.why, said
        assert said.why.count("\n") <= 2 and "off by 0 " not in said.why


def test_exercises_have_names_of_their_own():
    assert len(EXERCISES) == sum(len(part.EXERCISES) for part in table.PARTS)
    with pytest.raises(ValueError, match=r"there is no exercise 'two look' \(did you mean two looks"):
        find("two look")


def test_references_agree_with_the_networks_and_wrappers_that_they_count():
    for widths in ((48, 96, 192), (48, 48, 192)):
        assert find("weights of a residual block").reference(*widths) == count_parameters(ResBlock(*widths))
    for side in range(8, 30):
        assert find("windows of a canvas").reference(side, 8, 8, 3) == len(Windowed(None, 8, 3).starts(side))


# -- the notebooks -------------------------------------------------------------------------------------------------------


def asked(source):
    """(text of the solution's cell, names that the next cell checks, what it passes) of each exercise in a source."""
    parts = [p.split("\n", 1)[1] for p in re.split(r"^# %%", source.read_text("utf-8"), flags=re.M)[1:] if not p.startswith(" [markdown]")]
    return [(cell, CALL.findall(after)) for cell, after in itertools.pairwise(parts) if "### BEGIN SOLUTION" in cell]


@pytest.mark.parametrize("source", [s for s in SOURCES if "### BEGIN SOLUTION" in s.read_text("utf-8")], ids=lambda p: p.stem)
def test_the_solution_in_a_notebook_is_right(source):
    number, space = source.stem[:2], {"np": np, "torch": torch}
    names = []
    for cell, calls in asked(source):
        assert calls, f"a solution without a check after it: {cell[:60]!r}"
        exec(compile(cell, source.name, "exec"), space)
        for name, answer in calls:
            said = verdict(name, space[answer], *EXERCISES[name].example())
            assert said.points == said.of, said
            names.append(name)
    assert names == [e.name for e in EXERCISES.values() if e.notebook == number]


@pytest.mark.parametrize("e", EXERCISES.values(), ids=lambda e: e.name)
def test_the_page_to_read_exists(e):
    here, *elsewhere = re.split(r"(?=notebook \d\d)", e.page)
    pages = [(e.notebook, here), *((text[9:11], text) for text in elsewhere)]
    assert "section" in e.page
    for number, text in pages:
        source = next(s for s in SOURCES if s.stem.startswith(number)).read_text("utf-8")
        for section in re.findall(r"section (\d+)", text):
            assert re.search(rf"^# ## {section}\. ", source, re.M), f"notebook {number} has no section {section}"


def test_the_suspects_of_notebook_03_are_guilty():
    schedule, x_0, x_t = Schedule.linear(8, 0.1, 0.4), np.array([0.5]), np.array([1.0])
    for t in range(2, 9):
        q = posterior(schedule, x_0, x_t, t - 1, t)
        a, b = (suspect(schedule, x_0, x_t, t - 1, t) for suspect in (suspects.suspect_a, suspects.suspect_b))
        assert abs(a.mean - q.mean) > 1e-3 and a.var == q.var
        assert b.mean == q.mean and abs(b.var / q.var - 1) > 1e-2


# -- judging -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def probe(monkeypatch):
    """An exercise of its own: f(x) = x^2 + 1."""
    e = Exercise("probe", "99", "section 1", lambda x: x**2 + 1, {"without the one": lambda x: x**2}, entry="t =")
    monkeypatch.setitem(table.EXERCISES, "probe", e)
    return np.array([1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda x: x**2, "yours is without the one\n  yours 1, expected 2 at t = 0, off by -1 everywhere"),
        (lambda x: 2 * (x**2 + 1), "yours is twice as large\n  yours 4, expected 2 at t = 0, ratio 2"),
        (lambda x: -(x**2) - 1, "yours is the negative of it"),
        (lambda x: (x**2 + 1) ** 0.5, "yours is its square root"),
        (lambda x: (x**2 + 1) / np.log(2), "yours is in bits, not nats"),
        (lambda x: np.array([5.0, 17.0, 0.0]), "yours is shifted by one, too early"),
        (lambda x: np.array([0.0, 2.0, 5.0]), "yours is shifted by one, too late"),
        (lambda x: np.array([17.0, 5.0, 2.0]), "yours is the right one in reverse order"),
        (lambda x: [2.0, 5.0, 16.0], "not yet\n  yours 16, expected 17 at t = 2, ratio 0.941"),
        (lambda x: torch.tensor([2.0, 5.0]), r"the shape is \(2,\), expected \(3,\)"),
        (lambda x: np.array([2.0, np.nan, np.inf]), "2 of 3 numbers are not finite"),
        (lambda x: "seven", "an answer is a number or an array of numbers; got str"),
        (lambda x: 1j * x, "an answer is a number or an array of numbers; got ndarray"),
        (lambda x, y: x, "your function stops: TypeError: .*missing 1 required positional argument"),
        (lambda x: x[7], "your function stops: IndexError: index 7 is out of bounds"),
        (lambda x: [][0] if x.sum() else 0, "your function stops: IndexError"),
    ],
)
def test_what_is_wrong_is_said(probe, answer, why):
    said = verdict("probe", answer, probe)
    assert said.points == 0 and re.match(why, said.why), said.why


def test_an_answer_cannot_change_what_it_is_asked(probe):
    def spoil(x):
        x[:] = 0
        return x + 1

    assert verdict("probe", spoil, probe).points == 0 and probe.tolist() == [1, 2, 4]


def test_the_best_so_far_is_kept_and_nbgrader_is_told_by_an_error(probe, tmp_path, monkeypatch, capsys):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("MINIDIFF_PROGRESS", str(path))
    path.write_text("{ broken")
    for answer, points in ((None, 0), (lambda x: x**2 + 1, 1), (lambda x: x, 1)):
        check("probe", answer, probe)
        assert json.loads(path.read_text())["probe"]["points"] == points
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["probe: no answer yet", "probe: right (1 of 1 in this notebook)"] and len(list(tmp_path.iterdir())) == 1
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check("probe", lambda x: x**2 + 1, probe)
    with pytest.raises(AssertionError, match="probe: yours is without the one"):
        check("probe", lambda x: x**2, probe)
