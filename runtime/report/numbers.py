"""Scores → whole numbers of a unit 10⁻ᵈ, bounds rounded outwards, so that what a page shows is certified too.

The page shortens them further with whole-number arithmetic, and outwards again: no step rounds a bound inwards.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

DIGITS = 6
"""Of the largest score, before and after the point, that the page's data keep."""


def unit_digits(scores: Iterable[float | None]) -> int:
    """d, where scores are kept in units of 10⁻ᵈ: 4 for scores up to 100, 6 for scores up to 1."""
    largest = max((abs(score) for score in scores if score is not None and math.isfinite(score)), default=1.0)
    before = math.floor(math.log10(largest)) + 1 if largest > 0 else 1
    return min(12, max(2, DIGITS - before))


def nearest(score: float | None, digits: int) -> int | None:
    """To the nearest unit; None where there is no finite score."""
    return None if score is None or not math.isfinite(score) else round(_units(score, digits))


def down(lower: float | None, digits: int) -> int | None:
    """A lower bound, to the unit below; None where there is none."""
    return None if lower is None or not math.isfinite(lower) else math.floor(_units(lower, digits))


def up(upper: float | None, digits: int) -> int | None:
    """An upper bound, to the unit above; None where there is none."""
    return None if upper is None or not math.isfinite(upper) else math.ceil(_units(upper, digits))


def _units(value: float, digits: int) -> Fraction:
    """Exact."""
    scale: int = 10**digits
    return Fraction(value) * scale
