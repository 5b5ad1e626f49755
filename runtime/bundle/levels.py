"""Which noise level of a family certifies a radius best.

A level's manifest entry says what it is worth: its agreement with people, and the mean quantiles q(z) of its scores
about their median (bundle/manifest.py). For ranks l < u of n samples the expected width of an interval is

    q(Φ⁻¹(u/(n+1))) − q(Φ⁻¹(l/(n+1))),

as X_(k) is about the quantile of level k/(n+1). A small σ agrees best and ends soonest, a large one reaches far. So:

1. levels that can bound nothing at this ε, n, α and scope are left out; where none is left, the largest σ is taken,
   and its plan says how many samples would do;
2. of those with an expected width of at most 5% of the range of scores, the one that agrees best is taken; differences
   in agreement within 0.01 are chance: of such the smallest σ is taken that could do with an eighth of the samples, as
   it sees faint faults best and leaves room for clips, whose frames share α; else the narrowest;
3. where all are wider, the narrowest.

The choice depends on the manifest and the claim alone, never on a frame: no frame can choose its noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ..bounds.alpha import Scope
from ..bounds.ranks import scope_least_samples, scope_ranks
from ..errors import ParameterError
from .manifest import Level, Manifest, Measured

NARROW = 0.05
"""Share of the range of scores, up to which the more accurate level is taken before the narrower one."""

TIE = 0.01
"""Difference in SROCC that a few hundred photographs cannot tell from none."""


ROOM = 8
"""How many times the least samples a level is to have where another one agrees as well."""


@dataclass(frozen=True)
class LevelPlan:
    """One level at a radius: s = ε/(kσ), the least n that bounds it, the expected width and the agreement.

    ``width`` None: n is too few, or nothing was measured. ``srocc`` None: nothing was measured.
    """

    sigma: float
    shift: float
    least_samples: int | None
    width: float | None
    srocc: float | None


@dataclass(frozen=True)
class Choice:
    """The level taken, why, and what it was chosen among."""

    sigma: float
    why: str
    levels: tuple[LevelPlan, ...]


def expected_width(measured: Measured, ranks: tuple[int | None, int | None], samples: int) -> float | None:
    """Of an interval between two ranks of n; None where there are none. Beyond the curve's ends it goes straight on."""
    lower, upper = ranks
    if lower is None or upper is None:
        return None
    z, offsets = np.array(measured.z), np.array(measured.offsets)
    ends = ndtri(np.array([lower, upper]) / (samples + 1))
    inner = np.interp(ends, z, offsets)
    below = np.minimum(ends - z[0], 0) * (offsets[1] - offsets[0]) / (z[1] - z[0])
    above = np.maximum(ends - z[-1], 0) * (offsets[-1] - offsets[-2]) / (z[-1] - z[-2])
    low, high = inner + below + above
    return float(high - low)


def level_plan(level: Level, downscale: int, epsilon: float, alpha: float, samples: int, scope: Scope) -> LevelPlan:
    """What ε takes at a level."""
    shift = epsilon / downscale / level.sigma
    ranks, measured = scope_ranks(samples, shift, alpha, scope), level.measured
    width = None if measured is None else expected_width(measured, ranks, samples)
    least = scope_least_samples(shift, alpha, scope)
    return LevelPlan(level.sigma, shift, least, width, None if measured is None else measured.srocc)


def choose(
    manifest: Manifest, epsilon: float, alpha: float, samples: int, scope: Scope, sigma: float | None = None
) -> Choice:
    """The level for a claim, or the one asked for with ``sigma``.

    Raises ParameterError for a ``sigma`` that the family has not, and where nothing was measured to choose by.
    """
    plans = tuple(
        level_plan(level, manifest.input.downscale, epsilon, alpha, samples, scope) for level in manifest.levels
    )
    if sigma is not None:
        return Choice(known_sigma(manifest, sigma), "asked for", plans)
    if any(plan.srocc is None for plan in plans):
        raise ParameterError(
            f"{manifest.name} says nothing of what its noise levels are worth: give sigma, one of {_list(manifest)}"
        )
    finite = [plan for plan in plans if plan.width is not None]
    at = f"at epsilon={epsilon:g} with n={samples}"
    if not finite:
        return Choice(plans[-1].sigma, f"the largest: no level has a bound {at}", plans)
    limit = NARROW * (_score_range(manifest) or np.inf)
    narrow = [plan for plan in finite if (plan.width or 0) <= limit]
    if not narrow:
        return Choice(_narrowest(finite).sigma, f"the narrowest {at}: every level is wider than {limit:g}", plans)
    best = max(plan.srocc or 0 for plan in narrow)
    tied = [plan for plan in narrow if (plan.srocc or 0) >= best - TIE]
    roomy = [plan for plan in tied if plan.least_samples is not None and ROOM * plan.least_samples <= samples]
    taken = roomy[0] if roomy else _narrowest(tied)
    return Choice(taken.sigma, f"the most accurate {at} of those expected to be at most {limit:g} wide", plans)


def known_sigma(manifest: Manifest, sigma: float) -> float:
    """``sigma``, or ParameterError that names the levels there are."""
    there = [level.sigma for level in manifest.levels] or [manifest.input.sigma]
    if isinstance(sigma, bool) or not isinstance(sigma, (int, float, np.floating)) or float(sigma) not in there:
        raise ParameterError(f"{manifest.name} has no noise level sigma={sigma}: it has {_list(manifest)}")
    return float(sigma)


def _list(manifest: Manifest) -> str:
    return ", ".join(f"{level.sigma:g}" for level in manifest.levels) or f"{manifest.input.sigma:g} alone"


def _narrowest(plans: list[LevelPlan]) -> LevelPlan:
    return min(plans, key=lambda plan: (plan.width or 0, plan.sigma))


def _score_range(manifest: Manifest) -> float | None:
    ends = manifest.score.range
    return None if ends is None else ends[1] - ends[0]
