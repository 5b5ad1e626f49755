"""α, the error of a claim, and who spends it.

A claim is wrong only if one of its events happens. Each event has a share of α, its probability is at most that share,
and the shares add up to α: the union bound. Nothing outside this module divides α.

==========================  ==============================================  =========
claim                       events                                          each
==========================  ==============================================  =========
a frame, smoothed           the lower rank fails, the upper rank fails      α/2
a frame, reported           … and the next report strays down, or up        α/4
a radius, smoothed          a side: the median's level, the share inside    α/4
a radius, reported          … and the next report strays to that side       α/6
M frames, K radii, K looks  each of them                                    α/M, α/K
two compared                each of the two                                 α/2
a mean, collectively        a side: largest, sum, spread of the counts      fractions of α/2, bounds/collective.py
==========================  ==============================================  =========
"""

from __future__ import annotations

from typing import Literal

from ..errors import ParameterError

Scope = Literal["smoothed", "reported"]
SCOPES: tuple[Scope, ...] = ("smoothed", "reported")

LOWER, UPPER = "lower rank", "upper rank"
STRAYS_DOWN, STRAYS_UP = "report strays down", "report strays up"
COMPARED = 2
"""Claims of a comparison: one for each side of it."""


def equal_share(alpha: float, count: int) -> float:
    """The share of each of ``count`` claims that hold together. Raises ParameterError for less than one."""
    if count < 1:
        raise ParameterError(f"alpha is shared by 1 claim or more, not {count}")
    return alpha / count


def side_share(alpha: float) -> float:
    """The share of each of two events, one a side."""
    return alpha / 2


def fraction_of(alpha: float, fraction: float) -> float:
    """The share of an event that has this fraction of α for its own: of a look, say."""
    return alpha * fraction


def frame_shares(alpha: float, scope: Scope) -> dict[str, float]:
    """Event → share, of one frame's claim. Raises ParameterError for a scope that is none."""
    if scope == "smoothed":
        return dict.fromkeys((LOWER, UPPER), alpha / 2)
    if scope == "reported":
        return dict.fromkeys((LOWER, UPPER, STRAYS_DOWN, STRAYS_UP), alpha / 4)
    raise ParameterError(f"scope is 'smoothed' or 'reported', not {scope!r}")


def radius_shares(alpha: float, scope: Scope) -> tuple[float, float]:
    """Of the claim of a radius: the share of a side's two ranks together, and that of the report straying to it."""
    events = 4 if scope == "smoothed" else 6
    return 2 * (alpha / events), alpha / events
