"""How many draws a frame a clip takes, where nobody says it: as narrow as before, for less.

n is planned before any frame is scored, from M, s and α alone, so that it costs no error. Scores are taken to be
normal, each frame's around a mean of its own. Both bounds of their mean are then known before: frame by frame at α/M
(pooling.py) by the expected order statistics Φ⁻¹((j − 3/8)/(n + 1/4)) (Blom 1958), and collectively (collective.py) on
normal scores drawn once for all. The plan is the least n whose collective bound is no wider than frame by frame from
the model's own number of samples. It is never below LEAST, nor below what bounds each frame by itself.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray
from scipy.special import ndtri

from .alpha import Scope, equal_share, side_share
from .collective import Units, best_side, least_useful_samples, side_limits
from .ranks import scope_least_samples, scope_ranks

LEAST = 64
"""Fewer draws say too little about the frame itself."""
STEP = 8
"""n is a multiple of this, so that whole batches are drawn."""
REACH = 10.0
"""The end of the range, in deviations from the mean: it is rarely met."""
DRAWN = 100
"""Frames whose scores are drawn; a longer clip repeats them."""


@lru_cache(maxsize=64)
def clip_samples(frames: int, shift: float, alpha: float, scope: Scope, samples: int) -> int:
    """n for each of ``frames``, at most ``samples``, which is what one frame alone takes. ``alpha``: of the pool."""
    share = equal_share(alpha, frames)
    least = max(
        LEAST,
        scope_least_samples(shift, share, scope) or samples,
        least_useful_samples(frames, shift, alpha, scope) or samples,
    )
    _, upper = scope_ranks(samples, shift, share, scope)
    if frames == 1 or upper is None or least >= samples:
        return samples
    wanted = _normal_scores(samples)[upper - 1]
    counts = range(-(-least // STEP) * STEP, samples, STEP)
    found = bisect_left(counts, True, key=lambda n: normal_width(frames, n, shift, alpha, scope) <= wanted)
    return counts[found] if found < len(counts) else samples


def normal_width(frames: int, samples: int, shift: float, alpha: float, scope: Scope) -> float:
    """The collective bound of a mean of normal scores above that mean, in deviations of one frame's scores."""
    limits = side_limits((Units(frames, samples, shift),), side_share(alpha), scope, _reported(samples, scope))
    drawn = _normal_draws(min(frames, DRAWN), samples)
    ordered = drawn[np.arange(frames) % len(drawn)]
    return best_side([ordered], REACH, limits, [np.full(frames, 1 / frames)]).value


def _reported(samples: int, scope: Scope) -> tuple[int, ...] | None:
    return (samples,) if scope == "reported" else None


@lru_cache(maxsize=8)
def _normal_draws(frames: int, samples: int) -> NDArray[np.float64]:
    bits = Philox(key=0).random_raw(frames * samples)
    return np.sort(ndtri(((bits >> np.uint64(11)) + 0.5) * 2.0**-53).reshape(frames, samples), axis=1)


def _normal_scores(samples: int) -> NDArray[np.float64]:
    return np.asarray(ndtri((np.arange(1, samples + 1) - 3 / 8) / (samples + 1 / 4)))
