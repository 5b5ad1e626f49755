"""The noise: NumPy's Philox bit for bit, the exact law, and independence of how it is asked for."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.random import Philox
from scipy.stats import chi2, norm

from runtime.errors import FrameError, ParameterError
from runtime.frames import Lattice, sigma_in_steps
from runtime.noise import CELLS, NoiseTable, draw, noise_table, philox4x64, table_for

KEY = bytes(range(16))


def test_philox_equals_numpy_at_random_counters() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        words = rng.integers(0, 2**64, 2, np.uint64)
        block, sample = (rng.integers(0, 2**64 - 1, 5, np.uint64) for _ in range(2))
        stream = int(rng.integers(0, 2))
        ours = np.array(philox4x64(block + np.uint64(1), sample, stream, words)).T
        for row, b, s in zip(ours, block, sample, strict=True):
            assert (
                row.tolist() == Philox(key=words, counter=np.array([b, s, stream, 0], np.uint64)).random_raw(4).tolist()
            )


def _reference(table: NoiseTable, key: bytes, sample: int, size: int) -> list[int]:
    """The docstring of noise.py, one value at a time, on NumPy's generator."""
    words = np.frombuffer(key, "<u8")
    values = []
    for p in range(size):
        block = Philox(key=words, counter=[p // 16, sample, 0, 0]).random_raw(4)
        cell = (int(block[(p % 16) // 4]) >> (16 * (p % 4))) & 0xFFFF
        if cell < table.whole:
            values.append(int(table.cells[cell]))
        else:
            u = Philox(key=words, counter=[p // 4, sample, 1, 0]).random_raw(4)[p % 4]
            values.append(int(table.residual_values[int((table.residual_upper <= u).sum())]))
    return values


@pytest.mark.parametrize("sigma", [Fraction(3, 2), Fraction(12240, 100), Fraction(1966)])
def test_draw_follows_its_definition(sigma: Fraction) -> None:
    """Small σ, the default one, and one wide enough for the dense path."""
    table = noise_table(sigma)
    out = np.empty((2, 3, 11, 23), np.int32)
    draw(table, KEY, 5, out)
    for sample in (5, 6):
        assert out[sample - 5].reshape(-1).tolist() == _reference(table, KEY, sample, 3 * 11 * 23)


def test_same_integers_in_any_batch_and_type() -> None:
    table = noise_table(sigma_in_steps(0.12, 8, 2))
    whole = np.empty((9, 3, 32, 33), np.int32)
    draw(table, KEY, 0, whole)
    for start, count in ((0, 1), (4, 3), (8, 1)):
        part = np.empty((count, 3, 32, 33), np.float32)
        draw(table, KEY, start, part)
        assert np.array_equal(part, whole[start : start + count])


def test_other_key_or_sample_is_other_noise() -> None:
    table = noise_table(Fraction(100))
    out = np.empty((2, 1000), np.int32)
    draw(table, KEY, 0, out)
    other = np.empty_like(out)
    draw(table, KEY[::-1], 0, other)
    assert abs(np.corrcoef(out[0], out[1])[0, 1]) < 0.2
    assert abs(np.corrcoef(out[0], other[0])[0, 1]) < 0.2


@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(306, 10), Fraction(1224, 10), Fraction(491)])
def test_table_is_the_exact_law(sigma: Fraction) -> None:
    """Probability of each value, summed from the table in exact fractions, against 40-digit Gaussian integrals."""
    mpmath = pytest.importorskip("mpmath")
    table = noise_table(sigma)
    rest = CELLS - table.whole
    mass = dict.fromkeys(table.residual_values.tolist(), Fraction(0))
    for value, count in zip(*np.unique(table.cells[: table.whole], return_counts=True), strict=True):
        mass[int(value)] += Fraction(int(count), CELLS)
    edges = [0, *map(int, table.residual_upper), 1 << 64]
    for value, (low, high) in zip(table.residual_values.tolist(), pairwise(edges), strict=True):
        mass[value] += Fraction(high - low, 1 << 64) * Fraction(rest, CELLS)
    assert sum(mass.values()) == 1
    with mpmath.workdps(40):
        scale = mpmath.sqrt(2) * mpmath.mpf(sigma.numerator) / sigma.denominator
        far = 0
        for value, p in mass.items():
            a = abs(value)
            exact = (mpmath.erfc((a - 0.5) / scale) - mpmath.erfc((a + 0.5) / scale)) / 2
            far += abs(mpmath.mpf(p.numerator) / p.denominator - exact)
        top = max(mass)
        far += mpmath.erfc((top + 0.5) / scale)
        assert far / 2 <= table.distance


def _chi_square_p(counts: np.ndarray, expected: np.ndarray) -> float:
    """p-value after joining cells until each expects at least 20."""
    joined_counts, joined_expected, c, e = [], [], 0.0, 0.0
    for count, expectation in zip(counts, expected, strict=True):
        c, e = c + count, e + expectation
        if e >= 20:
            joined_counts.append(c)
            joined_expected.append(e)
            c, e = 0.0, 0.0
    joined_counts[-1] += c
    joined_expected[-1] += e
    observed, wanted = np.array(joined_counts), np.array(joined_expected)
    return float(chi2.sf(((observed - wanted) ** 2 / wanted).sum(), len(wanted) - 1))


def _chi_square_of_draws(draws: int, batch: int) -> float:
    sigma = 122.4
    table = noise_table(sigma_in_steps(0.12, 8, 2))
    out = np.empty((batch, 3, 256, 256), np.int32)
    top = table.largest
    counts = np.zeros(2 * top + 1, np.int64)
    for start in range(0, draws // out[0].size + 1, batch):
        draw(table, KEY, start, out)
        counts += np.bincount(out.reshape(-1) + top, minlength=2 * top + 1)
    values = np.arange(-top, top + 1)
    tail = np.abs(values)
    p = norm.sf((tail - 0.5) / sigma) - norm.sf((tail + 0.5) / sigma)
    return _chi_square_p(counts, counts.sum() * p)


def test_chi_square() -> None:
    """10⁷ draws against the exact law. The key is fixed; a fresh one would fail with probability 10⁻⁴."""
    assert _chi_square_of_draws(10**7, 8) > 1e-4


@pytest.mark.long
def test_chi_square_long() -> None:
    """10⁸ draws. False-alarm rate for a fresh key: 10⁻⁴."""
    assert _chi_square_of_draws(10**8, 8) > 1e-4


def test_neighbours_are_uncorrelated() -> None:
    """Lags 1, 4, 16, a row and a sample; limit 5 standard errors (false alarm 6·10⁻⁷ each)."""
    out = np.empty((4, 3, 256, 256), np.float32)
    draw(noise_table(sigma_in_steps(0.12, 8, 2)), KEY, 0, out)
    flat = out.reshape(-1) / out.std()
    for lag in (1, 4, 16, 256, 196608):
        assert abs(np.mean(flat[:-lag] * flat[lag:])) < 5 / np.sqrt(flat.size - lag)


def test_bad_requests() -> None:
    table = noise_table(Fraction(100))
    with pytest.raises(ParameterError, match="16 bytes"):
        draw(table, b"short", 0, np.empty((1, 4), np.int32))
    with pytest.raises(ParameterError, match="int32 or float32"):
        draw(table, KEY, 0, np.empty((1, 4), np.float16))
    with pytest.raises(ParameterError, match="contiguous"):
        draw(table, KEY, 0, np.empty((4, 4), np.int32)[:, ::2])
    with pytest.raises(ParameterError, match="half"):
        noise_table(Fraction(1, 3))
    with pytest.raises(FrameError, match="float32"):
        table_for(0.12, Lattice(np.zeros((3, 2, 2), np.int32), 16, 16))
