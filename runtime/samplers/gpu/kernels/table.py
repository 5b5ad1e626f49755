"""The noise table as ``noise.cu`` reads it: 12 KiB in place of 65,536 entries, and the same values.

Cells are sorted by value, and P(K = k) falls with |k|, so the values that own whole cells are consecutive: from one
cell to the next the value stays or grows by one. A bit a cell and a count every 32 cells therefore say it all.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ....errors import ParameterError
from ....noise.table import NoiseTable

BUCKET = 32
"""Cells a word of ``jumps``."""


@dataclass(frozen=True, eq=False)
class DeviceTable:
    """The law of one value of noise, as three arrays to upload and three numbers.

    ``jumps`` uint32[2048]: bit i of word b is set where cell 32b+i has another value than the cell before it in the
    word. ``ranks`` uint16[2048]: value of cell 32b less ``lowest``. Cells from ``whole`` on are residual. ``upper``
    uint64[m−1]: the thresholds of ``NoiseTable.residual_upper``; ``residual_lowest`` is the value below the first.
    """

    jumps: NDArray[np.uint32]
    ranks: NDArray[np.uint16]
    lowest: int
    whole: int
    upper: NDArray[np.uint64]
    residual_lowest: int

    def arguments(self, jumps: int, ranks: int, upper: int) -> tuple[int, ...]:
        """The arguments ``jumps`` … ``residual_lowest`` of the noise kernels, given where the arrays were put."""
        return jumps, ranks, self.lowest, self.whole, upper, len(self.upper), self.residual_lowest


@lru_cache(maxsize=8)
def device_table(table: NoiseTable) -> DeviceTable:
    """``table`` for the device. Raises ParameterError for one whose values are not consecutive."""
    cells = table.cells.copy()
    cells[table.whole :] = cells[table.whole - 1] if table.whole else 0
    steps = np.diff(cells, prepend=cells[0])
    if not np.isin(steps, (0, 1)).all() or not (np.diff(table.residual_values) == 1).all():
        raise ParameterError("the noise table's values are not consecutive: the GPU kernels cannot hold it")
    steps = steps.reshape(-1, BUCKET)
    steps[:, 0] = 0
    return DeviceTable(
        jumps=(steps.astype(np.uint32) << np.arange(BUCKET, dtype=np.uint32)).sum(axis=1, dtype=np.uint32),
        ranks=(cells[::BUCKET] - cells[0]).astype(np.uint16),
        lowest=int(cells[0]),
        whole=table.whole,
        upper=table.residual_upper,
        residual_lowest=int(table.residual_values[0]),
    )
