"""What the caller is handed: certificates, decisions, plans, logs."""

from __future__ import annotations

from .log import InputLog, build_log, frame_entry, joint_claim, pooled_metrics, to_csv, to_json
from .tampering import Domain, patch_size
from .tile_certificate import bound_tiles

__all__ = [
    "bound_tiles",
    "build_log",
    "Domain",
    "frame_entry",
    "InputLog",
    "joint_claim",
    "patch_size",
    "pooled_metrics",
    "to_csv",
    "to_json",
]
