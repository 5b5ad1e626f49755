"""int8 on x86 without VNNI: the same function, slower.

uint8 times int8 has one instruction that sums in 32 bits, VNNI's. Without it ONNX Runtime takes one that saturates at
16 bits, which is another function, and its option against that (products of uint8 alone) makes a CPU with VNNI slow as
well: it is set where the CPU is not known to have VNNI.
"""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

EXACT_PRODUCTS = "session.x64quantprecision"
"""ONNX Runtime's option, "1" for products that cannot saturate. It does nothing but on x86, and nothing to fp32."""

_CPUINFO = Path("/proc/cpuinfo")


def exact_products() -> str:
    """The value of ``EXACT_PRODUCTS`` with which int8 is exact on this CPU and no slower than need be."""
    return "0" if has_vnni(_flags()) else "1"


def has_vnni(flags: frozenset[str]) -> bool:
    """Do these flags of /proc/cpuinfo hold AVX-VNNI or AVX512-VNNI?"""
    return not flags.isdisjoint(("avx_vnni", "avx512_vnni"))


@cache
def _flags() -> frozenset[str]:
    """The CPU's flags as Linux names them; none where it is another system or no x86."""
    if platform.machine() not in ("x86_64", "AMD64") or not _CPUINFO.is_file():
        return frozenset()
    lines = _CPUINFO.read_text(errors="replace").splitlines()
    return frozenset(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))
