"""The noise: NumPy's Philox bit for bit, the exact law, and the same bits in either path, batch and type."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Philox
from scipy.stats import chi2, norm

from runtime.errors import FrameError, ParameterError
from runtime.frames.lattice import Lattice, sigma_in_steps
from runtime.noise import draw as drawing
from runtime.noise.draw import draw_noise, philox4x64
from runtime.noise.table import CELLS, NoiseTable, noise_table, table_for

KEY = bytes(range(16))
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["compiled", "numpy"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two paths of ``draw``. Where one of them is missing its tests say so."""
    compiled = request.param == "compiled"
    if compiled and not drawing.COMPILED:
        pytest.skip("_noise.c was not compiled: see `biqa doctor`")
    monkeypatch.setattr(drawing, "COMPILED", compiled)


def _both_paths(
    table: NoiseTable, start: int, shape: tuple[int, ...], dtype: type, clean: np.ndarray | None
) -> list[np.ndarray]:
    """What either path draws, over different rubbish, as bits."""
    if not drawing.COMPILED:
        pytest.skip("_noise.c was not compiled: see `biqa doctor`")
    drawn = []
    for compiled in (True, False):
        out = np.full(shape, 77 + compiled, dtype)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawing, "COMPILED", compiled)
            draw_noise(table, KEY, start, out, clean)
        drawn.append(out.view(np.uint32))
    return drawn


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
    """The docstring of draw.py, one value at a time, on NumPy's generator."""
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


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("sigma", [Fraction(3, 2), Fraction(12240, 100), Fraction(1966)])
def test_draw_follows_its_definition(sigma: Fraction) -> None:
    """Small σ, the default one, and one wide enough for the dense path."""
    table = noise_table(sigma)
    out = np.empty((2, 3, 11, 23), np.int32)
    draw_noise(table, KEY, 5, out)
    for sample in (5, 6):
        assert out[sample - 5].reshape(-1).tolist() == _reference(table, KEY, sample, 3 * 11 * 23)


SIZES = (1, 3, 15, 16, 17, 31, 2047, 2048, 2049, 2064, 6151)
"""Around the blocks of 4 and 16 values and the tiles of 2,048 that the compiled path works in."""


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
@pytest.mark.parametrize("sigma", [Fraction(1, 2), Fraction(306, 10), Fraction(1224, 10), Fraction(1966)])
def test_compiled_draws_the_bits_of_numpy(sigma: Fraction, dtype: type) -> None:
    table, rng = noise_table(sigma), np.random.default_rng(5)
    for size in SIZES:
        clean = rng.integers(0, 4 * 255, size).astype(dtype)
        for start, count in ((0, 2), (1 << 40, 1), (2**64 - 3, 3)):
            for added in (None, clean):
                one, other = _both_paths(table, start, (count, size), dtype, added)
                assert np.array_equal(one, other), (size, start, added is None)


@pytest.mark.parametrize("whole", [0, 1, 2**15 - 1, 2**15, 2**15 + 1, 60000, 2**16 - 1, 2**16])
def test_compiled_finds_every_residual_cell(whole: int) -> None:
    """Whatever the share of residual cells, from none to all: the law is wrong here, the bits are the same."""
    table = replace(noise_table(Fraction(1224, 10)), whole=whole)
    one, other = _both_paths(table, 3, (2, 5000), np.int32, None)
    assert np.array_equal(one, other)


def test_compiled_counts_a_threshold_that_is_drawn() -> None:
    """Thresholds that are the very words drawn, and all in one place or none at all."""
    words = np.random.Philox(key=drawing.key_words(KEY), counter=[0, 6, 1, 0]).random_raw(60)
    cells = np.zeros(CELLS, np.int32)
    for upper in (np.sort(words), np.full(60, words[7]), np.full(60, 2**64 - 1, np.uint64), np.empty(0, np.uint64)):
        values = np.arange(-30, len(upper) - 29, dtype=np.int32)
        one, other = _both_paths(
            NoiseTable(cells, 0, values, upper, 0.0, cells.astype(np.float32)), 6, (1, 60), np.int32, None
        )
        assert np.array_equal(one, other)


def test_sums_wrap_and_round_alike() -> None:
    """Where a sum leaves int32 or float32's integers, which no lattice does."""
    table = noise_table(Fraction(1224, 10))
    for clean in (np.full(100, 2**31 - 3, np.int32), np.full(100, 2**30 + 1 / 3, np.float32)):
        one, other = _both_paths(table, 0, (2, 100), clean.dtype.type, clean)
        assert np.array_equal(one, other)


@pytest.mark.usefixtures("path")
def test_clean_is_added() -> None:
    table, clean = noise_table(Fraction(100)), np.arange(210, dtype=np.float32).reshape(3, 7, 10)
    alone, noisy = np.empty((2, 2, 3, 7, 10), np.float32)
    draw_noise(table, KEY, 4, alone)
    draw_noise(table, KEY, 4, noisy, clean)
    assert np.array_equal(noisy, alone + clean)


def test_without_a_compiler_numpy_draws() -> None:
    """The package as it is where ``_noise.c`` was not compiled: the same bits, and doctor says what to do."""
    table, out = noise_table(Fraction(100)), np.empty((2, 100), np.int32)
    draw_noise(table, KEY, 0, out)
    code = """if True:
        import sys
        sys.modules["runtime.noise._noise"] = None
        from fractions import Fraction
        import numpy as np
        from runtime.__main__ import main
        from runtime.noise import COMPILED, draw_noise, noise_table
        assert not COMPILED
        out = np.empty((2, 100), np.int32)
        draw_noise(noise_table(Fraction(100)), bytes(range(16)), 0, out)
        print(out.tobytes().hex())
        main(["doctor"])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    first, *lines = done.stdout.splitlines()
    assert first == out.tobytes().hex()
    assert any(line.split()[:2] == ["noise", "NumPy,"] and "install gcc or clang" in line for line in lines)


def test_compiled_checks_what_it_is_given() -> None:
    """``draw`` asks first; this is what keeps a mistake in it from the memory of others."""
    compiled = pytest.importorskip("runtime._noise")
    table, words = noise_table(Fraction(100)), drawing.key_words(KEY)
    good = {
        "out": np.empty((2, 5), np.float32),
        "clean": np.zeros(5, np.float32),
        "cells": table.cells,
        "whole": table.whole,
        "residual_values": table.residual_values,
        "residual_upper": table.residual_upper,
        "key": words,
        "start": 0,
    }
    compiled.fill(*good.values())
    unaligned = np.frombuffer(bytearray(4 * CELLS + 1), np.uint8)[1:].view(np.int32)
    read_only = np.empty((2, 5), np.float32)
    read_only.setflags(write=False)
    for name, bad in (
        ("out", np.empty((2, 5), np.float64)),
        ("out", np.empty((2, 5), ">f4")),
        ("out", np.empty((2, 5), np.uint32)),
        ("out", np.empty(5, np.float32)),
        ("out", np.empty((2, 10), np.float32)[:, ::2]),
        ("out", read_only),
        ("out", None),
        ("clean", np.zeros(6, np.float32)),
        ("clean", np.zeros(5, np.int32)),
        ("clean", good["out"][1]),
        ("cells", table.cells[1:]),
        ("cells", unaligned),
        ("cells", table.cells_float32),
        ("whole", -1),
        ("whole", CELLS + 1),
        ("residual_values", table.residual_values[1:]),
        ("residual_values", np.empty(0, np.int32)),
        ("residual_upper", table.residual_upper[1:]),
        ("residual_upper", table.residual_upper.view(np.float64)),
        ("key", words[:1]),
        ("key", KEY),
        ("start", -1),
        ("start", 2**64),
        ("start", 0.5),
    ):
        with pytest.raises((TypeError, ValueError, OverflowError, BufferError)):
            compiled.fill(*{**good, name: bad}.values())


@pytest.mark.usefixtures("path")
def test_same_integers_in_any_batch_and_type() -> None:
    table = noise_table(sigma_in_steps(0.12, 8, 2))
    whole = np.empty((9, 3, 32, 33), np.int32)
    draw_noise(table, KEY, 0, whole)
    for start, count in ((0, 1), (4, 3), (8, 1)):
        part = np.empty((count, 3, 32, 33), np.float32)
        draw_noise(table, KEY, start, part)
        assert np.array_equal(part, whole[start : start + count])


@pytest.mark.parametrize("dense", [0.0, 1.0])
def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, dense: float) -> None:
    """NumPy draws a large frame piece by piece, each from its own block on."""
    monkeypatch.setattr(drawing, "COMPILED", False)
    monkeypatch.setattr(drawing, "_DENSE", dense)
    table, clean = noise_table(Fraction(7)), np.arange(3 * 7 * 11, dtype=np.int32).reshape(3, 7, 11)
    whole, pieces = np.empty((2, 2, 3, 7, 11), np.int32)
    draw_noise(table, KEY, 5, whole, clean)
    monkeypatch.setattr(drawing, "_PIECE", 32)
    draw_noise(table, KEY, 5, pieces, clean)
    assert np.array_equal(whole, pieces)


def test_other_key_or_sample_is_other_noise() -> None:
    table = noise_table(Fraction(100))
    out = np.empty((2, 1000), np.int32)
    draw_noise(table, KEY, 0, out)
    other = np.empty_like(out)
    draw_noise(table, KEY[::-1], 0, other)
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
        draw_noise(table, KEY, start, out)
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
    draw_noise(noise_table(sigma_in_steps(0.12, 8, 2)), KEY, 0, out)
    flat = out.reshape(-1) / out.std()
    for lag in (1, 4, 16, 256, 196608):
        assert abs(np.mean(flat[:-lag] * flat[lag:])) < 5 / np.sqrt(flat.size - lag)


@pytest.mark.usefixtures("path")
def test_bad_requests() -> None:
    table = noise_table(Fraction(100))
    with pytest.raises(ParameterError, match="16 bytes"):
        draw_noise(table, b"short", 0, np.empty((1, 4), np.int32))
    with pytest.raises(ParameterError, match="int32 or float32"):
        draw_noise(table, KEY, 0, np.empty((1, 4), np.float16))
    with pytest.raises(ParameterError, match="contiguous"):
        draw_noise(table, KEY, 0, np.empty((4, 4), np.int32)[:, ::2])
    with pytest.raises(ParameterError, match="numbered"):
        draw_noise(table, KEY, 2**64 - 1, np.empty((2, 4), np.int32))
    with pytest.raises(ParameterError, match="numbered"):
        draw_noise(table, KEY, -1, np.empty((2, 4), np.int32))
    out = np.empty((2, 4), np.int32)
    for clean in (
        np.zeros(4, np.float32),
        np.zeros(3, np.int32),
        np.zeros((2, 4), np.int32),
        np.zeros(8, np.int32)[::2],
    ):
        with pytest.raises(ParameterError, match="what noise is added to is contiguous"):
            draw_noise(table, KEY, 0, out, clean)
    with pytest.raises(ParameterError, match="a part of the output"):
        draw_noise(table, KEY, 0, out, out[1])
    out.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        draw_noise(table, KEY, 0, out)
    with pytest.raises(ParameterError, match="half"):
        noise_table(Fraction(1, 3))
    with pytest.raises(FrameError, match="float32"):
        table_for(0.12, Lattice(np.zeros((3, 2, 2), np.int32), 16, 16))
