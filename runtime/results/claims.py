"""What a certificate claims, in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..bounds.alpha import Scope
from ..bounds.ranks import scope_least_samples


def too_few_samples(samples: int, shift: float, alpha: float, scope: Scope) -> str:
    """The sentence that says how many samples would do."""
    least = scope_least_samples(shift, alpha, scope)
    remedy = "no number of samples bounds it: use a smaller epsilon" if least is None else f"use n ≥ {least}"
    return f"n={samples} cannot bound ε/σ={shift:.4g} at α={alpha:g} (scope {scope}): {remedy}"


SMOOTHED = "the median over the noise"
"""What a smoothed score is."""


def l2_within(epsilon: float) -> str:
    """The frames that a claim about an L2 radius is about, as in "every frame within … of the frame as received"."""
    return f"within L2 distance {epsilon!r} (RGB in [0,1]) of"


def claim(
    within: str, alpha: float, scope: Scope, samples: int, looks: Sequence[int] = (), smoothed: str = SMOOTHED
) -> str:
    """What a reader of the record is told, in words; numbers as they are, not rounded.

    ``within``, ``smoothed``: as for :func:`scores_within`. ``looks``: the sample counts at which sampling could stop,
    empty where their number was fixed.
    """
    scores = scores_within(within, scope, samples, looks, smoothed=smoothed)
    what = f"{except_with(alpha, stopped=bool(looks))}, [lower, upper] contains {scores}"
    if scope == "smoothed":
        limit = "within that distance" if within.startswith("within") else "no more than that"
        return f"{what}; hence that of the untampered original if the tampering was {limit}."
    return f"{what}."


def except_with(alpha: float, *, stopped: bool) -> str:
    """How every claim begins: with its error, and that it covers every look."""
    failure = f"Except with probability at most {alpha!r} over the noise"
    return f"{failure}, for whatever reason sampling stopped at the look where it did" if stopped else failure


def scores_within(
    within: str,
    scope: Scope,
    samples: int,
    looks: Sequence[int] | None = (),
    *,
    pool: str | None = None,
    which: str = "",
    smoothed: str = SMOOTHED,
) -> str:
    """The scores a claim is about and all its conditions: "the smoothed score (…) of every frame within …".

    ``within``: how far from "the frame as received", as :func:`l2_within` says it. ``smoothed``: what a smoothed score
    is. ``looks``: as for :func:`claim`; None where those of a clip's frames differ. ``pool``: of the frames of a clip,
    None for one frame. ``which``: "first " or "second " where two are compared.
    """
    if pool is None:
        score, frames = "", f"frame {within} the {which}frame as received, of the same size and bit depth"
    else:
        score = f"{pool} "
        received = f"the {which}clip's frame as received, of the same size and bit depth"
        frames = f"clip with each of its frames {within} {received}"
    if scope == "smoothed":
        return f"the {score}smoothed score ({smoothed}) of every {frames}"
    if looks is None:
        count = "as many samples as any of the looks in the record of each frame has"
    elif len(looks) > 1:
        count = f"as many samples as any of the looks has ({', '.join(map(str, looks))})"
    else:
        count = f"{samples} samples"
    return (
        f"the {score}score that this model reports next, from {count}, for any one {frames}, "
        "chosen without knowledge of the secret and of earlier results"
    )
