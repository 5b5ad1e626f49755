"""The torture in its short form: every case, few tries. ``make torture`` is the long one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.torture.__main__ import outcome, table
from tests.torture.case import SAFE, UNSEEN, Case, counted
from tests.torture.cases import CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_short(case: Case) -> None:
    found = outcome(case, case.short)
    assert found.tries >= case.short
    assert found.failures == ()


def test_failures_are_counted() -> None:
    """A case that fails shows in the table, and the same seed draws the same tries."""
    found = counted("c", iter([SAFE, "broken", UNSEEN, "broken"]), lambda: 0.0)
    assert found.failures == ("2 × broken",)
    assert "| c | 4 | 1 | 1 | 0 |" in table([found])
    drawn: list[float] = []

    def run(tries: int, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        drawn.extend(rng.random(tries))
        yield SAFE

    outcome(Case("x", 1, 1, run), 3)
    outcome(Case("x", 1, 1, run), 3)
    assert drawn[:3] == drawn[3:]
