"""Statistics of noisy scores: no device, no frame."""

from __future__ import annotations

from .aggregates import Aggregate
from .alpha import SCOPES, Scope
from .budget import certify_tiles, l2
from .collective import Units, certify_mean, side_limits
from .pooling import pool_intervals
from .ranks import order_statistics, scope_least_samples, scope_ranks
from .stopping import STEP, Walk, looks_from, schedule, spending_ranks

__all__ = [
    "Aggregate",
    "certify_mean",
    "certify_tiles",
    "l2",
    "side_limits",
    "Units",
    "looks_from",
    "order_statistics",
    "pool_intervals",
    "schedule",
    "Scope",
    "scope_least_samples",
    "scope_ranks",
    "SCOPES",
    "spending_ranks",
    "STEP",
    "Walk",
]
