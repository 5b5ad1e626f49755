"""Key, sample index → integer Gaussian noise, the same bits on every machine.

**Law.** K = round(σZ) with Z ~ N(0, 1) and σ in lattice units, so P(K = k) = Φ((k+½)/σ) − Φ((k−½)/σ).
For an integer lattice value v, round(v + σZ) = v + K: adding K is the Gaussian mechanism followed by a
rounding, and a rounding is part of the certified function. Nothing is rounded in between, which is where
floating-point noise breaks the theorem (Voráček & Hein, arXiv 2207.07209; Jin et al., arXiv 2205.10159).

**Generator.** Philox4x64-10 (Salmon et al., SC'11), counter words (block, sample, stream, 0), the key two
little-endian 64-bit words: the stream of ``numpy.random.Philox``, which is the reference. Its first block
has counter word 1, hence the +1 below. The noise of value p (row-major in 3×h×w) of sample s uses

- stream 0: 16 bits, lane p mod 16 of block 1 + ⌊p/16⌋, pick one of 65,536 *cells*;
- stream 1: 64 bits, word p mod 4 of block 1 + ⌊p/4⌋, only where the cell is a *residual* one.

**Table.** Value k owns ⌊2¹⁶·P(K=k)⌋ whole cells. What the floors leave over, R cells, are residual: they
share one law, P(K=k) − ⌊…⌋/2¹⁶ rescaled, drawn by inverting its distribution function at 64 bits. At
σ = 0.12, k = 1, 8 bits that is one value in 500, at k = 2 one in 150. Whole cells are exact; the residual
thresholds are rounded to 2⁻⁶⁴, so the total variation distance of one value from the ideal law is below

    distance = (number of values)·2⁻⁶⁴·R/2¹⁶ + 2⁻⁷⁸           (≈ 10⁻¹⁸ at 8 bits)

and that of a whole frame below (values in the frame)·distance. ``certifier.py`` adds it to the shift.

The table is made in integer arithmetic alone, so it does not depend on anyone's ``erf``.

**Two paths, the same bits.** ``_noise.c`` draws where it was compiled when the package was installed; elsewhere
``fill_numpy`` below does, which is also what it is tested against. ``COMPILED`` says which.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from ..errors import ParameterError
from .table import NoiseTable

try:
    from . import _noise
except ImportError:  # no compiler took it where the package was installed
    COMPILED = False
else:
    COMPILED = True

KEY_BYTES = 16

_PIECE = 2**20  # values, a multiple of 16
_DENSE = 0.05  # above this share of residual cells, drawing the whole of stream 1 beats random access


def key_words(key: bytes) -> NDArray[np.uint64]:
    """The generator's key, uint64[2], of a 16-byte noise key. Raises ParameterError for another length."""
    if len(key) != KEY_BYTES:
        raise ParameterError(f"a noise key is {KEY_BYTES} bytes, not {len(key)}")
    return np.frombuffer(key, "<u8").astype(np.uint64)


def _stream(words: NDArray[np.uint64], sample: int, stream: int, first: int, blocks: int) -> NDArray[np.uint64]:
    """``blocks`` Philox blocks of a sample's stream, from block ``first`` on, counted from 0: uint64[4·blocks]."""
    counter = np.array([first, sample, stream, 0], np.uint64)
    bits: NDArray[np.uint64] = Philox(key=words, counter=counter).random_raw(4 * blocks)
    return bits


def philox4x64(
    block: NDArray[np.uint64], sample: NDArray[np.uint64], stream: int, words: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], ...]:
    """Philox4x64-10 at any counters (block, sample, stream, 0): four uint64 arrays of ``block``'s shape."""
    low32, shift = np.uint64(0xFFFFFFFF), np.uint64(32)

    def multiply(x: NDArray[np.uint64], m: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        # High and low words of the 128-bit product, from 32-bit halves, in as few temporaries as it takes.
        m_high, m_low = np.uint64(m >> 32), np.uint64(m & 0xFFFFFFFF)
        high, low = x >> shift, x & low32
        middle = low * m_low
        middle >>= shift
        cross = high * m_low
        middle += cross
        low *= m_high
        np.bitwise_and(middle, low32, out=cross)
        low += cross
        low >>= shift
        high *= m_high
        middle >>= shift
        high += middle
        high += low
        return high, x * np.uint64(m)

    x0, x1, x2, x3 = block, sample, np.full_like(block, stream), np.zeros_like(block)
    k0, k1 = int(words[0]), int(words[1])
    for _ in range(10):
        high0, low0 = multiply(x0, 0xD2E7470EE14C6C93)
        high1, low1 = multiply(x2, 0xCA5A826395121157)
        high1 ^= x1
        high1 ^= np.uint64(k0)
        high0 ^= x3
        high0 ^= np.uint64(k1)
        x0, x1, x2, x3 = high1, low1, high0, low0
        k0 = (k0 + 0x9E3779B97F4A7C15) % 2**64
        k1 = (k1 + 0xBB67AE8584CAA73B) % 2**64
    return x0, x1, x2, x3


def draw_noise(table: NoiseTable, key: bytes, start: int, out: NDArray[Any], clean: NDArray[Any] | None = None) -> None:
    """Fill ``out[i]`` with the integer noise of sample ``start + i``, plus ``clean`` where it is given.

    ``out``: int32 or float32, C-contiguous, count×(any shape); the values are integers in either type.
    ``key``: 16 bytes. ``start``: all samples drawn are numbers in 0 … 2⁶⁴−1. ``clean``: of the type and shape of
    ``out[0]``, C-contiguous, not a part of ``out``. Raises ParameterError for another type or layout, so that nothing
    is rounded by mistake.
    """
    if out.dtype not in (np.int32, np.float32) or not out.flags.c_contiguous or out.ndim < 2:
        raise ParameterError(
            f"noise is drawn into a contiguous count×… int32 or float32 array, not {out.dtype}{out.shape}"
        )
    if clean is not None and (clean.dtype != out.dtype or clean.shape != out.shape[1:] or not clean.flags.c_contiguous):
        raise ParameterError(
            f"what noise is added to is contiguous {out.dtype}{out.shape[1:]}, not {clean.dtype}{clean.shape}"
        )
    if clean is not None and np.may_share_memory(clean, out):
        raise ParameterError("what noise is added to is a part of the output: pass a copy")
    if not 0 <= start <= 2**64 - len(out):
        raise ParameterError(f"samples are numbered 0 … 2⁶⁴−1, not {start} … {start + len(out) - 1}")
    fill = fill_compiled if COMPILED else fill_numpy
    fill(table, key_words(key), int(start), out.reshape(len(out), -1), None if clean is None else clean.reshape(-1))


def fill_compiled(
    table: NoiseTable, words: NDArray[np.uint64], start: int, rows: NDArray[Any], clean: NDArray[Any] | None
) -> None:
    """``draw`` of checked arguments, in ``_noise.c``. ``rows``: count×size."""
    _noise.fill(rows, clean, table.cells, table.whole, table.residual_values, table.residual_upper, words, start)


def fill_numpy(
    table: NoiseTable, words: NDArray[np.uint64], start: int, rows: NDArray[Any], clean: NDArray[Any] | None
) -> None:
    """``draw`` of checked arguments, in NumPy, some values at a time: its bits take as much memory. ``rows``:
    count×size.
    """
    for first in range(0, rows.shape[1], _PIECE):
        _fill_piece(table, words, start, rows[:, first : first + _PIECE], first)
    if clean is not None:
        rows += clean


def _fill_piece(table: NoiseTable, words: NDArray[np.uint64], start: int, rows: NDArray[Any], first: int) -> None:
    """The values from ``first`` on, a multiple of 16. ``rows``: count×size."""
    cells = table.cells_float32 if rows.dtype == np.float32 else table.cells
    size = rows.shape[1]
    residual = []
    for i, row in enumerate(rows):
        bits = _stream(words, start + i, 0, first // 16, -(-size // 16)).astype("<u8", copy=False).view("<u2")[:size]
        np.take(cells, bits, out=row, mode="clip")
        residual.append(np.flatnonzero(bits >= table.whole))
    row_of = np.repeat(np.arange(len(rows)), [len(where) for where in residual])
    where = np.concatenate(residual)
    if len(where) > _DENSE * rows.size:
        dense = [_stream(words, start + i, 1, first // 4, -(-size // 4))[at] for i, at in enumerate(residual)]
        refined = np.concatenate(dense)
    else:
        samples = np.uint64(start) + row_of.astype(np.uint64)
        lanes = philox4x64(((first + where) >> 2).astype(np.uint64) + np.uint64(1), samples, 1, words)
        refined = np.choose(where & 3, lanes)
    rows[row_of, where] = table.residual_values[np.searchsorted(table.residual_upper, refined, side="right")]
