"""Everything that knows an NVIDIA GPU."""

from __future__ import annotations

from .loop import Device, Engine, GpuSampler
from .pycuda import load_pycuda

__all__ = [
    "Device",
    "Engine",
    "GpuSampler",
    "load_pycuda",
]
