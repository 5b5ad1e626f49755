"""The certificates of a clip's frames → one pooled score and its certified interval.

Two bounds can be had of a pool, and the record says which one it has:

``collective``      mean and harmonic mean: sampling errors of the frames cancel (bounds/collective.py), at α for
                    the pool;
``frame-by-frame``  any pool: it lies between the pooled ends of the frames' intervals, each at α/M (bounds/pooling.py).

A collective bound takes frames whose noise is independent, a number of samples fixed beforehand or looks paid for, and
a stated range of scores. Which of the two it is does not depend on the scores, as long as these keep to the range that
their model states. Frames whose lattices are equal draw the same noise: they are one unit, of their joint weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounds.alpha import Scope
from ..bounds.collective import HARMONIC_MEAN, MEAN, Collective, Looks, Mean, Units, certify_mean
from ..bounds.pooling import finite_or_none, pool_intervals
from ..bounds.pooling import pool as pool_scores
from ..errors import ParameterError
from .certificate import Certificate
from .tile_certificate import TileCertificate, why_not_together

COLLECTIVE: Mapping[str, Mean] = {mean.name: mean for mean in (MEAN, HARMONIC_MEAN)}
"""Pools that have a collective bound."""

ONE_FRAME, FRAME_BY_FRAME, TOGETHER = "one-frame", "frame-by-frame", "collective"
ASKED_FOR = "it was asked for"
OUT_OF_RANGE = "a score left the range that the model states"
BOUNDS = (TOGETHER, FRAME_BY_FRAME)
"""Those that can be wished for."""


@dataclass(frozen=True)
class Look:
    """Where a clip stopped: at ``number``, from 0, of ``looks``, which all its frames have in common."""

    looks: Looks
    number: int


@dataclass(frozen=True)
class Pooled:
    """The pooled score of a clip's frames, or a frame's own, and its certified interval where sampling stopped.

    ``pool``: mean, min, max or harmonic_mean. ``certificates``: of each frame, at its share of the error; they are its
    items. ``alpha``: error of the pooled interval. ``bound``: "collective", "frame-by-frame" or "one-frame"; ``why``:
    it is not collective. ``evidence``: of a collective bound, how to make it again. ``lower`` and ``upper`` are
    infinite, or NaN for a harmonic mean, where nothing is certified. ``path``: of their file, None for frames.
    ``look``: where all frames of a clip stopped early. Truthy unless a bound is missing.

    >>> certified = certifier.certify_file(photo)
    >>> len(certified), certified.pool, certified.lower == certified[0].lower
    (1, 'mean', True)
    """

    pool: str
    score: float
    lower: float
    upper: float
    certificates: tuple[Certificate, ...] = field(repr=False)
    alpha: float
    bound: str
    why: str | None = None
    evidence: Collective | None = field(default=None, repr=False)
    path: str | None = None
    look: Look | None = field(default=None, repr=False)

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
            **self.bound_record(),
        }

    def bound_record(self) -> dict[str, Any]:
        """Which bound it is, its error, and of a collective one what it takes to make it again. JSON types."""
        record: dict[str, Any] = {"bound": self.bound, "alpha": self.alpha}
        if self.why:
            record["why"] = self.why
        if self.evidence:
            record["collective"] = self.evidence.to_dict()
        return record


@dataclass(frozen=True, eq=False)
class UnitScores:
    """One frame as a unit of its clip. ``scores``: float32[n], in the order drawn. ``shift``: ε/(kσ).

    ``distance``: of its noise from the ideal law. ``lattice_sha256``: frames with the same one drew the same noise.
    ``weight``: what it has in the mean, next to others.
    """

    scores: NDArray[np.float32]
    shift: float
    distance: float
    lattice_sha256: str
    weight: float = 1.0


def pooled(
    pool: str,
    certificates: Sequence[Certificate],
    alpha: float,
    *,
    bound: str | None = None,
    look: Look | None = None,
    path: str | None = None,
) -> Pooled:
    """Pool the scores and bound the pool. ``certificates``: of frames claimed jointly, each at α/M.

    ``alpha``: the error of the pooled interval. ``bound``: the one wished for, None for a collective one where there is
    one. ``look``: of a clip that was stopped early, all its frames at once. Raises ParameterError where a collective
    bound is wished for and there is none.
    """
    score = pool_scores([c.score for c in certificates])[pool]
    made = tuple(certificates)
    lower, upper = pool_intervals([c.lower for c in certificates], [c.upper for c in certificates])
    if len(made) == 1:
        return Pooled(pool, score, lower[pool], upper[pool], made, alpha, ONE_FRAME, path=path)
    first = made[0]
    why = why_not_collective(
        pool,
        first.provenance.score_range,
        bound,
        share_noise=first.provenance.shared_noise_frames is not None,
        stopped_alone=look is None and any(c.stopping for c in certificates),
        tiles=why_not_together(pool, first.tampering, first.aggregate) if isinstance(first, TileCertificate) else None,
    )
    units = [
        UnitScores(c.scores, c.epsilon_engine / c.sigma, c.noise_distance, c.provenance.lattice_sha256) for c in made
    ]
    why = why or out_of_range(units, first.provenance.score_range)
    if why is None and first.provenance.score_range is not None:
        tiles = [c for c in made if isinstance(c, TileCertificate)]
        if tiles:
            units = [unit for certificate in tiles for unit in _tile_units(certificate)]
        evidence = collective_of(pool, units, alpha, first.provenance.score_range, first.scope, look)
        return Pooled(pool, score, evidence.lower, evidence.upper, made, alpha, TOGETHER, None, evidence, path, look)
    return Pooled(pool, score, lower[pool], upper[pool], made, alpha, FRAME_BY_FRAME, why, path=path, look=look)


def why_not_collective(
    pool: str,
    score_range: tuple[float, float] | None,
    bound: str | None = None,
    *,
    share_noise: bool,
    stopped_alone: bool,
    tiles: str | None = None,
) -> str | None:
    """Why frames are not bounded collectively, None if they are; known before any of them is scored.

    ``bound``: the one wished for, None for any. ``stopped_alone``: whether each frame may stop by itself. ``tiles``:
    why those of its frames are not bounded together. Raises ParameterError for a bound that is none, or a collective
    one that cannot be had.
    """
    if bound not in (None, *BOUNDS):
        raise ParameterError(f"bound is one of {', '.join(BOUNDS)}, not {bound!r}")
    if bound == FRAME_BY_FRAME:
        return ASKED_FOR
    why = None
    if pool not in COLLECTIVE:
        why = f"a {pool} has no collective bound"
    elif score_range is None:
        why = "the model states no range of scores, and a collective bound takes one: biqa build --score-range"
    elif share_noise:
        why = "the frames share their noise, and a collective bound takes independent noise"
    elif tiles is not None:
        why = tiles
    elif stopped_alone:
        why = "each frame stops by itself, and a collective bound takes a number of samples fixed beforehand"
    elif not score_range[0] > COLLECTIVE[pool].above:
        why = f"the range of scores begins at {score_range[0]:g}, and a {pool} is bounded above -1"
    if why and bound == TOGETHER:
        raise ParameterError(f"there is no collective bound here: {why}")
    return why


def out_of_range(units: Sequence[UnitScores], score_range: tuple[float, float] | None) -> str | None:
    """What a score says that leaves the range which its model states: that the range is wrong. None if none does."""
    if score_range is None:
        return None
    low, high = score_range
    for unit in units:
        finite = unit.scores[np.isfinite(unit.scores)]
        if finite.size and not (low <= finite.min() and finite.max() <= high):
            return f"{OUT_OF_RANGE}, {low:g} to {high:g}: build it with the right one"
    return None


def _tile_units(certificate: TileCertificate) -> list[UnitScores]:
    """The tiles of a frame as units of their clip, which together weigh as much as any other frame."""
    shift = certificate.tampering.shift(certificate.domain)
    sha256, weight = certificate.provenance.lattice_sha256, 1 / certificate.tiling.count
    return [
        UnitScores(scores, shift, certificate.noise_distance, f"{sha256} tile {number}", weight)
        for number, scores in enumerate(certificate.scores.T)
    ]


def collective_of(
    pool: str,
    frames: Sequence[UnitScores],
    alpha: float,
    score_range: tuple[float, float],
    scope: Scope,
    look: Look | None,
) -> Collective:
    """The collective bound. Frames of one law are a group; those that drew the same noise are one unit."""
    groups: dict[Units, dict[str, list[UnitScores]]] = {}
    for frame in frames:
        law = Units(1, len(frame.scores), frame.shift, frame.distance)
        groups.setdefault(law, {}).setdefault(frame.lattice_sha256, []).append(frame)
    units = [replace(law, count=len(same)) for law, same in groups.items()]
    scores = [np.stack([alike[0].scores for alike in same.values()]).astype(np.float64) for same in groups.values()]
    weights = [
        np.array([math.fsum(unit.weight for unit in alike) for alike in same.values()]) for same in groups.values()
    ]
    low, high = score_range
    made = certify_mean if look is None else partial(look.looks.certify_mean, look.number)
    return made(scores, units, alpha, bottom=low, top=high, scope=scope, weights=weights, mean=COLLECTIVE[pool])
