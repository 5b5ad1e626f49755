"""Photographs, opinion scores, batches."""

from __future__ import annotations

from .ladders import decoded
from .photographs import Photograph, read_rgb, read_scores

__all__ = [
    "Photograph",
    "decoded",
    "read_rgb",
    "read_scores",
]
