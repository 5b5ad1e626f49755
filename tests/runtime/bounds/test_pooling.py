"""pooling.py: libvmaf's pools, and bounds that never say more than the frames' own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtime import ParameterError
from runtime.bounds.pooling import pool, pool_intervals


def test_pools_by_hand() -> None:
    pooled = pool([1.0, 3.0])
    assert pooled == {"min": 1, "max": 3, "mean": 2, "harmonic_mean": pytest.approx(2 / (1 / 2 + 1 / 4) - 1)}
    with pytest.raises(ParameterError, match="no frame"):
        pool([])


def test_pooled_intervals_hold_whatever_the_true_values() -> None:
    rng = np.random.default_rng(3)
    for _ in range(500):
        count = int(rng.integers(1, 6))
        lower = rng.uniform(-0.9, 100, count)
        upper = lower + rng.exponential(5, count)
        truth = pool(rng.uniform(lower, upper).tolist())
        low, high = pool_intervals(lower.tolist(), upper.tolist())
        for name, value in truth.items():
            assert low[name] <= value <= high[name]


@pytest.mark.parametrize("lowest", [-5.0, -1.0, -math.inf])
def test_harmonic_mean_has_no_bounds_where_it_is_not_monotone(lowest: float) -> None:
    low, high = pool_intervals([lowest, 1.9], [3.0, 1.9])
    assert math.isnan(low["harmonic_mean"])
    assert math.isnan(high["harmonic_mean"])
    assert high["mean"] == pytest.approx(2.45)


@pytest.mark.filterwarnings("error")
def test_bounds_that_are_all_infinite_pool_without_a_warning() -> None:
    low, high = pool_intervals([-math.inf, -math.inf], [math.inf, math.inf])
    assert (low["mean"], high["mean"]) == (-math.inf, math.inf)
    assert pool([math.inf, math.inf])["harmonic_mean"] == math.inf


def test_one_frame_pools_to_itself() -> None:
    rng = np.random.default_rng(0)
    for value in rng.uniform(0, 100, 200).tolist():
        assert set(pool([value]).values()) == {value}
