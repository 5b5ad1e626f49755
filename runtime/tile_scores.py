"""The scores so far of a frame of tiles: as :mod:`runtime.scores`, with float32[drawn, tiles] and bounds of their own.

Looks split α equally: with probability ≥ 1−α the bounds of all of them hold. With scope "reported" the next report may
stop at another look than this one, which the bounds of tiles do not cover: there is one look, at all samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from .arguments import Claim
from .bounds.aggregates import Aggregate
from .bounds.alpha import Scope, equal_share
from .bounds.collective import clip_looks
from .bounds.pooling import pool_intervals
from .bounds.stopping import Schedule, Stopping
from .errors import ModelError, ParameterError
from .frames.input import Frame
from .frames.tiles import tiling
from .noise.keys import ClipNoise
from .noise.table import table_for
from .results.pooled import FRAME_BY_FRAME, Pooled, pooled
from .results.tampering import Domain, Tampering
from .results.tile_certificate import TileCertificate, aggregated, bound_tiles
from .scores import ClipScores, Frames, FrameScores, NoisySampler, reading_of

__all__ = ["TileClip", "TileScores", "tile_schedule"]


class TileScores(FrameScores):
    """``tiling``: how the frame is cut. ``distance``: of one tile's noise from its ideal law.

    Raises what :class:`FrameScores` raises, and FrameError for a frame that is smaller than half a tile.
    """

    def __init__(
        self,
        frame: Frame,
        bit_depth: int | None,
        noisy: NoisySampler,
        clip: ClipNoise | None = None,
        index: int = 0,
        reading: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(frame, bit_depth, noisy, clip, index, reading)
        assert self._lattice is not None
        assert noisy.tile is not None
        if noisy.score_range is None:
            raise ParameterError(f"{noisy.sampler.name} states no range of scores, which a bound of tiles rests on")
        self.score_range = noisy.score_range
        self.tiling = tiling(self._lattice.height, self._lattice.width, noisy.tile)
        self.aggregate: Aggregate = getattr(noisy.sampler, "aggregate", None) or Aggregate()
        self.domain = Domain(self.tiling, noisy.sampler.sigma, noisy.sampler.downscale, self._lattice.bit_depth)
        self.distance = min(1.0, table_for(noisy.sampler.sigma, self._lattice).distance * self.tiling.values)
        self.scores = np.empty((0, self.tiling.count), np.float32)

    def looks(self, claim: Claim) -> Schedule:
        """The sample counts to stop at; they depend on the frame's size and the claim, never on scores."""
        return tile_schedule(_tampering(claim), self.domain, claim.alpha, claim.scope, self._noisy.samples)

    def bounds(self, claim: Claim, looks: int) -> tuple[float, float]:
        """(lower, upper) of the scores so far, at one of ``looks`` looks that share ``claim.alpha``."""
        made = bound_tiles(
            self.scores,
            _tampering(claim),
            self.domain,
            self.aggregate,
            equal_share(claim.alpha, looks),
            claim.scope,
            self.distance,
            self.score_range,
        )
        return made.lower, made.upper

    def certify(self, claim: Claim, tolerance: float | None) -> TileCertificate:
        """Draw all samples, or up to the first look whose interval is no wider than ``tolerance``, and certify them."""
        if tolerance is None:
            self.advance(self._noisy.samples)
            return self.tile_certificate(claim)
        looks = self.looks(claim)
        number = -1
        wide = True
        while wide and number + 1 < len(looks.looks):
            number += 1
            self.advance(looks.looks[number])
            lower, upper = self.bounds(claim, len(looks.looks))
            wide = upper - lower > tolerance
        return self.tile_certificate(
            claim, Stopping({"kind": "tolerance", "tolerance": float(tolerance)}, looks, number)
        )

    def tile_certificate(self, claim: Claim, stopping: Stopping | None = None) -> TileCertificate:
        """The certificate of the scores so far. Raises ModelError where half of a tile's or more failed."""
        sampler = self._noisy.sampler
        score = aggregated(self.scores, self.aggregate)
        failed = int(np.count_nonzero(~np.isfinite(self.scores)))
        if not np.isfinite(score):
            raise ModelError(
                f"{sampler.name} returned NaN or infinity for {failed} of {self.scores.size} noisy tiles of this "
                "frame: one has no median score; check the model with `biqa verify`"
            )
        self.scores.setflags(write=False)
        share = equal_share(claim.alpha, 1 if stopping is None else len(stopping.schedule.looks))
        tampering = _tampering(claim)
        evidence = bound_tiles(
            *(self.scores, tampering, self.domain, self.aggregate, share, claim.scope, self.distance, self.score_range)
        )
        return TileCertificate(
            score=score,
            lower=evidence.lower,
            upper=evidence.upper,
            epsilon=claim.epsilon,
            alpha=claim.alpha,
            samples=self._noisy.samples,
            scope=claim.scope,
            sigma=sampler.sigma,
            downscale=sampler.downscale,
            ranks=(None, None),
            failed_samples=failed,
            noise_distance=self.distance,
            provenance=self._provenance,
            scores=self.scores,
            stopping=stopping,
            tampering=tampering,
            tiling=self.tiling,
            aggregate=self.aggregate,
            evidence=evidence,
        )


class TileClip(ClipScores):
    """Frames of tiles until a question about their pooled score is settled: each frame at α/M, look by look."""

    def __init__(
        self, frames: Frames, claim: Claim, noisy: NoisySampler, bit_depth: int | None, pool: str, bound: str | None
    ) -> None:
        if len(frames) > 1:
            noisy.why_not_collective(pool, bound, stopped_alone=True)
        super().__init__(frames, claim, noisy, bit_depth, pool, FRAME_BY_FRAME)
        self._bound = bound

    def bounds(self) -> tuple[float, float]:
        pairs = [scores.bounds(self._claim, len(self._schedule(scores).looks)) for scores in self._tiles()]
        lower, upper = pool_intervals([low for low, _ in pairs], [high for _, high in pairs])
        return lower[self._pool], upper[self._pool]

    def pooled(self, rule: Mapping[str, Any]) -> Pooled:
        certificates = [
            scores.tile_certificate(self._claim, Stopping(rule, self._schedule(scores), self._index(scores)))
            for scores in self._tiles()
        ]
        return pooled(self._pool, certificates, self._joint.alpha, bound=self._bound)

    def _open(self, frame: Frame, noise: ClipNoise | None, index: int) -> FrameScores:
        return TileScores(frame, self._bit_depth, self._noisy, noise, index, reading_of(self._frames))

    def _tiles(self) -> list[TileScores]:
        return [scores for scores in self._frame_scores if isinstance(scores, TileScores)]

    def _schedule(self, scores: FrameScores) -> Schedule:
        assert isinstance(scores, TileScores)
        return scores.looks(self._claim)


def tile_schedule(tampering: Tampering, domain: Domain, alpha: float, scope: Scope, samples: int) -> Schedule:
    """The sample counts to stop at: all of them share ``alpha``."""
    if scope == "reported":
        return Schedule((samples,), ())
    return Schedule(_look_counts(domain.tiling.count, tampering.attack(domain).shifts[0], alpha, samples), ())


@lru_cache(maxsize=64)
def _look_counts(tiles: int, shift: float, alpha: float, samples: int) -> tuple[int, ...]:
    return clip_looks(tiles, shift, alpha, samples).counts


def _tampering(claim: Claim) -> Tampering:
    assert claim.tampering is not None
    return claim.tampering
