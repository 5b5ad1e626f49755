"""Frames → one score a clip, with a certified interval.

Mean, harmonic mean, minimum and maximum never fall when a frame's score rises, so if every frame's true
score lies in its interval, the pooled one lies between the pooled lower and the pooled upper bounds. With
the frames certified *jointly* (α/M each, ``Certifier.stream(jointly=M)``) that has probability ≥ 1−α.
The names and the "+1" harmonic mean are libvmaf's: M / Σ 1/(x+1) − 1, which is monotone only where all values that
are possible lie above −1: where a lower bound does not, neither of its bounds says anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError


def _harmonic_mean(values: NDArray[np.float64]) -> float:
    # Increasing in every value only while all are above −1; below, libvmaf's formula has no meaning.
    if not values.min() > -1:
        return float("nan")
    return float(np.clip(len(values) / np.sum(1 / (values + 1)) - 1, values.min(), values.max()))


POOLS: Mapping[str, Callable[[NDArray[np.float64]], float]] = {
    "min": lambda values: float(values.min()),
    "max": lambda values: float(values.max()),
    "mean": lambda values: float(values.mean()),
    "harmonic_mean": _harmonic_mean,
}


def pool(values: Sequence[float]) -> dict[str, float]:
    """min, max, mean and harmonic mean of at least one value; infinities and NaN carry through.

    >>> import runtime
    >>> runtime.pool([60.0, 80.0])
    {'min': 60.0, 'max': 80.0, 'mean': 70.0, 'harmonic_mean': 68.59154929577464}
    """
    if not values:
        raise ParameterError("there is no frame to pool")
    array = np.asarray(values, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: function(array) for name, function in POOLS.items()}


def pool_intervals(lower: Sequence[float], upper: Sequence[float]) -> tuple[dict[str, float], dict[str, float]]:
    """The pooled lower and upper bounds of intervals that hold together; NaN where a pool has none."""
    bounds = pool(lower), pool(upper)
    if not min(lower) > -1:
        for bound in bounds:
            bound["harmonic_mean"] = float("nan")
    return bounds


def finite_or_none(value: float) -> float | None:
    """What JSON can hold of a bound: None where it is infinite or NaN."""
    return value if math.isfinite(value) else None
