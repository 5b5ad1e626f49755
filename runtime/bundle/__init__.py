"""The file format that ``export`` writes and the runtime opens. docs/bundle.md is its specification."""

from __future__ import annotations

from .manifest import ENGINE_PRECISIONS, GRAPHS

__all__ = [
    "ENGINE_PRECISIONS",
    "GRAPHS",
]
