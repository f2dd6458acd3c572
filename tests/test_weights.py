"""The shipped weights are what their cards say: made by today's recipes, whole, small, and with the numbers of data/README.md."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from minidiff.learn import read_metadata
from minidiff.notebook.card import card, measured
from minidiff.run import RECIPES, mnist, pretrained, weights_path
from minidiff.run.bits import bits
from minidiff.run.family_networks import FAMILIES
from minidiff.run.recipes import from_dict
from minidiff.run.worlds import WORLDS

FOLDER = Path(__file__).parents[1] / "data" / "weights"
NAMES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))
README = (FOLDER.parent / "README.md").read_text("utf-8")
CARDS = dict(re.findall(r"### `([\w-]+)\.safetensors`: model card\n(.*?)(?=\n### |\Z)", README, re.S))


def test_every_file_has_a_card_and_together_they_are_small():
    assert set(CARDS) == set(NAMES) and sum(path.stat().st_size for path in FOLDER.iterdir()) < 90e6


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_of_this_name_makes_them_again(name):
    made = read_metadata(weights_path(name))
    recipe = from_dict(made["recipe"])
    if recipe.network.type == "classifier":  # its width is all of the network that it reads
        recipe = replace(recipe, network=replace(RECIPES[name].network, width=recipe.network.width))
    assert recipe == RECIPES[name]
    assert made["steps"] == RECIPES[name].train.steps and made["images_seen"] == made["steps"] * RECIPES[name].train.batch
    assert f"{made['steps']:,} steps" in CARDS[name].replace(f"{made['steps']} steps", f"{made['steps']:,} steps")


def numbers(found, path=()):
    """All measured values below a node of the results: (path, value)."""
    for key, value in found.items():
        if isinstance(value, dict):
            if "value" in value:
                yield (*path, key), value
            yield from numbers(value, (*path, key))


QUOTED = {
    "mnist-ddpm": [("bits_per_dim", "stratified", kind) for kind in ("small", "large", "small clipped", "large clipped")],
    "mnist-learned-variance": [("bits_per_dim", "stratified", "learned clipped"), ("bits_per_dim", "stratified", "learned")],
}


@pytest.mark.parametrize("name", QUOTED)
def test_what_the_card_quotes_is_in_the_file(name):
    found = dict(numbers(read_metadata(weights_path(name))["results"]))
    for path in QUOTED[name]:
        assert f"{found[path]['value']:.3f} +- {found[path]['standard_error']:.3f}" in CARDS[name], path


def test_bits_per_dim_come_out_again():
    """Of 48 digits at hand, not those of the card: within the errors of both, and 0.05 for digits that were trained on."""
    card = read_metadata(weights_path("mnist-learned-variance"))["results"]["bits_per_dim"]["stratified"]["learned clipped"]
    here = bits(pretrained("mnist-learned-variance"), mnist("test", "embedded", quiet=True), 0, 48, seed=0)["stratified"]["learned clipped"]
    assert abs(here["value"] - card["value"]) < 4 * here["standard_error"] + 0.05 < 0.25


def test_a_card_as_the_notebooks_print_it(monkeypatch):
    def number(value, floor):
        return {"value": value, "interval_95": [value - 1, value + 1], "floor": floor}

    samples = {f"ddim {k}": {"n": 100 * k, "frechet": number(20.0 * k, 3.0 * k), "classes": [1, 2]} for k in (10, 5)}
    monkeypatch.setattr("minidiff.notebook.card.read_metadata", lambda path: {"results": {"samples": samples}})
    rows = [line.split(maxsplit=3) for line in card("mnist-ddpm", "frechet").splitlines()]
    assert rows == [
        ["n", "frechet"], ["ddim", "5", "500", "100 (99 to 101)"], ["ddim", "10", "1000", "200 (199 to 201)"],
        ["real", "digits", "1000", "30"], ["real", "digits", "500", "15"],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="'recall' was not measured of mnist-ddpm; there are frechet"):
        card("mnist-ddpm", "recall")
    with pytest.raises(ValueError, match="'maps' was not measured of mnist-ddpm; there are samples"):
        card("mnist-ddpm", "recall", section="maps")


def test_a_card_of_another_section_where_not_all_numbers_have_a_floor(monkeypatch):
    number = {"value": 0.5, "interval_95": [0.4, 0.6]}
    edits = {f"dpm_solver 20 scale {w}, strength 0.6": {"n": 50, "all": {**number, "floor": 0.01}, "ground": number} for w in (4, 2)}
    found = {"recipe": {"data": "scenes"}, "results": {"image-to-image": edits}}
    monkeypatch.setattr("minidiff.notebook.card.read_metadata", lambda path: found)
    lines = card("mnist-ddpm", "all", "ground", section="image-to-image").splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["dpm_solver", "20", "scale", w, "strength", "0.6", "50", *["0.5", "(0.4", "to", "0.6)"] * 2] for w in ("2,", "4,")
    ] + [["real", "scenes", "50", "0.01"]]  # fmt: skip


def test_the_benchmark_that_notebook_13_reads_is_the_one_that_is_published():
    found, published = measured("latent-factor"), (FOLDER.parents[1] / "benchmarks" / "BENCHMARKS.md").read_text("utf-8")
    cells = [(row["space"], row["budget"]) for row in found["rows"]]
    every = [budget for budget in found["budgets"] if all((space, budget) in cells for space in found["spaces"])]
    assert len(set(cells)) == len(cells) and len(every) >= 2 and found["spaces"] == ["pixel", "f = 1", "f = 2", "f = 4", "f = 8"]
    assert {space for space, budget in cells if budget == max(found["budgets"])} >= {"pixel", "f = 4", "f = 8"}
    for row in found["rows"]:
        value, low, high = row["frechet"]
        assert low < value < high and found["floor"] < low
        which, did = rf"\| {row['budget']:g} \| {re.escape(row['space'])} \|", rf"\| {row['steps']:,} \|"
        line = rf"{which}.*{did}.*\| {value:.1f} \| {low:.1f} to {high:.1f} \|"
        assert re.search(line, published), line
    with pytest.raises(ValueError, match="no benchmark named 'factor' is kept; there are families, latent-factor, resolution, resol"):
        measured("factor")


def test_the_comparison_that_notebook_00_reads_is_the_one_that_is_published():
    found, published = measured("families"), (FOLDER.parents[1] / "benchmarks" / "BENCHMARKS.md").read_text("utf-8")
    cells = [(row["data"], row["family"]) for row in found["rows"]]
    assert len(set(cells)) == len(cells) and cells == [(data, family) for data in WORLDS for family in FAMILIES]
    for row in found["rows"]:
        about, far = found["sets"][row["data"]], "frechet" if row["data"] == "mnist14" else "sliced_wasserstein"
        title = rf"^\*\*{row['data']}: {about['budget']:g} CPU s each, {row['seeds']} seeds"
        part = re.search(rf"{title}.*?(?=^\*\*|^## |\Z)", published, re.S | re.M)[0]
        nats, distance = ("-" if v is None else "{:.3f} ({:.3f} to {:.3f})".format(*v) for v in (row["nats"], row[far]))
        start = f"| {row['family']} | {row['parameters']:,} | {row['steps']:.0f} | {nats} | {row['kind'] or 'none'} | {distance} |"
        assert start in part, start
        assert row["nats"] is None or about["entropy"] is None or row["nats"][1] > about["entropy"] - 0.005  # no seed surer than the truth
    for data in ("ring", "moons", "swirl"):
        best = min(row["nats"][0] for row in found["rows"] if row["data"] == data and row["nats"])
        assert best - found["sets"][data]["entropy"] < 0.1, data
