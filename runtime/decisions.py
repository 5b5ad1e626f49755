"""Answers that take no more samples than they need: is it at least this good, and which of two is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .certificate import Certificate
from .pooling import pool as pool_scores
from .pooling import pool_intervals

Verdict = Literal["pass", "fail", "undecided"]
Better = Literal["a", "b", "undecided"]


@dataclass(frozen=True)
class Pooled:
    """The pooled score of a clip's frames, or a frame's own, and its certified interval where sampling stopped.

    ``pool``: mean, min, max or harmonic_mean. ``certificates``: of each frame, at its share of the error. ``lower``
    and ``upper`` are infinite, or NaN for a harmonic mean, where nothing is certified.
    """

    pool: str
    score: float
    lower: float
    upper: float
    certificates: tuple[Certificate, ...] = field(repr=False)

    @property
    def drawn(self) -> int:
        """Samples drawn, of all frames."""
        return sum(certificate.drawn for certificate in self.certificates)

    @property
    def samples(self) -> int:
        """Samples that all frames together could have taken."""
        return sum(certificate.samples for certificate in self.certificates)

    def to_dict(self) -> dict[str, Any]:
        """JSON types; None where nothing is certified."""
        return {
            "pool": self.pool,
            "score": _finite(self.score),
            "lower": _finite(self.lower),
            "upper": _finite(self.upper),
            "frames": len(self.certificates),
            "drawn": self.drawn,
            "samples": self.samples,
        }


@dataclass(frozen=True)
class Gate:
    """``decision``: "pass", "fail" or "undecided", wrong with probability at most ``alpha``. Truthy only for "pass"."""

    decision: Verdict
    at_least: float
    alpha: float
    pooled: Pooled

    def __bool__(self) -> bool:
        return self.decision == "pass"

    @property
    def claim(self) -> str:
        """What the decision says, in words."""
        what = _what(self.pooled)
        if self.decision == "undecided":
            return f"Neither that {what} is at least {self.at_least!r} nor that it is less could be certified."
        verb = "is at least" if self.decision == "pass" else "is less than"
        return f"Except with probability at most {self.alpha!r} over the noise, {what} {verb} {self.at_least!r}."

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "kind": "gate",
            "decision": self.decision,
            "at_least": self.at_least,
            "alpha": self.alpha,
            **self.pooled.to_dict(),
            "claim": self.claim,
        }


@dataclass(frozen=True)
class Comparison:
    """``decision``: "a", "b" or "undecided", wrong with probability at most ``alpha``, half of it for each."""

    decision: Better
    alpha: float
    a: Pooled
    b: Pooled

    def __bool__(self) -> bool:
        return self.decision != "undecided"

    @property
    def claim(self) -> str:
        """What the decision says, in words."""
        if self.decision == "undecided":
            return "Neither of the two could be certified to score higher than the other."
        better, worse = ("first", "second") if self.decision == "a" else ("second", "first")
        return (
            f"Except with probability at most {self.alpha!r} over the noise, {_what(self.a)} is higher for the "
            f"{better} than for the {worse}, whatever was done within that distance to either."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "kind": "compare",
            "decision": self.decision,
            "alpha": self.alpha,
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "claim": self.claim,
        }


def pooled(pool: str, certificates: Sequence[Certificate]) -> Pooled:
    """Pool the scores and, separately, the bounds of certificates that hold together."""
    lower, upper = pool_intervals([c.lower for c in certificates], [c.upper for c in certificates])
    score = pool_scores([c.score for c in certificates])[pool]
    return Pooled(pool, score, lower[pool], upper[pool], tuple(certificates))


def _what(of: Pooled) -> str:
    """ "the smoothed score of every frame within …", or the pooled one of every clip."""
    first = of.certificates[0]
    if first.scope == "smoothed":
        score, any_one = "smoothed score (the median over the noise)", "every"
    else:
        score, any_one = "score that this model reports next at any of its looks", "any one"
    distance = f"within L2 distance {first.epsilon!r} (RGB in [0,1]) of"
    if len(of.certificates) == 1:
        return f"the {score} of {any_one} frame {distance} the frame as received"
    return f"the {of.pool} {score} of {any_one} clip with each of its frames {distance} the frame as received"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
