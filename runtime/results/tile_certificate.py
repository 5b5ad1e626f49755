"""The certificate of a frame of tiles: one drawing, and as many claims of it as are asked for.

Its own interval is about the tampering that it was asked for. ``levels``, ``l2``, ``patch`` and ``claims`` bound the
same scores under another one. Each claim by itself has error α. Claims that are to hold together are asked for in one
call of ``claims``: each has its share of α then. Which tampering is asked for must not depend on the scores.

``map`` is the picture: where the frame is good or bad, and how sure that is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounds.aggregates import Aggregate
from ..bounds.alpha import equal_share
from ..bounds.budget import Tiles, certify_tiles
from ..bounds.collective import unit_medians
from ..bounds.ranks import check_parameters, interval, scope_ranks, sorted_sides
from ..errors import ParameterError
from ..frames.tiles import Place, Tiling
from .certificate import Certificate
from .claims import claim
from .tampering import Domain, Tampering


@dataclass(frozen=True)
class TileClaim:
    """One claim: with error ``alpha``, no such ``tampering`` moves the score out of [lower, upper].

    ``claim``: the same in words. ``evidence``: how to make the interval again.

    >>> claim = tiled.certify(frame).levels(1)
    >>> claim.lower <= claim.score <= claim.upper, str(claim.tampering)
    (True, '1 grey level')
    """

    tampering: Tampering
    score: float
    lower: float
    upper: float
    alpha: float
    claim: str
    evidence: Tiles = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {
            "score": self.score,
            "lower": self.lower,
            "upper": self.upper,
            "alpha": self.alpha,
            "tampering": self.tampering.to_dict(),
            "claim": self.claim,
            "tile_bound": self.evidence.to_dict(),
        }


@dataclass(frozen=True)
class MapTile:
    """One tile of the map: its ``place`` on the source frame, its ``median``, and what that is certified to be."""

    place: Place
    median: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False, kw_only=True)
class TileCertificate(Certificate):
    """A certified score of a frame of tiles. Truthy unless its interval is the whole range of scores.

    ``score``: ``aggregate`` of the tiles' medians. ``tampering``: what ``lower`` and ``upper`` are about; ``epsilon``
    is 0 where that is no L2 distance. ``tiling``: how the frame was cut. ``scores``: float32[drawn, tiles].
    ``evidence``: how to make the interval again.

    >>> import runtime
    >>> certificate = tiled.certify(frame)
    >>> grey, patch = certificate.claims(runtime.Tampering(levels=1), runtime.Tampering(patch=(8, 8)))
    >>> grey.alpha == patch.alpha == certificate.alpha / 2
    True
    >>> len(certificate.map), certificate.map[0].place.width
    (12, 32)
    """

    tampering: Tampering
    tiling: Tiling
    aggregate: Aggregate
    evidence: Tiles = field(repr=False)

    @property
    def abstained(self) -> bool:
        """True where the interval is the whole range of scores: nothing is certified."""
        return (self.lower, self.upper) == self._range

    @property
    def reason(self) -> str | None:
        """Why it abstained; None if it did not."""
        if not self.abstained:
            return None
        return (
            f"n={self.drawn} samples of {self.tiling.count} tiles bound nothing under this tampering "
            f"({self.tampering}): ask for less of it, or for more samples"
        )

    @property
    def within(self) -> str:
        return self.tampering.within

    @property
    def smoothed(self) -> str:
        return f"the {self.aggregate} over tiles of the median over the noise"

    @property
    def tampering_label(self) -> str:
        return str(self.tampering)

    @property
    def domain(self) -> Domain:
        """Where its tiles were scored."""
        return Domain(self.tiling, self.sigma, self.downscale, self.provenance.bit_depth)

    def levels(self, levels: float) -> TileClaim:
        """Every code value may have changed by ``levels`` grey levels of the frame's bit depth. Error α by itself."""
        return self.claims(Tampering(levels=levels))[0]

    def l2(self, epsilon: float) -> TileClaim:
        """The frame may have moved by an L2 distance of ``epsilon``, values in [0, 1]. Error α by itself."""
        return self.claims(Tampering(epsilon=epsilon))[0]

    def patch(self, width: int, height: int, *, levels: float | None = None) -> TileClaim:
        """One rectangle of ``width``×``height`` pixels may hold anything, ``levels`` elsewhere. Error α by itself."""
        return self.claims(Tampering(levels=levels, patch=(width, height)))[0]

    def claims(self, *tamperings: Tampering) -> tuple[TileClaim, ...]:
        """Claims that hold together with error α: each has its share. Raises ParameterError for none at all."""
        return tuple(self._claim(tampering, equal_share(self.alpha, len(tamperings))) for tampering in tamperings)

    @cached_property
    def medians(self) -> NDArray[np.float64]:
        """Each tile's median score, row by row."""
        return unit_medians(self.scores.T.astype(np.float64))

    @cached_property
    def map(self) -> tuple[MapTile, ...]:
        """Each tile's place, median and bounds, row by row. All bounds hold together, with error α.

        They are about this certificate's tampering, as far as it can move one tile: a whole L2 budget may be spent on
        it. A tile that a patch touches is not meant.
        """
        low_end, high_end = self._range
        alpha = equal_share(equal_share(self.alpha, self.tiling.count), max(1, len(self.looks)))
        shift = self.tampering.shift(self.domain)
        ranks = scope_ranks(self.drawn, shift, alpha, self.scope, self.noise_distance)
        tiles = []
        for place, median, scores in zip(self.tiling.places(self.downscale), self.medians, self.scores.T, strict=True):
            lower, upper = interval(*sorted_sides(scores), ranks)
            tiles.append(MapTile(place, float(median), max(low_end, lower), min(high_end, upper)))
        return tuple(tiles)

    @property
    def unseen(self) -> tuple[int, int]:
        """(rows, columns) at the lower and the right end of the source frame that fill no k×k box and no tile."""
        return (
            self.provenance.height - self.downscale * self.tiling.row_edges[-1],
            self.provenance.width - self.downscale * self.tiling.column_edges[-1],
        )

    def shared_by(self, frames: int) -> TileCertificate:
        if frames < 1 or self.stopping is not None:
            raise ParameterError("only a certificate of all its samples can be shared later, by 1 frame or more")
        made = self._claim(self.tampering, equal_share(self.alpha, frames))
        return replace(self, alpha=made.alpha, lower=made.lower, upper=made.upper, evidence=made.evidence)

    def curve(self, epsilons: Any) -> list[tuple[float, float, float]]:
        """(ε, lower, upper) at K L2 radii, jointly valid. Raises ParameterError if empty."""
        if not len(epsilons):
            raise ParameterError("a curve needs at least one epsilon")
        made = self.claims(*(Tampering(epsilon=float(epsilon)) for epsilon in epsilons))
        return [(float(epsilon), c.lower, c.upper) for epsilon, c in zip(epsilons, made, strict=True)]

    def radius(self, tolerance: float, *, alpha: float | None = None) -> float | None:
        """Tiles have none: a radius found from the scores would take a bound for all radii at once.

        Raises ParameterError.
        """
        check_parameters(self.samples, 0.0, self.alpha if alpha is None else alpha)
        raise ParameterError("tiles have no radius at a tolerance: ask for a few radii with curve(epsilons)")

    def to_dict(self) -> dict[str, Any]:
        record = super().to_dict()
        for key in ("lower_rank", "upper_rank"):
            del record[key]
        if self.tampering.epsilon is None:
            record["epsilon"] = record["epsilon_engine"] = None
        rows, columns = self.unseen
        height, width = self.provenance.height, self.provenance.width
        k = self.downscale
        record["tampering"] = self.tampering.to_dict()
        record["tiles"] = {
            "tile": self.tiling.tile,
            "row_edges": [k * edge for edge in self.tiling.row_edges],
            "column_edges": [k * edge for edge in self.tiling.column_edges],
            "aggregate": self.aggregate.name,
            "dropped": self.aggregate.dropped(self.tiling.count),
            "patch_touches": self.tampering.tiles_touched(self.domain),
            "unseen_rows": rows,
            "unseen_columns": columns,
            "unseen_share": 1 - (height - rows) * (width - columns) / (height * width),
        }
        record["map"] = {
            "alpha": self.alpha,
            "median": [tile.median for tile in self.map],
            "lower": [tile.lower for tile in self.map],
            "upper": [tile.upper for tile in self.map],
        }
        record["tile_bound"] = self.evidence.to_dict()
        return record

    @property
    def _range(self) -> tuple[float, float]:
        return self.evidence.range

    def _claim(self, tampering: Tampering, alpha: float) -> TileClaim:
        evidence = bound_tiles(
            self.scores,
            tampering,
            self.domain,
            self.aggregate,
            equal_share(alpha, max(1, len(self.looks))),
            self.scope,
            self.noise_distance,
            self._range,
        )
        words = claim(tampering.within, alpha, self.scope, self.samples, self.looks, self.smoothed)
        return TileClaim(tampering, self.score, evidence.lower, evidence.upper, alpha, words, evidence)


def bound_tiles(
    scores: NDArray[np.float32],
    tampering: Tampering,
    domain: Domain,
    aggregate: Aggregate,
    alpha: float,
    scope: Any,
    distance: float,
    score_range: tuple[float, float],
) -> Tiles:
    """The bound of :func:`runtime.bounds.budget.certify_tiles` for float32[n, tiles] ``scores``.

    ``distance``: of one tile's noise from its ideal law. ``alpha``: of this bound alone.
    """
    low, high = score_range
    return certify_tiles(
        scores.T,
        tampering.attack(domain),
        alpha,
        bottom=low,
        top=high,
        trim=aggregate.dropped(domain.tiling.count),
        scope=scope,
        distance=distance,
    )


def why_not_together(pool: str, tampering: Tampering, aggregate: Aggregate) -> str | None:
    """Why the tiles of a clip's frames are not bounded together, None if they are.

    Grey levels move each tile by itself, so all tiles of all frames are units of one mean. An L2 distance and a patch
    are shared by the tiles of each frame.
    """
    if tampering.epsilon is not None or tampering.patch is not None:
        return "each frame has its own L2 distance or patch, and its tiles are bounded together, frame by frame"
    if pool != "mean" or aggregate.name != "mean":
        return "all tiles of a clip are bounded together in a mean of means alone"
    return None


def aggregated(scores: NDArray[np.float32], aggregate: Aggregate) -> float:
    """The frame's score: the aggregate of its tiles' medians; NaN where failures reach a middle."""
    medians = unit_medians(scores.T.astype(np.float64))
    return aggregate.of(medians) if np.isfinite(medians).all() else math.nan
