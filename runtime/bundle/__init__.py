"""The file format that ``export`` writes and the runtime opens. docs/bundle.md is its specification."""

from __future__ import annotations

from .manifest import ENGINE_PRECISIONS, GRAPHS, Measured
from .precisions import DEVICE_PRECISIONS

__all__ = [
    "DEVICE_PRECISIONS",
    "ENGINE_PRECISIONS",
    "GRAPHS",
    "Measured",
]
