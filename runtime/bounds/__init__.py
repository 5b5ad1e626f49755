"""Statistics of noisy scores: no device, no frame."""

from __future__ import annotations

from .alpha import Scope
from .pooling import pool_intervals
from .ranks import order_statistics
from .stopping import STEP, Walk, looks_from, spending_ranks

__all__ = [
    "looks_from",
    "order_statistics",
    "pool_intervals",
    "Scope",
    "spending_ranks",
    "STEP",
    "Walk",
]
