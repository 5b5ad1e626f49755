"""Photographs, opinion scores, batches."""

from __future__ import annotations

from .photographs import Photograph, read_rgb, read_scores

__all__ = [
    "Photograph",
    "read_rgb",
    "read_scores",
]
