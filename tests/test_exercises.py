"""The checks of the exercises name the mistake; and every solution printed in a notebook passes its own check."""

import ast
import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from minidiff import Schedule, posterior
from minidiff.notebook import check, exercises

SOURCES = sorted((Path(__file__).resolve().parents[1] / "notebooks" / "src").glob("*.py"))


def test_a_check_says_what_is_wrong(capsys):
    right, wrong = np.array([1.0, 2.0, 4.0]), {"twice too large": np.array([2.0, 4.0, 8.0])}
    check("A", None, right, wrong)
    check("B", right.copy(), right, wrong)
    check("C", 2 * right, right, wrong, entry="t =")
    check("D", np.array([1.0, 2.0, 3.0]), right, wrong)
    check("E", 1.0, right, wrong)
    check("F", np.array([1.0, np.nan, 4.0]), right, wrong)
    check("G", 3.0, 0.0)
    assert capsys.readouterr().out.splitlines() == [
        "A: no answer yet",
        "B: right",
        "C: yours is twice too large: 2, expected 1, ratio 2 at t = 0",
        "D: not yet: 3, expected 4, ratio 0.75 at entry 2",
        "E: the shape is (), expected (3,)",
        "F: not yet: nan, expected 2 at entry 1",
        "G: not yet: 3, expected 0",
    ]


def test_a_check_of_words(capsys):
    check("A", "mean", "mean")
    check("B", "variance", "mean", {"variance": "the variance is right"})
    assert capsys.readouterr().out == "A: right\nB: the variance is right\n"


def test_the_suspects_are_guilty():
    schedule, x_0, x_t = Schedule.linear(8, 0.1, 0.4), np.array([0.5]), np.array([1.0])
    for t in range(2, 9):
        q = posterior(schedule, x_0, x_t, t - 1, t)
        a, b = (suspect(schedule, x_0, x_t, t - 1, t) for suspect in (exercises.suspect_a, exercises.suspect_b))
        assert abs(a.mean - q.mean) > 1e-3 and a.var == q.var
        assert b.mean == q.mean and abs(b.var / q.var - 1) > 1e-2


def cells(source):
    """(code, solution): each code cell with the ```python block of the first markdown cell after it, if there is one."""
    parts = re.split(r"^# %%(.*)$", source.read_text(), flags=re.M)[1:]
    pairs = [[head, body] for head, body in zip(parts[::2], parts[1::2], strict=True)]
    for (head, body), after in zip(pairs, [*pairs[1:], ["", ""]], strict=True):
        if "[markdown]" in head:
            continue
        text = re.sub(r"^# ?", "", after[1], flags=re.M) if "[markdown]" in after[0] else ""
        block = re.match(r"\s*<details>.*?```python\n(.*?)```.*?</details>", text, re.S)
        yield body, block.group(1) if block else None


@pytest.mark.slow
@pytest.mark.parametrize("source", [s for s in SOURCES if any(block for _, block in cells(s))], ids=lambda path: path.stem)
def test_printed_solutions_pass_their_checks(source, capsys, monkeypatch):
    """Runs the notebook's code in one namespace; where a solution follows, runs it and repeats the cell's check."""
    monkeypatch.chdir(source.parents[1])
    backend = matplotlib.get_backend()
    plt.switch_backend("agg")
    space, solved = {"__name__": "notebook"}, 0
    with plt.rc_context():
        for code, solution in cells(source):
            exec(compile(code, source.name, "exec"), space)
            plt.close("all")
            if solution is None:
                continue
            exec(compile(solution, source.name, "exec"), space)
            capsys.readouterr()
            checks = [node for node in ast.parse(code).body if isinstance(node, (ast.Expr, ast.Assign)) and _calls_check(node)]
            assert checks, f"{source.name}: a solution without a check before it"
            for node in checks:
                exec(compile(ast.Module([node], []), source.name, "exec"), space)
            said = capsys.readouterr().out.splitlines()
            assert said and all(line.endswith(": right") for line in said), f"{source.name}: {said}"
            solved += 1
    plt.switch_backend(backend)
    assert solved


def _calls_check(node):
    return isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "check"
