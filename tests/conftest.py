"""One thread for each test, unless it asks for more: two workers with two threads each wait for one another.

OpenMP's threads spin while they wait, so a second load on the same cores makes them many times slower.
"""

from __future__ import annotations

import os
import sys

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is loaded, and for the processes that tests start


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Also after a test of a command that has set PyTorch's own number."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
