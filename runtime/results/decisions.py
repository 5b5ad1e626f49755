"""Answers that take no more samples than they need: is it at least this good, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..bounds.alpha import COMPARED, equal_share
from ..bounds.pooling import finite_or_none, pool_intervals
from ..bounds.pooling import pool as pool_scores
from .certificate import Certificate
from .claims import except_with, scores_within

Verdict = Literal["pass", "fail", "undecided"]
Better = Literal["a", "b", "undecided"]


@dataclass(frozen=True)
class Pooled:
    """The pooled score of a clip's frames, or a frame's own, and its certified interval where sampling stopped.

    ``pool``: mean, min, max or harmonic_mean. ``certificates``: of each frame, at its share of the error; they are its
    items. ``lower`` and ``upper`` are infinite, or NaN for a harmonic mean, where nothing is certified. ``path``: of
    their file, None for frames. Truthy unless a bound is missing.

    >>> certified = certifier.certify_file(photo)
    >>> len(certified), certified.pool, certified.lower == certified[0].lower
    (1, 'mean', True)
    """

    pool: str
    score: float
    lower: float
    upper: float
    certificates: tuple[Certificate, ...] = field(repr=False)
    path: str | None = None

    def __len__(self) -> int:
        return len(self.certificates)

    def __iter__(self) -> Iterator[Certificate]:
        return iter(self.certificates)

    def __getitem__(self, index: int) -> Certificate:
        return self.certificates[index]

    def __bool__(self) -> bool:
        return not self.abstained

    @property
    def abstained(self) -> bool:
        """True where a bound is infinite or there is none."""
        return not (math.isfinite(self.lower) and math.isfinite(self.upper))

    @property
    def drawn(self) -> int:
        """Samples drawn, of all frames."""
        return sum(certificate.drawn for certificate in self.certificates)

    @property
    def reason(self) -> str | None:
        """Why a bound of it is not certified; None if both are."""
        if not self.abstained:
            return None
        found = next((c.reason for c in self.certificates if c.reason), None)
        return found or f"a lower bound is not above -1, where the pool {self.pool} has no bounds"

    @property
    def samples(self) -> int:
        """Samples that all frames together could have taken."""
        return sum(certificate.samples for certificate in self.certificates)

    def to_dict(self) -> dict[str, Any]:
        """JSON types; None where nothing is certified."""
        return {
            "pool": self.pool,
            "score": finite_or_none(self.score),
            "lower": finite_or_none(self.lower),
            "upper": finite_or_none(self.upper),
            "frames": len(self.certificates),
            "drawn": self.drawn,
            "samples": self.samples,
        }


@dataclass(frozen=True)
class Gate:
    """``decision``: "pass", "fail" or "undecided", wrong with probability at most ``alpha``. Truthy only for "pass".

    >>> gate = certifier.gate(frame, at_least=1)
    >>> gate.decision, gate.pooled.drawn < certifier.samples
    ('pass', True)
    >>> bool(certifier.gate(frame, at_least=99))
    False
    """

    decision: Verdict
    at_least: float
    alpha: float
    pooled: Pooled

    def __bool__(self) -> bool:
        return self.decision == "pass"

    @property
    def reason(self) -> str | None:
        """Why it is undecided where a bound is missing; None if decided, or if the interval holds ``at_least``."""
        return self.pooled.reason if self.decision == "undecided" else None

    @property
    def claim(self) -> str:
        """What the decision says, in words."""
        what = _what(self.pooled)
        if self.decision == "undecided":
            return f"Neither that {what} is at least {self.at_least!r} nor that it is less could be certified."
        verb = "is at least" if self.decision == "pass" else "is less than"
        return f"{except_with(self.alpha, stopped=True)}, {what}, {verb} {self.at_least!r}."

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "kind": "gate",
            "decision": self.decision,
            "at_least": self.at_least,
            "alpha": self.alpha,
            **self.pooled.to_dict(),
            "claim": self.claim,
            **({"reason": self.reason} if self.reason else {}),
        }


@dataclass(frozen=True)
class Comparison:
    """``decision``: which *scores higher*, "a", "b" or "undecided", wrong with probability at most ``alpha``.

    Each has its ``share`` of alpha. ``higher_is_better``: of the model; where False, the higher score is the worse one.

    >>> comparison = certifier.compare(frame // 2, frame)  # this model's score is the mean brightness
    >>> comparison.decision, comparison.b.lower > comparison.a.upper
    ('b', True)
    """

    decision: Better
    alpha: float
    a: Pooled
    b: Pooled
    higher_is_better: bool = True

    def __bool__(self) -> bool:
        return self.decision != "undecided"

    @property
    def share(self) -> float:
        """The error of each of the two."""
        return equal_share(self.alpha, COMPARED)

    @property
    def reason(self) -> str | None:
        """Why it is undecided where a bound is missing; None if decided, or if the intervals overlap."""
        return self.a.reason or self.b.reason if self.decision == "undecided" else None

    @property
    def claim(self) -> str:
        """What the decision says, in words."""
        if self.decision == "undecided":
            return "Neither of the two could be certified to score higher than the other."
        first, second = _what(self.a, "first "), _what(self.b, "second ")
        higher, lower = (first, second) if self.decision == "a" else (second, first)
        failure = except_with(self.alpha, stopped=True)
        worse = "" if self.higher_is_better else " A lower score of this model is the better one."
        return f"{failure}, {higher}, is higher than {lower}.{worse}"

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "kind": "compare",
            "decision": self.decision,
            "alpha": self.alpha,
            "higher_is_better": self.higher_is_better,
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "claim": self.claim,
            **({"reason": self.reason} if self.reason else {}),
        }


def pooled(pool: str, certificates: Sequence[Certificate], path: str | None = None) -> Pooled:
    """Pool the scores and, separately, the bounds of certificates that hold together. ``path``: of their file."""
    lower, upper = pool_intervals([c.lower for c in certificates], [c.upper for c in certificates])
    score = pool_scores([c.score for c in certificates])[pool]
    return Pooled(pool, score, lower[pool], upper[pool], tuple(certificates), path)


def _what(of: Pooled, which: str = "") -> str:
    """ "the smoothed score of every frame within …", or the pooled one of every clip."""
    first = of.certificates[0]
    pool = None if len(of.certificates) == 1 else of.pool
    return scores_within(first.epsilon, first.scope, first.samples, _looks(of), pool=pool, which=which)


def _looks(of: Pooled) -> tuple[int, ...] | None:
    """The looks that all frames have in common; None where they differ, as they may with the frame size."""
    found = {c.looks for c in of.certificates}
    return found.pop() if len(found) == 1 else None
