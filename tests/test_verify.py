"""The ledger of equations: every check passes, a broken formula is named, and the reports say what they should."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import minidiff.bound
import minidiff.gaussian
import minidiff.prediction
import minidiff.process
import minidiff.reverse
import minidiff.sample
import minidiff.verify.registry as registry
from minidiff import Schedule
from minidiff.verify import Check, as_json, at_most, check, close, equation, find, markdown, monte_carlo, run, show, table
from minidiff.verify.course import TAUGHT

ROOT = Path(__file__).resolve().parent.parent
NAN = float("nan")


@pytest.fixture(scope="module")
def results():
    return {r.equation.name: r for r in run()}


@pytest.mark.parametrize("name", [e.name for e in find()])
def test_equation(results, name):
    assert results[name].passed, "\n" + table([results[name]])


# Parts A1 to A5 of the list of equations: every one has a check under this name.
REQUIRED = {
    "ddpm": [*map(str, range(1, 17)), "section 3.2", "L_T", "implied weights", "Alg. 1", "Alg. 2", "section 4.3"],
    "improved_ddpm": ["4", "5", "6", "7", "15", "16", "17", "18", "19"],
    "ddim": list(map(str, range(1, 17))),
    "score": ["Tweedie", "DSM", "v", "weights"],
    "vdm": ["1", "2", "13", "14", "doubling", "17", "18", "invariance"],
    "sde": ["13", "39", "40"],
    "guidance": ["6", "tilted", "ODE", "ancestral"],
    "inpainting": ["exact", "replacement", "resampling", "independent", "sdedit"],
    "latent": ["1-2", "3", "25", "KL", "VQ", "factor", "frozen", "attention", "cross-attention", "windows", "windows law"],
    "solvers": ["2M", "Heun", "order", "B7", "strided"],
    "families": ["VAE", "flow", "flow affine", "coupling", "chain", "logistics", "GAN", "D*"],
    "mixture": ["B01", "B02", "B04", "B07", "B15", "B16", "B18", "B19", "B21"],
    "gaussian": ["B08", "B09", "B10", "B11", "B12", "B13", "B14", "B17"],
}


def test_the_ledger_is_complete(results):
    assert sum(len(r.checks) for r in results.values()) >= 110
    for paper, numbers in REQUIRED.items():
        for number in numbers:
            assert find(paper, number), f"{paper} {number}"


def test_equations_are_taught_where_the_course_says():
    names = {e.name for e in find()}
    sources = {p.name[:2]: p.read_text(encoding="utf-8") for p in (ROOT / "notebooks" / "src").glob("*.py")}
    assert set(TAUGHT) == set(sources) and {name for taught in TAUGHT.values() for name in taught} <= names
    for notebook, text in sources.items():
        said = re.search(r"^# [*-] In the ledger: (.*?`)\.$", text, re.MULTILINE | re.DOTALL)
        assert said and tuple(re.findall(r"`([^`]+)`", said[1])) == TAUGHT[notebook], notebook
        for paper, number in re.findall(r'^show\("(\w+)", "([^"]+)"\)', text, re.MULTILINE):
            assert find(paper, number)[0].name in TAUGHT[notebook], f"notebook {notebook} shows {paper} {number}"


def test_every_equation_of_the_papers_has_a_notebook():
    rest = ("gaussian", "mixture", "ledger")
    theory = {e.name for e in find() if e.paper not in rest} | {"mixture B02", "mixture B18"}
    untaught = theory - {name for taught in TAUGHT.values() for name in taught}
    assert untaught == {"ddpm 13 end to end", "solvers B7", "families flow affine", "families logistics"}  # checks that no lesson needs


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.slow
def test_other_seeds_give_the_same_verdicts(results, seed):
    drawn = [r.equation for r in results.values() if any(c.standard_error is not None for c in r.checks)]
    assert len(drawn) > 10
    for e in drawn:
        assert all(r.passed for r in run(e.paper, e.number, seed=seed)), e.name


def test_every_equation_states_formula_function_and_method(results):
    for name, r in results.items():
        assert r.equation.formula and r.equation.title and r.equation.checks.__doc__, name
        assert r.equation.function.startswith("minidiff."), name
        assert all(c.what and c.method for c in r.checks), name


def test_functions_named_in_the_ledger_exist():
    import minidiff
    import minidiff.verify

    for e in find():
        thing = minidiff
        for part in e.function.split(".")[1:]:
            thing = getattr(thing, part)
        assert callable(thing), e.function


def test_EQUATIONS_md_is_not_stale(results):
    text = (ROOT / "EQUATIONS.md").read_text(encoding="utf-8")
    assert without_errors(text) == without_errors(markdown(list(results.values()))), "run: python -m minidiff.verify"


def without_errors(text):
    """The document without its last column: errors at the level of rounding differ from machine to machine."""
    return re.sub(r"^(\|.*\|)[^|]*\|$", r"\1", text, flags=re.MULTILINE)


# -- a broken formula is named -----------------------------------------------------------------------------------------


def off_by_one(schedule, s, t):
    table = 1 - schedule.alpha_bar
    return table[t] / table[np.minimum(t + 1, schedule.T)] * schedule.beta_ts(s, t)


def no_constant(self, other):
    return (self.mean - other.mean) ** 2 / (2 * other.var)


def alpha_for_alpha_bar(self, t):
    return np.sqrt(1 - self.beta[t]), np.sqrt(self.beta[t])


def noisy_end(denoiser, x, times, draw, cond=None, variance="small"):
    step = None
    for step in original_ddpm(denoiser, x, times, draw, cond, variance):
        if step.t > 0:
            yield step
    yield minidiff.sample.Step(0, step.x_t + 0.1 * draw(x), step.x_0)


original_ddpm = minidiff.sample.ddpm
BROKEN = {
    "posterior variance": ("minidiff.process.posterior_variance", off_by_one, "ddpm 6-7"),
    "KL without its constant": ("minidiff.gaussian.Gaussian.kl", no_constant, "ddpm 8"),
    "alpha for alpha_bar": ("minidiff.schedule.Schedule.scales", alpha_for_alpha_bar, "ddpm 4"),
    "decoder bin": ("minidiff.bound.HALF_BIN", 1 / 256, "ddpm 13"),
    "bits": ("minidiff.verify.decoder.bits_per_dim", lambda nats, dims: nats / dims, "ddpm bits/dim"),
    "variance of the model": ("minidiff.reverse.posterior_variance", lambda schedule, s, t: schedule.beta_ts(s, t), "ddpm section 3.2"),
    "noise at t = 1": ("minidiff.verify.ddpm_training.ddpm", noisy_end, "ddpm Alg. 2"),
    "score": ("minidiff.verify.ddpm_training.target", lambda kind, x_0, eps, signal, noise: eps, "ddpm 15"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_formula_is_named(monkeypatch, mistake):
    where, wrong, name = BROKEN[mistake]
    monkeypatch.setattr(where, wrong)
    paper, number = name.split(" ", 1)
    (broken,) = run(paper, number)
    assert not broken.passed
    assert re.search(rf"^{re.escape(name)} .*FAIL$", table([broken]), re.M)
    assert f"FAILED: {name}" in table([broken])


def test_run_of_everything_names_the_broken_equation_and_no_innocent_one(monkeypatch):
    monkeypatch.setattr("minidiff.bound.HALF_BIN", 1 / 256)
    failed = {r.equation.name for r in run("ddpm") if not r.passed}
    assert "ddpm 13" in failed
    assert failed <= {"ddpm 13", "ddpm 13 end to end", "ddpm bits/dim", "ddpm bound of a pixel"}


# -- checks that must fail ---------------------------------------------------------------------------------------------


def test_nan_on_either_side_fails():
    for a, b in ((NAN, 1.0), (1.0, NAN), (NAN, NAN)):
        assert not close("", a, b, 1.0, "").passed
        assert not at_most("", a, b, 1.0, "").passed
    assert not close("", [1.0, NAN, 1.0], [1.0, 1.0, 1.0], 1.0, "").passed
    assert not close("", np.inf, np.inf, 1.0, "").passed
    assert not monte_carlo("", NAN, np.arange(9.0)).passed


def test_the_entry_that_differs_most_is_reported():
    c = close("", [1.0, 2.0, 3.0], [1.0, 2.5, 3.1], 0.2, "")
    assert (c.closed, c.numerical, c.error, c.passed) == (2.0, 2.5, 0.5, False)
    assert close("", [1.0, 200.0], [1.0, 201.0], 0.01, "", relative=True).passed


def test_an_excess_fails():
    assert at_most("", 1.0, 2.0, 0.0, "").passed
    assert not at_most("", [1.0, 2.0], [1.5, 1.5], 0.1, "").passed


def test_a_shifted_monte_carlo_copy_fails():
    sample = np.random.default_rng(0).standard_normal(10_000)
    assert monte_carlo("", 0.0, sample).passed
    assert not monte_carlo("", 0.0, sample + 0.1).passed  # ten standard errors
    assert not monte_carlo("", np.random.default_rng(1).standard_normal(10_000), sample + 0.1).passed


def test_shared_noise_is_refused():
    sample = np.random.default_rng(0).standard_normal(10_000)
    with pytest.raises(ValueError, match="same noise"):
        monte_carlo("two sides", sample, 3 * sample + 1)


def test_a_check_that_raises_or_makes_nothing_is_a_failure(monkeypatch):
    monkeypatch.setattr(registry, "REGISTRY", [])

    @equation("ddpm", "99", "a division", formula="1/0", function="minidiff.posterior")
    def divides():
        yield close("before", 1.0, 1.0, 0.0, "")
        yield close("never", 1 // 0, 1.0, 0.0, "")

    @equation("ddpm", "98", "nothing", formula="0", function="minidiff.posterior")
    def nothing():
        return []

    raised, empty = run("ddpm", "99")[0], run("ddpm", "98")[0]
    assert not raised.passed and "ZeroDivisionError" in raised.failure
    assert not empty.passed and empty.failure == "no check was made"
    text = table([raised, empty])
    assert "ZeroDivisionError" in text and "FAILED: ddpm 99, ddpm 98" in text
    with pytest.raises(ValueError, match="registered twice"):
        equation("ddpm", "99", "again", formula="", function="")(divides)


# -- reports -----------------------------------------------------------------------------------------------------------


def test_table_is_aligned_and_counts():
    some = run("ddpm", "7")
    lines = table(some).splitlines()
    column = lines[0].index("ok")
    assert all(line[column:] in ("ok", "--") for line in lines[1:-2])
    n = len(some[0].checks)
    assert lines[-1].startswith(f"{n} of {n} checks of 1 equations pass")


def test_json_is_valid_also_with_nan():
    (good,) = run("ddpm", "9")
    bad = registry.Result(good.equation, (Check("x", NAN, 1.0, NAN, 0.1, "none"),), 0.0)
    document = json.loads(as_json([good, bad]))
    assert document["passed"] is False and document["count"] == len(good.checks) + 1
    first, second = document["equations"]
    assert first["passed"] and first["number"] == "9-10" and first["checks"][0]["passed"]
    assert second["checks"][0]["closed"] == "nan" and not second["passed"]


def test_markdown_has_every_formula_and_errors_in_the_last_column_only(results):
    text = markdown(list(results.values()))
    for r in results.values():
        assert r.equation.formula in text and f"### {r.equation.name}:" in text
    changed = [
        registry.Result(r.equation, tuple(Check(c.what, 1, 2, 3, c.tolerance, c.method, c.standard_error) for c in r.checks), 9.0)
        for r in results.values()
    ]
    assert markdown(changed) != text and without_errors(markdown(changed)) == without_errors(text)
    assert "(numbering unconfirmed)" in text


def test_show_has_the_formula_beside_two_numbers():
    shown = show("ddpm", "7")
    text = shown._repr_markdown_()
    assert r"\tilde\beta_t" in text and "quadrature" in text
    assert repr(shown).startswith("ddpm 6-7: the forward posterior")
    for digits in re.findall(r"\d+\.(\d+)", repr(shown)):
        assert len(digits) <= 8  # five significant digits, after leading zeros


def test_show_raises_for_a_failed_and_for_an_unknown_equation(monkeypatch):
    with pytest.raises(KeyError, match="nearest are: .*ddpm"):
        show("ddpm", "77")
    with pytest.raises(KeyError, match="ddpm"):
        show("dpm", "7")
    monkeypatch.setattr("minidiff.process.posterior_variance", off_by_one)
    with pytest.raises(AssertionError, match="ddpm 6-7"):
        show("ddpm", "6")


def test_run_selects_by_paper_and_number():
    assert {r.equation.paper for r in run("improved_ddpm")} == {"improved_ddpm"}
    assert [e.name for e in find(number="15")] == ["ddpm 15", "improved_ddpm 15", "ddim 15"]
    assert [e.name for e in find("ddpm", "alg. 2")] == ["ddpm Alg. 2"]
    with pytest.raises(KeyError):
        run("nowhere")


def test_seconds_are_measured_and_seeds_are_fixed():
    (e,) = find("ddpm", "2")
    first, second = check(e), check(e)
    assert first.seconds > 0 and first.checks == second.checks


def test_schedules_of_the_checks_agree():
    from minidiff.verify import routes

    np.testing.assert_allclose(routes.SHORT.alpha_bar, routes.ABAR, rtol=1e-14)
    np.testing.assert_allclose(routes.linear(1000).alpha_bar, Schedule.linear().alpha_bar, rtol=1e-13)
