"""SPEC → one PyTorch function."""

from __future__ import annotations

from .catalogue import DENOISERS, METRICS, NO_DENOISER, OTHER_DENOISER, SHIPPED_METRIC, denoiser_for

__all__ = [
    "denoiser_for",
    "DENOISERS",
    "METRICS",
    "NO_DENOISER",
    "OTHER_DENOISER",
    "SHIPPED_METRIC",
]
