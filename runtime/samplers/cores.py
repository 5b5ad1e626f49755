"""How many cores a sampler takes where nobody says: those that this process may run on, no more than it was told.

The least of: the CPUs it is bound to (``taskset``, cpusets); a container's limit, the CPU quota of its control group
(``docker run --cpus``: ``cpu.max`` of cgroup v2, ``cpu.cfs_quota_us`` of v1, rounded up to whole cores); and
OMP_NUM_THREADS, by which schedulers and people say it. A number of threads never changes a score.
"""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """At least 1. What it reads and cannot understand does not limit."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *_told(), *_quotas()]))


def _told() -> list[int]:
    """OMP_NUM_THREADS: a number, or a list, a number for each level of nesting."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return [int(first)] if first.isdecimal() and int(first) > 0 else []


def _quotas() -> list[int]:
    """Cores that the control group, and every group above it, may use."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        v1 = "cpu" in controllers.split(",")
        if not (v1 or controllers == ""):
            continue
        top = CGROUPS / "cpu" if v1 else CGROUPS
        path = PurePosixPath(group.lstrip("/"))
        for folder in (top / path, *(top / parent for parent in path.parents)):
            found += _quota(folder)
    return found


def _quota(folder: Path) -> list[int]:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return [math.ceil(int(quota) / int(period))] if int(quota) > 0 and int(period) > 0 else []
    except (OSError, ValueError):  # no such group, or "max": no limit
        return []
