"""The constructions that ``benchmarks.stopping`` compares are all valid: their exact error is at most α/2 a side."""

from __future__ import annotations

import pytest
from scipy.special import ndtr

from benchmarks.stopping import ALPHA, SHIFTS, designs, gate
from runtime.bounds.stopping import crossing


@pytest.mark.parametrize("shift", SHIFTS)
def test_every_design_is_valid(shift: float) -> None:
    for name, (looks, ranks) in designs(shift).items():
        error = crossing(looks, ranks, float(ndtr(-shift)))
        assert error <= ALPHA / 2, name
        assert error > 0
        if name == "exact (kept)":
            assert error > 0.9 * ALPHA / 2


def test_gate_counts_samples_by_hand() -> None:
    """Two looks: 2 samples, pass unless one of them is below; else 4, pass with at most one below."""
    expected, passed = gate(([2, 4], [1, 2]), 0.25)
    first = 0.75**2
    second = 2 * 0.25 * 0.75 * 0.75**2
    assert expected == pytest.approx(2 + 2 * (1 - first))
    assert passed == pytest.approx(first + second)
