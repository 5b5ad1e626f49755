"""Aggregates of tiles: what is dropped, and that something is always left."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.bounds.aggregates import Aggregate


@pytest.mark.parametrize(
    ("aggregate", "dropped"),
    [
        (Aggregate("mean"), [0, 0, 0, 0, 0]),
        (Aggregate("median"), [0, 0, 1, 1, 7]),
        (Aggregate("trimmed_mean", 0.2), [0, 0, 0, 0, 3]),
        (Aggregate("trimmed_mean", 0.49), [0, 0, 1, 1, 7]),
    ],
)
def test_what_is_dropped(aggregate: Aggregate, dropped: list[int]) -> None:
    assert [aggregate.dropped(tiles) for tiles in (1, 2, 3, 4, 16)] == dropped


def test_scores() -> None:
    medians = np.array([9.0, 1.0, 2.0, 4.0, 84.0])
    assert Aggregate("mean").of(medians) == 20
    assert Aggregate("median").of(medians) == 4
    assert Aggregate("trimmed_mean", 0.2).of(medians) == 5
