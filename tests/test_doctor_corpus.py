"""The doctor before its corpus: nine of ten sick models named rightly, no healthy one accused. docs/DOCTOR.md holds the table."""

import pytest
import sick_models
from sick_models import FIRST, HEALTHY, LAST, LATER, consult

from minidiff.doctor import PAGES, examine

SICK = [(name, k, sick) for name in ("FIRST", "LATER", "LAST") for k, sick in enumerate(getattr(sick_models, name))]


def name_of(sick, k):
    patient, x_0 = consult(sick, k)
    return examine(patient, x_0).diagnosis


@pytest.mark.slow
def test_nine_of_ten_sick_models_are_named_rightly():
    wrong = [(sick.defect, sick.what, found) for _, k, sick in SICK if (found := name_of(sick, k)) != sick.defect]
    assert len(wrong) <= 0.1 * len(SICK), wrong


@pytest.mark.slow
@pytest.mark.parametrize("k", range(len(HEALTHY)), ids=lambda k: HEALTHY[k].what)
def test_no_healthy_model_is_accused(k):
    patient, x_0 = consult(HEALTHY[k], k)
    report = examine(patient, x_0)
    assert report.healthy, str(report)


def test_the_corpus_is_as_large_and_as_various_as_it_is_said_to_be():
    assert len(FIRST) + len(LATER) + len(LAST) >= 60 and len(LATER) + len(LAST) >= len(SICK) // 3 and len(HEALTHY) >= 10
    assert {sick.defect for _, _, sick in SICK} == set(PAGES) - {"data scale"}  # that one needs no model: tests/test_doctor.py
    assert len({(sick.defect, sick.what) for _, _, sick in SICK}) == len(SICK)
