"""Frames of a stated size, cut from photographs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from export.checks import photograph


def frame_of(name: str, height: int, width: int) -> NDArray[np.uint8]:
    """The middle of a photograph, mirrored at its edges where it is too small."""
    whole = photograph(name)
    missing = [(0, max(0, height - whole.shape[0])), (0, max(0, width - whole.shape[1])), (0, 0)]
    padded = np.pad(whole, missing, mode="symmetric")
    top, left = (padded.shape[0] - height) // 2, (padded.shape[1] - width) // 2
    return np.ascontiguousarray(padded[top : top + height, left : left + width])
