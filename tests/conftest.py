"""PyTorch has one thread in each test: it spins while it waits, and two workers with two threads each only wait."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Before each, for a command that was tested before may have set another number."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
