"""The ledger checks itself first: a comparison that cannot fail proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minidiff.verify.registry import Check, close, equation, generator, monte_carlo


@equation(
    "ledger", "power", "a comparison fails when it should", function="minidiff.verify.monte_carlo", source="this ledger",
    formula=r"z=\frac{|a-b|}{\mathrm{SE}}<5",
)  # fmt: skip
def power() -> Iterator[Check]:
    """Shifted copies, NaN and shared noise must be caught; a fair comparison must not be."""
    sample = generator(0).standard_normal(100_000)
    shift = 10 / np.sqrt(100_000)
    yield monte_carlo("a mean of 0", 0.0, sample)
    yield close("a copy shifted by 10 standard errors passes", monte_carlo("shifted", 0.0, sample + shift).passed, 0, 0, "count")
    yield close("the standard error of 100,000 draws", monte_carlo("", 0.0, sample).standard_error, 1 / np.sqrt(100_000), 1e-4, "algebra")
    yield close("NaN passes", close("NaN", 1.0, np.nan, 1.0, "").passed or monte_carlo("NaN", np.nan, sample).passed, 0, 0, "count")
    off = [close("", x, y, 0.5, "").passed for x, y in ((0.0, 1.0), (1.0, 0.0), ([0.0, 0.0], [1.0, -1.0]))]
    yield close("a difference of 1 passes at 0.5: too small, too large, two that cancel", off, 0, 0, "count")
    try:
        monte_carlo("the same noise twice", sample, 2 * sample)
        shared = True
    except ValueError:
        shared = False
    yield close("two sides with the same noise pass", shared, 0, 0, "count")
