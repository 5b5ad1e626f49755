"""Any Python function of a noisy image as a sampler: for people who bring their own, and for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..bounds.aggregates import Aggregate
from ..errors import ModelError, ParameterError
from ..frames.lattice import Lattice
from ..frames.tiles import tiling
from ..noise.table import table_for
from .feeds import Feed, FrameFeed, TileFeed

ScoreFunction = Callable[[NDArray[np.float32]], ArrayLike]


class CallableSampler:
    """``function`` maps float32 N×3×h×w to N scores.

    Its input is noisy copies of a frame, values in [0, 1] plus noise, *not* clamped: clamp inside if it needs it.
    It must treat each copy on its own. ``batch`` copies are handed over at a time; the last batch is
    padded to the same shape and its padding ignored. ``higher_is_better``: the direction of its scores;
    ``score_range``: the ends that they keep to, where there are any. ``tile``: T, to be handed the T×T tiles of a frame
    in place of the whole of it; ``aggregate``: how their scores become the frame's. Tiles take a score range.

    ``digest`` is the hash of the function's *name*: it does not identify the code, and a changed function of the same
    name has the same digest. The record's ``engine`` says so.

    >>> import runtime
    >>> def brightness(copies):  # float32 N×3×h×w → N scores
    ...     return 100 * copies.mean(axis=(1, 2, 3))
    >>> with runtime.Certifier(sampler=brightness, sigma=0.12, samples=101) as mine:
    ...     round(mine.certify(frame).score) == round(100 * frame.mean() / 255)
    True

    ``Certifier(sampler=function, sigma=…)`` makes one; make it yourself to choose its ``batch`` or direction:

    >>> sampler = runtime.CallableSampler(brightness, 0.12, batch=16, higher_is_better=False)
    >>> with runtime.Certifier(sampler=sampler, samples=101) as mine:
    ...     mine.higher_is_better
    False
    """

    def __init__(
        self,
        function: ScoreFunction,
        sigma: float,
        *,
        downscale: int = 1,
        batch: int = 8,
        higher_is_better: bool = True,
        score_range: tuple[float, float] | None = None,
        tile: int | None = None,
        aggregate: Aggregate | None = None,
    ) -> None:
        if tile is not None and (tile < 1 or score_range is None):
            raise ParameterError("tiles are of 1×1 or more, and take a score_range, which bounds them together")
        self.function = function
        self.sigma = sigma
        self.downscale = downscale
        self.batch = batch
        self.higher_is_better = higher_is_better
        self.score_range = score_range
        self.tile = tile
        self.aggregate = None if tile is None else aggregate or Aggregate()
        self.name = getattr(function, "__name__", type(function).__name__)
        # A function has no bytes to hash; its name keeps two of them from sharing noise by accident.
        self.digest = hashlib.sha256(f"{getattr(function, '__module__', '')}.{self.name}".encode()).hexdigest()
        self.engine: Mapping[str, Any] = {
            "device": "caller",
            "provider": "python",
            "batch": batch,
            "model_sha256_of": "the function's name, not its code",
        }

    def scores(self, lattice: Lattice, key: bytes, start: int, count: int) -> NDArray[np.float32]:
        feed = self._feed(lattice)
        noisy = np.empty(feed.input_shape, np.float32)
        scores = np.empty(feed.shape(count), np.float32)
        for run in feed.fill(key, start, count, repeat(noisy)):
            images = (noisy / np.float32(lattice.steps)).astype(np.float32, copy=False)
            values = np.asarray(self.function(images), np.float32)
            if values.shape != (len(noisy),):
                raise ModelError(
                    f"{self.name} returned shape {values.shape} for {len(noisy)} noisy copies, not ({len(noisy)},): it "
                    "gets a batch N×3×h×w and returns a score for each, as lambda x: x.mean((1, 2, 3)) does"
                )
            scores.reshape(-1)[run.first : run.first + run.wanted] = values[: run.wanted]
        return scores

    def _feed(self, lattice: Lattice) -> Feed:
        table = table_for(self.sigma, lattice)
        if self.tile is None:
            return FrameFeed(lattice, table, self.batch)
        return TileFeed(lattice, table, tiling(lattice.height, lattice.width, self.tile), self.batch)

    def close(self) -> None:
        """Nothing is held."""
