"""How a long build tells what it is doing: a function that takes a line."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str], None]


def silent(_: str) -> None:
    """Report nothing."""
