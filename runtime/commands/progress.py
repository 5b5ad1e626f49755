"""Progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Bar:
    """Progress in samples on standard error, only on a terminal and with tqdm installed."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def begin(self, name: str, frames: int, samples: int) -> None:
        """Start the bar of one file."""
        self.close()
        if self._shown:
            from tqdm import tqdm

            self._bar = tqdm(total=frames * samples, desc=name, unit="sample", leave=False)

    def drawn(self, count: int) -> None:
        """``count`` more samples are done."""
        if self._bar is not None:
            self._bar.update(count)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Bar]:
    """A bar that is cleared whatever happens."""
    bar = Bar(not quiet and sys.stderr.isatty() and _has_tqdm())
    try:
        yield bar
    finally:
        bar.close()


def _has_tqdm() -> bool:
    from importlib.util import find_spec

    return find_spec("tqdm") is not None
