"""What a process left behind: memory at its peak, processes still there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Any

from tests.support.hosts import environment


def peak_memory(command: Sequence[str], *, stdin: Any = subprocess.DEVNULL, **env: str) -> int:
    """Run a command to a good end; its largest resident memory in KiB."""
    process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, env=environment(**env))
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


def running(pid: int) -> bool:
    """Whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
