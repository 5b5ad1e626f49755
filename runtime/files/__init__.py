"""A path → frames."""

from __future__ import annotations

from .containers import check_whole
from .video import CONTAINERS

__all__ = [
    "check_whole",
    "CONTAINERS",
]
