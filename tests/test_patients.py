"""The clinic of notebook 07: every patient shows its sign, the healthy one shows none, and the advice is right."""

import numpy as np
import pytest

from minidiff import doctor
from minidiff.course import verdict
from minidiff.notebook.patients import _SICK, DATA, DIAGNOSES, PATIENTS, examine

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


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_the_course_names_the_same_bugs(diagnosis):
    name = f"patient {letter(diagnosis)}"
    assert verdict(name, diagnosis).why == "right"
    for wrong in DIAGNOSES.keys() - {diagnosis}:
        assert f"not {wrong!r}; " in verdict(name, wrong).why and verdict(name, wrong).points == 0
    assert "not 'flu'; look at the numbers again" in verdict(name, "flu").why


SAID = {"noise scale": "variance for standard deviation", "schedule": "terminal SNR", "time": "index offset",
        "last step": "last-step noise", "coverage": "coverage", "healthy": None}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_the_doctor_agrees(name):
    rng, patient = np.random.default_rng(1), _SICK.get(name, PATIENTS["healthy"])
    low, high = patient.trained
    brought = doctor.Patient.of(patient.denoiser, lambda d, x: patient.sampler(d, x, rng), trained=rng.integers(low, high + 1, 2000))
    assert doctor.examine(brought, DATA.sample(500, rng)).diagnosis == SAID[name]
