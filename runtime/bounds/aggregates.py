"""The medians of a frame's tiles → the frame's score: mean, trimmed mean or median. It is part of a model's score.

All three drop as many tiles at each end of their order and average the rest. The trimmed mean drops ⌊share·T⌋ of T at
each end, the median leaves one or two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AGGREGATES = ("mean", "trimmed_mean", "median")
TRIM = 0.2
"""What a trimmed mean drops at each end where nobody says another share."""


@dataclass(frozen=True)
class Aggregate:
    """``name``: of ``AGGREGATES``. ``trim``: the share that a trimmed mean drops at each end, 0 for the others."""

    name: str = "mean"
    trim: float = 0.0

    def dropped(self, tiles: int) -> int:
        """Tiles dropped at each end, of ``tiles``; at least one is left."""
        if self.name == "mean":
            return 0
        most = (tiles - 1) // 2
        return most if self.name == "median" else min(most, math.floor(self.trim * tiles))

    def of(self, medians: NDArray[np.float64]) -> float:
        """The score of a frame whose tiles have these ``medians``."""
        dropped = self.dropped(len(medians))
        return float(np.sort(medians)[dropped : len(medians) - dropped].mean())

    def __str__(self) -> str:
        return f"mean without {self.trim:.0%} at each end" if self.name == "trimmed_mean" else self.name
