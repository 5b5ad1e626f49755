"""Progress on standard error: a bar on a terminal, else a plain line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

PERIOD = 10.0
"""Seconds from line to line."""


class Bar(Protocol):
    """Progress in samples, a file at a time."""

    def begin(self, name: str, frames: int, samples: int) -> None:
        """Start with one file. ``frames``: 0 where their number is not known."""

    def drawn(self, count: int) -> None:
        """``count`` more samples are done."""

    def close(self) -> None:
        """Take off the screen what need not stay there."""


class Silent:
    """No progress."""

    def begin(self, name: str, frames: int, samples: int) -> None:
        pass

    def drawn(self, count: int) -> None:
        pass

    def close(self) -> None:
        pass


class TqdmBar:
    """A bar of tqdm, for a terminal."""

    def __init__(self) -> None:
        self._bar: Any = None

    def begin(self, name: str, frames: int, samples: int) -> None:
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(total=frames * samples, desc=name, unit="sample", leave=False)

    def drawn(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Lines:
    """A line every ten seconds: ``clip.mp4: 1234 of 15030 samples, 8%, about 40 s left``. ``clock``: in seconds.

    A line is written as samples arrive, so later than that where a batch of them takes longer. A file that is done
    sooner has none.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name = ""
        self._total = self._done = 0
        self._started = self._due = clock()

    def begin(self, name: str, frames: int, samples: int) -> None:
        self._name, self._total, self._done = name, frames * samples, 0
        self._started = self._clock()
        self._due = self._started + PERIOD

    def drawn(self, count: int) -> None:
        self._done += count
        now = self._clock()
        if now >= self._due:
            print(self._line(now - self._started), file=sys.stderr, flush=True)
            self._due = now + PERIOD

    def close(self) -> None:
        pass

    def _line(self, seconds: float) -> str:
        if not self._total or not self._done:
            return f"{self._name}: {self._done} samples"
        done = min(1.0, self._done / self._total)
        left = _words(seconds * (1 - done) / done)
        return f"{self._name}: {self._done} of {self._total} samples, {100 * done:.0f}%, about {left} left"


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Bar]:
    """What shows progress here; nothing of it stays on a terminal, however the work ends."""
    bar: Bar = Silent() if quiet else TqdmBar() if sys.stderr.isatty() and _has_tqdm() else Lines()
    try:
        yield bar
    finally:
        bar.close()


def _words(seconds: float) -> str:
    """A time in seconds, minutes or hours, whole."""
    for least, unit, length in ((7200, "h", 3600), (120, "min", 60)):
        if seconds >= least:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _has_tqdm() -> bool:
    from importlib.util import find_spec

    return find_spec("tqdm") is not None
