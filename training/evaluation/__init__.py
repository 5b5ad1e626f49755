"""How well scores agree with people."""

from __future__ import annotations

from .correlation import plcc, srocc

__all__ = [
    "plcc",
    "srocc",
]
