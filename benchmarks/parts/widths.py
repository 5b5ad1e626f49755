"""The width of a certificate, from scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtime.bounds import order_statistics

ALPHA = 0.001
SHIFTS = (0.25, 0.5, 1.0)


def widths(scores: NDArray[np.float32]) -> dict[float, NDArray[np.float64]]:
    """ε/σ → certified width of each frame, from its n noisy scores N×n; radii that n cannot bound are left out."""
    ordered = np.sort(scores.astype(np.float64), axis=1)
    result = {}
    for shift in SHIFTS:
        lower, upper = order_statistics(scores.shape[1], shift, ALPHA)
        if lower is not None and upper is not None:
            result[shift] = ordered[:, upper - 1] - ordered[:, lower - 1]
    return result
