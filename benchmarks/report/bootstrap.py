"""Intervals of a statistic by resampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000


def resamples(groups: NDArray[np.int64], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Bootstrap draws of whole groups, as indices."""
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    return [
        np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))]) for _ in range(RESAMPLES)
    ]


def interval(values: list[float]) -> list[float]:
    """The middle 95%."""
    return [round(float(v), 4) for v in np.quantile(values, (0.025, 0.975))]
