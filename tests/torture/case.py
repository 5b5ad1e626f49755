"""What a case of the torture is: a name, tries, and a word for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

SAFE = "safe"
"""Refused with an error of ours, or right."""
UNSEEN = "unseen"
"""Changed, and nothing in the file could tell: no checksum covers it. docs/formats.md names these formats."""


@dataclass(frozen=True)
class Case:
    """``run(tries, rng)`` yields for every try SAFE, UNSEEN, or the failure in words.

    ``full``: how many tries ``make torture`` makes, some more or fewer where they come in rounds; ``short``: how many
    ``make test`` makes.
    """

    name: str
    full: int
    short: int
    run: Callable[[int, np.random.Generator], Iterator[str]]


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    name: str
    tries: int
    unseen: int
    failures: tuple[str, ...]
    seconds: float


def counted(name: str, words: Iterator[str], seconds: Callable[[], float]) -> Outcome:
    """Every try of a case, counted. ``seconds``: a clock."""
    start = seconds()
    counts = Counter(words)
    failures = tuple(f"{count} × {word}" for word, count in counts.items() if word not in (SAFE, UNSEEN))
    return Outcome(name, counts.total(), counts[UNSEEN], failures, seconds() - start)
