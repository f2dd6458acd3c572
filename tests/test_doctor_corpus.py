"""The doctor before its corpus: nine of ten sick models named rightly, no healthy one accused. docs/DOCTOR.md holds the table."""

import pytest
import sick_models
import sick_models_blind
from sick_models import FIRST, HEALTHY, LAST, LATER
from sick_models_blind import BLIND, UNUSUAL

from minidiff.doctor import PAGES, examine

PARTS = {"FIRST": FIRST, "LATER": LATER, "LAST": LAST, "BLIND": BLIND}
SICK = [sick for part in PARTS.values() for sick in part]
RIGHT = [(sick_models, k, sick) for k, sick in enumerate(HEALTHY)] + [(sick_models_blind, k, sick) for k, sick in enumerate(UNUSUAL)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["FIRST", "LATER", "LAST"])
def test_nine_of_ten_sick_models_are_named_rightly(name):
    found = [(sick.defect, sick.what, examine(*sick_models.consult(sick, k)).diagnosis) for k, sick in enumerate(PARTS[name])]
    wrong = [row for row in found if row[0] != row[2]]
    assert len(wrong) <= 0.1 * len(found), wrong


UNTOLD = {"decay and 1 - decay exchanged": "weights that have come to rest look the same: nothing that is handed in tells the two apart"}


@pytest.mark.slow
@pytest.mark.parametrize(("k", "sick"), [*enumerate(BLIND)], ids=[sick.what for sick in BLIND])
def test_what_was_learnt_from_the_blind_part_stays_learnt(k, sick, request):
    if sick.what in UNTOLD:
        request.applymarker(pytest.mark.xfail(reason=UNTOLD[sick.what], strict=True))
    assert examine(*sick_models_blind.consult(sick, k)).diagnosis == sick.defect


@pytest.mark.slow
@pytest.mark.parametrize(("where", "k", "sick"), RIGHT, ids=[sick.what for _, _, sick in RIGHT])
def test_no_healthy_model_is_accused(where, k, sick):
    report = examine(*where.consult(sick, k))
    assert report.healthy, str(report)


def test_the_corpus_is_as_large_and_as_various_as_it_is_said_to_be():
    assert len(FIRST) + len(LATER) + len(LAST) >= 60 and len(LATER) + len(LAST) >= len(SICK) // 3
    assert len(BLIND) >= 40 and len(HEALTHY) >= 10 and len(UNUSUAL) >= 10
    assert {sick.defect for sick in SICK} == set(PAGES) - {"data scale"}  # that one needs no model: tests/test_doctor.py
    assert len({(sick.defect, sick.what) for sick in SICK}) == len(SICK)
