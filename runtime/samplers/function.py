"""Any Python function of a noisy image as a sampler: for people who bring their own, and for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ModelError
from ..frames.lattice import Lattice
from ..noise.draw import draw_noise
from ..noise.table import table_for

ScoreFunction = Callable[[NDArray[np.float32]], ArrayLike]


class CallableSampler:
    """``function`` maps float32 N×3×h×w to N scores.

    Its input is noisy copies of a frame, values in [0, 1] plus noise, *not* clamped: clamp inside if it needs it.
    It must treat each copy on its own. ``batch`` copies are handed over at a time; the last batch is
    padded to the same shape and its padding ignored. ``higher_is_better``: the direction of its scores;
    ``score_range``: the ends that they keep to, where there are any.

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
    ) -> None:
        self.function = function
        self.sigma = sigma
        self.downscale = downscale
        self.batch = batch
        self.higher_is_better = higher_is_better
        self.score_range = score_range
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
        table = table_for(self.sigma, lattice)
        noisy = np.empty((self.batch, *lattice.values.shape), np.float32)
        clean = lattice.values.astype(np.float32)
        scores = np.empty(count, np.float32)
        for done in range(0, count, self.batch):
            draw_noise(table, key, start + done, noisy, clean)
            images = (noisy / np.float32(lattice.steps)).astype(np.float32, copy=False)
            values = np.asarray(self.function(images), np.float32)
            if values.shape != (self.batch,):
                raise ModelError(
                    f"{self.name} returned shape {values.shape} for {self.batch} noisy copies, not ({self.batch},): it "
                    "gets a batch N×3×h×w and returns a score for each, as lambda x: x.mean((1, 2, 3)) does"
                )
            scores[done : done + self.batch] = values[: count - done]
        return scores

    def close(self) -> None:
        """Nothing is held."""
