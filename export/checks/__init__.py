"""Is the graph what it should be?"""

from __future__ import annotations

from .photographs import photograph

__all__ = [
    "photograph",
]
