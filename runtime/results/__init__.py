"""What the caller is handed: certificates, decisions, plans, logs."""

from __future__ import annotations

from .log import InputLog, build_log, frame_entry, joint_claim, pooled_metrics, to_csv, to_json

__all__ = [
    "build_log",
    "frame_entry",
    "InputLog",
    "joint_claim",
    "pooled_metrics",
    "to_csv",
    "to_json",
]
