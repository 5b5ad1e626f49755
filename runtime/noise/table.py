"""σ → the exact law of round(σZ), as a table."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError, ParameterError
from ..frames.lattice import EXACT_FLOAT32, Lattice, sigma_in_steps

CELLS = 1 << 16

_FIXED = 128  # fractional bits of the fixed-point arithmetic below

_ONE = 1 << _FIXED

_REACH = 11  # no value is further than this many σ: e^(−c²/2) falls below 2⁻⁸⁰ at c = 10.54


@dataclass(frozen=True, eq=False)
class NoiseTable:
    """The law of round(σZ) as cells and residual thresholds.

    ``cells`` int32[65536]: value of each whole cell; entries from ``whole`` on are 0 and never used.
    ``residual_values`` int32[m], ``residual_upper`` uint64[m−1]: value i is drawn when 64 random bits u
    satisfy upper[i−1] ≤ u < upper[i]. ``distance``: bound on the total variation distance of one value.
    """

    cells: NDArray[np.int32]
    whole: int
    residual_values: NDArray[np.int32]
    residual_upper: NDArray[np.uint64]
    distance: float
    cells_float32: NDArray[np.float32]

    @property
    def largest(self) -> int:
        """The largest magnitude that can be drawn, in lattice units."""
        return int(np.abs(self.residual_values).max())


def _exp(x: int) -> int:
    """exp(−x/2¹²⁸)·2¹²⁸ for 0 ≤ x, by its Taylor series."""
    total, term, n = 0, _ONE, 0
    while term:
        total += term
        n += 1
        term = -((term * x) >> _FIXED) // n if term > 0 else ((-term * x) >> _FIXED) // n
    return total


def _weights(sigma: Fraction) -> list[int]:
    """Fixed-point numbers proportional to P(K = k) for k = 0, 1, …, until they fall below 2⁻⁸⁰ of the first.

    With h = 1/σ and c = kh, ∫ φ over [c − h/2, c + h/2] = h φ(c) Σ_{j even} T_j/(j+1), where
    T_j = He_j(c)(h/2)ʲ/j! obeys T_{j+1} = (c T_j − (h/2) T_{j−1})·(h/2)/(j+1) (Hermite recurrence), and
    φ((k+1)h) = φ(kh)·e^{−h²/2}·e^{−kh²}.
    """
    h = (_ONE * sigma.denominator) // sigma.numerator
    half = h >> 1
    square = (h * h) >> _FIXED
    density, ratio, step = _ONE, _exp(square >> 1), _exp(square)
    weights: list[int] = []
    k = 0
    while True:
        c = k * h
        total, previous, term, j = 0, 0, _ONE, 0
        while j < 2 or abs(term) + abs(previous) > 1 << 16:
            if j % 2 == 0:
                total += term // (j + 1)
            following = (c * term - half * previous) >> _FIXED
            previous, term = term, ((following * half) >> _FIXED) // (j + 1)
            j += 1
        weights.append((density * total) >> _FIXED)
        if weights[-1] < weights[0] >> 80:
            return weights
        density = (density * ratio) >> _FIXED
        ratio = (ratio * step) >> _FIXED
        k += 1


@lru_cache(maxsize=8)
def noise_table(sigma: Fraction) -> NoiseTable:
    """The table for a standard deviation in lattice units (``frames.sigma_in_steps``).

    Raises ParameterError below half a lattice unit, where rounding would leave hardly any noise.
    """
    if sigma < Fraction(1, 2):
        raise ParameterError(f"sigma is {float(sigma):.3g} code values: it must be at least half of one")
    one_sided = _weights(sigma)
    top = len(one_sided) - 1
    values = range(-top, top + 1)
    weights = [one_sided[abs(k)] for k in values]
    total = sum(weights)
    counts = [CELLS * w // total for w in weights]
    whole = sum(counts)
    rest = CELLS - whole
    upper, accumulated = [], 0
    for weight, count in zip(weights, counts, strict=True):
        accumulated += CELLS * weight - count * total  # over total: the residual mass in cells
        upper.append((accumulated << 64) // (total * rest))
    cells = np.zeros(CELLS, np.int32)
    cells[:whole] = np.repeat(np.array(values, np.int32), counts)
    return NoiseTable(
        cells=cells,
        whole=whole,
        residual_values=np.array(values, np.int32),
        residual_upper=np.array(upper[:-1], np.uint64),
        distance=len(upper) * 2.0**-64 * rest / CELLS + 2.0**-78,
        cells_float32=cells.astype(np.float32),
    )


def table_for(sigma: float, lattice: Lattice) -> NoiseTable:
    """The table for σ on the engine's domain and this frame's lattice.

    Raises FrameError where value plus noise would no longer be exact in float32, the engine's input type.
    """
    in_steps = sigma_in_steps(sigma, lattice.bit_depth, lattice.downscale)
    if lattice.steps + _REACH * in_steps > EXACT_FLOAT32:
        raise FrameError(
            f"{lattice.bit_depth}-bit values on a {lattice.downscale}×{lattice.downscale} box leave float32's exact "
            "integers: use a smaller downscale or bit depth"
        )
    return noise_table(in_steps)
