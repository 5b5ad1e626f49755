"""A sampler turns a lattice and a key into noisy scores. It is the only thing that knows a device.

Everything statistical is outside, shared by all samplers, and tested with the callable one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..frames.lattice import Lattice
from .cores import usable_cores
from .onnx import OnnxSampler

__all__ = ["OnnxSampler", "Sampler", "usable_cores"]


@runtime_checkable
class Sampler(Protocol):
    """``sigma``: noise level on the engine's domain. ``downscale``: k of the k×k box before it.

    ``name`` and ``digest``: what is certified, and its identity (hex), for the record and the noise key.
    ``engine``: device, provider, precision, version and batch that really run. More may be there:
    ``higher_is_better``, the direction of the score, True where it is not; ``score_range``, the (lowest, highest)
    score, None where it is not; ``tile``, T where a frame's T×T tiles are scored, and ``aggregate``, what becomes of
    them; None for whole frames.

    >>> import runtime
    >>> isinstance(certifier.sampler, runtime.Sampler)
    True
    >>> certifier.sampler.name, certifier.sampler.downscale
    ('tiny', 2)
    """

    sigma: float
    downscale: int
    name: str
    digest: str
    engine: Mapping[str, Any]

    def scores(self, lattice: Lattice, key: bytes, start: int, count: int) -> NDArray[np.float32]:
        """Scores float32[count] of samples start … start+count−1, noise drawn as ``noise/draw.py`` defines it.

        Of tiles float32[count, tiles], tiles as :mod:`runtime.frames.tiles` numbers them.

        A score must be a function of its noisy input alone: not of its neighbours, ``start`` or ``count``.
        """
        ...

    def close(self) -> None:
        """Release the engine and its memory."""
        ...
