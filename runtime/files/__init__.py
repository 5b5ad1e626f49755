"""A path → frames."""

from __future__ import annotations

from .containers import check_whole
from .tracks import Track, alpha_error, refuse_track, tracks
from .video import CONTAINERS

__all__ = [
    "alpha_error",
    "check_whole",
    "CONTAINERS",
    "refuse_track",
    "Track",
    "tracks",
]
