"""Where a measurement was made: processor, GPU, versions and commit, for the record of every timing."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runtime.samplers import usable_cores

PACKAGES = ("numpy", "scipy", "onnxruntime", "onnxruntime-gpu", "torch", "tensorrt", "tensorrt-rtx-cu13-libs", "pycuda")


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, GPU if there is one, versions, and the commit with a + if changed."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "gpu": _first_line("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": _commit(),
    }


def in_words(record: dict[str, Any]) -> str:
    """One line for a page."""
    packages = ", ".join(f"{name} {found}" for name, found in record["packages"].items())
    device = f"{record['processor']}, {record['cores']} cores" + (f", {record['gpu']}" if record["gpu"] else "")
    return f"{device}; Python {record['python']}, {packages}; commit {record['commit']}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    name = next((value.strip() for key, value in fields.items() if key.strip() == "model name"), platform.machine())
    flags = next((value.split() for key, value in fields.items() if key.strip() == "flags"), [])
    vector = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8") if flag in flags]
    return f"{name} ({', '.join(vector)})" if vector else name


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = str(Path(__file__).parent)
    commit = _first_line("git", "-C", here, "rev-parse", "--short", "HEAD")
    if commit and _first_line("git", "-C", here, "status", "--porcelain", "--untracked-files=no"):
        commit += "+"
    return commit


def _first_line(*command: str) -> str | None:
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return out.splitlines()[0].strip() if out.strip() else None
