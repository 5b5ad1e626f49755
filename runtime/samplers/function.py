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

    Its input is the noisy picture, values in [0, 1] plus noise, *not* clamped: clamp inside if it needs it.
    It must treat each picture on its own. ``batch`` pictures are handed over at a time; the last batch is
    padded to the same shape and its padding ignored. ``higher_is_better``: the direction of its scores.

    ``digest`` is the hash of the function's *name*: it does not identify the code, and a changed function of the same
    name has the same digest. The record's ``engine`` says so.
    """

    def __init__(
        self,
        function: ScoreFunction,
        sigma: float,
        *,
        downscale: int = 1,
        batch: int = 8,
        higher_is_better: bool = True,
    ) -> None:
        self.function = function
        self.sigma = sigma
        self.downscale = downscale
        self.batch = batch
        self.higher_is_better = higher_is_better
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
                    f"{self.name} returned shape {values.shape} for {self.batch} pictures, not ({self.batch},): it "
                    "gets a batch N×3×h×w and returns a score for each, as lambda x: x.mean((1, 2, 3)) does"
                )
            scores[done : done + self.batch] = values[: count - done]
        return scores

    def close(self) -> None:
        """Nothing is held."""
