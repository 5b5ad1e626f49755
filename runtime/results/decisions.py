"""Answers that take no more samples than they need: is it at least this good, and which of two is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ..bounds.alpha import COMPARED, equal_share
from .claims import except_with, scores_within
from .pooled import Pooled

Verdict = Literal["pass", "fail", "undecided"]
Better = Literal["a", "b", "undecided"]


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


def _what(of: Pooled, which: str = "") -> str:
    """ "the smoothed score of every frame within …", or the pooled one of every clip."""
    first = of.certificates[0]
    pool = None if len(of.certificates) == 1 else of.pool
    return scores_within(
        first.within, first.scope, first.samples, _looks(of), pool=pool, which=which, smoothed=first.smoothed
    )


def _looks(of: Pooled) -> tuple[int, ...] | None:
    """The looks that all frames have in common; None where they differ, as they may with the frame size."""
    found = {c.looks for c in of.certificates}
    return found.pop() if len(found) == 1 else None
