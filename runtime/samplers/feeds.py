"""What an engine is fed with: noisy frames, or the noisy tiles of one frame after another.

A feed cuts one call, ``count`` samples of a lattice, into runs of the engine, all of one input shape, and fills their
inputs. The noise is that of the whole frame either way: sample s of a key is the same integers, whoever cuts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..frames.lattice import Lattice
from ..frames.tiles import Tiling
from ..noise.draw import draw_noise
from ..noise.table import NoiseTable

MOST_TILES = 8
"""Tiles of one run where the graph leaves it open. A frame's tiles are split into runs as equal as can be."""


class Feed(Protocol):
    """``input_shape``: of each run. ``shape``: of the scores of ``count`` samples."""

    input_shape: tuple[int, ...]

    def shape(self, count: int) -> tuple[int, ...]: ...

    def fill(self, key: bytes, start: int, count: int, inputs: Iterator[NDArray[np.float32]]) -> Iterator[Run]:
        """Draw samples ``start`` … into one input of ``inputs`` after another; the runs in order."""
        ...


@dataclass(frozen=True)
class Run:
    """One filled ``noisy`` input. Its first ``wanted`` scores are those from ``first`` on, samples row by row."""

    noisy: NDArray[np.float32]
    first: int
    wanted: int


class FrameFeed:
    """Whole frames, ``batch`` samples a run. A remainder is padded with the next samples, whose scores are ignored.

    ``sparing``: of memory. The lattice is added after the noise, in place of a copy of it in the engine's type.
    """

    def __init__(self, lattice: Lattice, table: NoiseTable, batch: int, *, sparing: bool = False) -> None:
        self._values = lattice.values
        self._clean = None if sparing else lattice.values.astype(np.float32)
        self._table = table
        self.input_shape: tuple[int, ...] = (batch, *lattice.values.shape)

    def shape(self, count: int) -> tuple[int, ...]:
        return (count,)

    def fill(self, key: bytes, start: int, count: int, inputs: Iterator[NDArray[np.float32]]) -> Iterator[Run]:
        batch = self.input_shape[0]
        for first in range(0, count, batch):
            noisy = next(inputs)
            draw_noise(self._table, key, start + first, noisy, self._clean)
            if self._clean is None:
                noisy += self._values
            yield Run(noisy, first, min(batch, count - first))


class TileFeed:
    """The tiles of one sample after another. No run has tiles of two samples, so what a run holds is the same in every
    call. ``batch``: tiles a run, None for runs of up to ``MOST_TILES``.
    """

    def __init__(self, lattice: Lattice, table: NoiseTable, tiling: Tiling, batch: int | None) -> None:
        self._clean = lattice.values.astype(np.float32)
        self._noisy = np.empty((1, *lattice.values.shape), np.float32)
        self._table = table
        self._tiling = tiling
        if batch is None:
            runs = -(-tiling.count // MOST_TILES)
            batch = -(-tiling.count // runs)
        self.input_shape: tuple[int, ...] = (batch, 3, tiling.tile, tiling.tile)

    def shape(self, count: int) -> tuple[int, ...]:
        return count, self._tiling.count

    def fill(self, key: bytes, start: int, count: int, inputs: Iterator[NDArray[np.float32]]) -> Iterator[Run]:
        batch, tiles = self.input_shape[0], self._tiling.count
        for sample in range(count):
            draw_noise(self._table, key, start + sample, self._noisy, self._clean)
            for tile in range(0, tiles, batch):
                noisy = next(inputs)
                self._tiling.cut(self._noisy[0], tile, noisy)
                yield Run(noisy, sample * tiles + tile, min(batch, tiles - tile))
