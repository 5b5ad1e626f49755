"""Photographs, opinion scores, batches."""

from __future__ import annotations

from .ladders import KINDS
from .photographs import Photograph, read_rgb, read_scores

__all__ = [
    "KINDS",
    "Photograph",
    "read_rgb",
    "read_scores",
]
