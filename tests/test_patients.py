"""The clinic of notebook 07: every patient shows its sign, the healthy one shows none, and the advice is right."""

import pytest

from minidiff.notebook.patients import _SICK, DIAGNOSES, PATIENTS, examine, name_it

FOUND = {name: examine(patient) for name, patient in PATIENTS.items()}
SIGNS = {
    "schedule": lambda f: f["L_T"] > 0.1,
    "coverage": lambda f: f["trained"] != (1, 50) and max(f["eps"].values()) > 2,
    "time": lambda f: f["trained"] == (1, 50) and max(f["eps"].values()) > 1.2,
    "noise scale": lambda f: f["clump"] < 0.6,
    "last step": lambda f: f["clump"] > 1.12 and f["L_T"] < 0.01,
}


def letter(diagnosis):
    return next(name for name, patient in PATIENTS.items() if patient is _SICK[diagnosis])


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_each_patient_shows_its_own_sign_and_no_other(diagnosis):
    found = FOUND[letter(diagnosis)]
    assert {name for name, sign in SIGNS.items() if sign(found)} == {diagnosis}


def test_the_healthy_one_shows_none():
    found = FOUND["healthy"]
    assert not any(sign(found) for sign in SIGNS.values())
    assert found["distance"].low < 1.5 * found["distance"].floor


def test_distances_alone_convict_one_of_five():  # the lesson: samples hide most bugs
    convicted = [name for name, found in FOUND.items() if found["distance"].low > 1.5 * found["distance"].floor]
    assert convicted == [letter("noise scale")]


def test_the_advice(capsys):
    for diagnosis in DIAGNOSES:
        sick = letter(diagnosis)
        assert name_it(sick, diagnosis) and "right" in capsys.readouterr().out
        wrong = next(d for d in DIAGNOSES if d != diagnosis)
        assert not name_it(sick, wrong) and f"not '{wrong}'; its" in capsys.readouterr().out.replace("only its", "its")
    assert not name_it("A", None) and "no diagnosis" in capsys.readouterr().out
    assert not name_it("A", "flu") and "not in the book" in capsys.readouterr().out
