"""libbiqa and the frei0r filter, built once for this Python, and what their tests share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support import hosts


@pytest.fixture(scope="session")
def libbiqa() -> Path:
    """A prefix with include/, lib/ and bin/biqa-example."""
    prefix = hosts.libbiqa()
    if isinstance(prefix, str):
        pytest.skip(prefix)
    return prefix


@pytest.fixture
def host_env() -> dict[str, str]:
    """The environment of a host program: this checkout's packages, one thread, this Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(hosts.ROOT), "OMP_NUM_THREADS": "1", "PATH": path}
