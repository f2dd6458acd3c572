"""The explorer of families: every choice draws its own samples and says its own numbers; what was not measured is said not to be."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from minidiff.notebook.family_widgets import family_explorer, panel, table

PNG = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(0)


def found():
    """What a small benchmark would have recorded, of three kinds of data; the GAN was not tried on digits."""
    sets, rows = {}, []
    for name, dims, entropy in (("line", 1, -0.04), ("ring", 2, -0.35), ("mnist14", 196, None)):
        floor = {"sliced_wasserstein": 0.0123, "recall": 0.97}
        sets[name] = {"dims": dims, "unit": "nats/dim", "budget": 12.0, "entropy": entropy, "floor": floor}
        sets[name]["data"] = RNG.uniform(-1, 1, (40, dims)).tolist()
        for k, family in enumerate(("gan", "flow")):
            row = {"data": name, "family": family, "seeds": 2, "parameters": 30_000 + k, "steps": 600.0, "seconds_per_1000": 0.01}
            row |= {"kind": "exact" if k else None, "nats": [0.111, 0.1, 0.122] if k else None, "modes": [8, 5 + k] if dims < 3 else None}
            row |= {"sliced_wasserstein": [0.05 + k, 0.04, 0.06], "recall": [0.9, 0.8, 1.0]}
            if (name, family) != ("mnist14", "gan"):
                rows.append(row | {"samples": RNG.uniform(-1, 1, (20, dims)).tolist()})
    return {"sets": sets, "rows": rows}


def bounded(about):
    """The same, had the flow only a bound to show."""
    return about | {"rows": [row | {"kind": "bound"} if row["kind"] else row for row in about["rows"]]}


def test_every_choice_has_its_own_picture_and_its_own_numbers():
    made, pictures = family_explorer(found()), {}
    for data, family in itertools.product(("line", "ring", "mnist14"), ("gan", "flow")):
        made.controls.data.value, made.controls.family.value = data, family
        assert bytes(made.image.value).startswith(PNG)
        pictures[data, family] = bytes(made.image.value)
        if (data, family) == ("mnist14", "gan"):
            assert made.text == "not measured"
            continue
        assert f"{30_000 + (family == 'flow'):,} parameters, 600 steps in 12 CPU s, 2 seeds" in made.text
        assert ("-log p: none" in made.text) == (family == "gan")
        assert ("0.111 (0.1 to 0.122) nats/dim, exact" in made.text) == (family == "flow")
        assert ("least possible" in made.text) == (family == "flow" and data != "mnist14")
        assert f"sliced wasserstein: {'1.05' if family == 'flow' else '0.05'} (0.04 to 0.06); real data 0.0123" in made.text
        assert ("modes met, seed by seed: 8, " in made.text) == (data != "mnist14")
    assert len(set(pictures.values())) == 6


def test_the_table_has_a_line_for_each_family_and_says_what_is_a_bound_and_what_is_not():
    about = found()
    for name, sets in about["sets"].items():
        sets["ranks"] = {"nats": f"flow first in 2 of 2 seeds of {name}", "sliced_wasserstein": "nobody is measured"}
    title, head, gan, flow, real, *ranks = table(about, "ring").splitlines()
    assert title == "ring, 12 s of one core for each" and "-log p, nats/dim" in head and "sliced wasserstein" in head
    assert gan.split() == ["gan", "none", "0.05", "(0.04..0.06)", "0.90", "8", "5", "0.010"]
    assert flow.split() == ["flow", "=", "0.111", "(0.1..0.12)", "1.05", "(0.04..0.06)", "0.90", "8", "6", "0.010"]
    assert real.split() == ["real", "data", ">=", "-0.35", "0.0123", "0.97"]
    assert max(map(len, (gan, flow, real, head))) < 95 and "<= 0.111" in table(bounded(about), "ring")
    assert ranks == ["by -log p: flow first in 2 of 2 seeds of ring", "by sliced wasserstein: nobody is measured"]
    columns = {line.index(cell) for line, cell in ((head, "recall"), (gan, "0.90"), (flow, "0.90"), (real, "0.97"))}
    assert len(columns) == 1 and len(table(about, "mnist14").splitlines()) == 6  # the GAN was not measured there
    with pytest.raises(ValueError, match="'rings' was not measured; there are line, ring, mnist14"):
        table(about, "rings")


@pytest.mark.parametrize("dims", [1, 2, 196])
def test_a_panel_shows_what_it_is_given(dims):
    x = RNG.uniform(-1, 1, (20, dims))
    axes = Figure().subplots()
    panel(axes, x, "title")
    if dims == 1:
        assert sum(bar.get_height() for bar in axes.patches) == 20
    elif dims == 2:
        np.testing.assert_allclose(axes.collections[0].get_offsets(), x)
    else:
        np.testing.assert_allclose(axes.images[0].get_array()[14:28, :14], x[4].reshape(14, 14))  # four in a row: the fifth below the first
    assert axes.get_title() == "title"
