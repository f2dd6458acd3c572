"""The examples in the docstrings of the core, run as they stand."""

import doctest
import importlib

import numpy as np
import pytest

import minidiff

CORE = ["arrays", "gaussian", "schedule", "process", "prediction", "reverse", "bound", "sample", "wrappers", "toy"]
CORE += ["metrics", "neighbours", "estimate"]


@pytest.mark.parametrize("name", CORE)
def test_examples(name):
    module = importlib.import_module(f"minidiff.{name}")
    names = {n: getattr(minidiff, n) for n in minidiff.__all__} | vars(module) | {"np": np}
    result = doctest.testmod(module, globs=names, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0


def test_most_modules_have_examples():
    counts = [sum(len(t.examples) for t in doctest.DocTestFinder().find(importlib.import_module(f"minidiff.{name}"))) for name in CORE]
    assert sum(n > 0 for n in counts) >= 6, dict(zip(CORE, counts, strict=True))
