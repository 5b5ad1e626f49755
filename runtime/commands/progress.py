"""Progress on standard error: a bar on a terminal, else a plain line every ten seconds.

Of a job of several files it says which file it is at, and what is left of all. That is read off the files' bytes: how
many frames a file has shows when it is opened.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

PERIOD = 10.0
"""Seconds from line to line."""


class Bar(Protocol):
    """Progress in samples, a file at a time."""

    def plan(self, weights: Sequence[int]) -> None:
        """Before the first file of a job: what each of its files weighs."""

    def file(self, index: int, was_done: float = 0.0) -> None:
        """Come to a file of the job. ``was_done``: the part of it that was done before this run."""

    def begin(self, name: str, frames: int, samples: int) -> None:
        """Start with one file. ``frames``: 0 where their number is not known."""

    def drawn(self, count: int) -> None:
        """``count`` more samples are done."""

    def close(self) -> None:
        """Take off the screen what need not stay there."""


class Job:
    """How far a job of several files is, by their ``weights``. ``clock``: in seconds."""

    def __init__(self, weights: Sequence[int], clock: Callable[[], float] = time.monotonic) -> None:
        self._weights = [max(1, weight) for weight in weights]
        self._clock = clock
        self._started = clock()
        self._index, self._was_done, self._spared = -1, 0.0, 0.0

    def file(self, index: int, was_done: float) -> None:
        """Come to a file. ``was_done``: the part of it that took no time in this run."""
        self._index, self._was_done = index, was_done
        self._spared += was_done * self._weights[index]

    @property
    def name(self) -> str:
        """ "[3/40] "."""
        return f"[{self._index + 1}/{len(self._weights)}] "

    def left(self, part: float) -> str:
        """ "all files 12%, about 20 min left". ``part``: of the rest of this file that is done."""
        total = sum(self._weights)
        own = self._weights[self._index] * (self._was_done + part * (1 - self._was_done))
        done = sum(self._weights[: self._index]) + own
        words = f"all files {100 * done / total:.0f}%"
        if done <= self._spared:
            return words
        seconds = (self._clock() - self._started) * (total - done) / (done - self._spared)
        return f"{words}, about {_words(seconds)} left"


class Silent:
    """No progress."""

    def plan(self, weights: Sequence[int]) -> None:
        pass

    def file(self, index: int, was_done: float = 0.0) -> None:
        pass

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
        self._job: Job | None = None

    def plan(self, weights: Sequence[int]) -> None:
        self._job = Job(weights) if len(weights) > 1 else None

    def file(self, index: int, was_done: float = 0.0) -> None:
        if self._job:
            self._job.file(index, was_done)

    def begin(self, name: str, frames: int, samples: int) -> None:
        from tqdm import tqdm

        self.close()
        desc = f"{self._job.name if self._job else ''}{name}"
        self._bar = tqdm(total=frames * samples, desc=desc, unit="sample", leave=False)
        self.drawn(0)

    def drawn(self, count: int) -> None:
        if self._bar is not None:
            if self._job:
                self._bar.set_postfix_str(self._job.left(self._bar.n / max(1, self._bar.total)), refresh=False)
            self._bar.update(count)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Lines:
    """A line every ten seconds: ``clip.mp4: 1234 of 15030 samples, 8%, about 40 s left``. ``clock``: in seconds.

    A line is written as samples arrive, so later than that where a batch of them takes longer. A file that is done
    sooner has none, and of several files the ten seconds run on:
    ``[3/40] clip.mp4: 1234 of 15030 samples, 8%, about 40 s left; all files 12%, about 20 min left``.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._name = ""
        self._total = self._done = 0
        self._started = self._due = clock()
        self._job: Job | None = None

    def plan(self, weights: Sequence[int]) -> None:
        self._job = Job(weights, self._clock) if len(weights) > 1 else None
        self._due = self._clock() + PERIOD

    def file(self, index: int, was_done: float = 0.0) -> None:
        if self._job:
            self._job.file(index, was_done)

    def begin(self, name: str, frames: int, samples: int) -> None:
        self._name, self._total, self._done = name, frames * samples, 0
        self._started = self._clock()
        if not self._job:
            self._due = self._started + PERIOD

    def drawn(self, count: int) -> None:
        self._done += count
        now = self._clock()
        if now >= self._due:
            name, left = "", ""
            if self._job:
                name, left = self._job.name, f"; {self._job.left(min(1.0, self._done / max(1, self._total)))}"
            print(f"{name}{self._line(now - self._started)}{left}", file=sys.stderr, flush=True)
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
