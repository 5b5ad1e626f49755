"""What the caller is handed: certificates, decisions, plans, logs."""

from __future__ import annotations

from .log import InputLog, build_log, frame_entry, joint_claim, pooled_metrics, to_csv, to_json
from .tampering import patch_size

__all__ = [
    "build_log",
    "frame_entry",
    "InputLog",
    "joint_claim",
    "patch_size",
    "pooled_metrics",
    "to_csv",
    "to_json",
]
