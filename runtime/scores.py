"""The scores so far: of one frame's noisy copies, and of the frames of a clip.

frame → lattice → key → scores → certificate

**A clip.** M frames claimed together are drawn look by look until a question about their pooled score is settled. A
mean is bounded collectively (:mod:`runtime.bounds.collective`): all frames have their looks in common, and each look
its part of α. Other pools are bounded frame by frame: each frame gets α/M and its own schedule of looks
(:mod:`runtime.bounds.stopping`). Either way, with probability ≥ 1−α, the pooled interval holds at all looks, and so at
the one that settled the question. Between two looks only keys and scores are kept, M·n floats: the frames are read once
a look, and once before the first where they share their noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .arguments import Claim
from .bounds.aggregates import Aggregate
from .bounds.alpha import equal_share
from .bounds.collective import Looks, clip_looks
from .bounds.pooling import pool_intervals
from .bounds.ranks import interval, sample_median, sorted_sides
from .bounds.stopping import Schedule, Stopping, schedule, schedule_at
from .errors import ModelError, ParameterError
from .frames.device import DeviceReader
from .frames.input import Frame, OpenedFrame, open_frame
from .frames.lattice import Lattice
from .noise.keys import ClipNoise, NoiseSource, frame_sha256, lattice_sha256
from .noise.table import table_for
from .results.certificate import Certificate, Provenance
from .results.pooled import Look, Pooled, UnitScores, collective_of, out_of_range, pooled, why_not_collective
from .results.tampering import Tampering
from .results.tile_certificate import why_not_together
from .samplers import Sampler

__all__ = ["CHUNK", "ClipScores", "FrameScores", "Frames", "NoisySampler", "reading_of"]

CHUNK = 64
"""Samples asked of the sampler at a time: how often progress is told."""

_CHANGED = "a frame changed between two readings of a clip: the same frames must come in every pass"

Ranks = tuple[int | None, int | None]


@dataclass(frozen=True)
class NoisySampler:
    """What draws: the sampler, the noise, n of the key and at most, and who is told of progress.

    ``share_noise``: the frames of a clip share one noise key. ``tampering``: that is claimed of frames of tiles.
    ``recorded``: scores that this very noise gave before, by lattice_sha256: the sampler is not asked for them again.
    ``level``: what the record says of the choice among a family's noise levels.
    """

    sampler: Sampler
    noise: NoiseSource
    samples: int
    progress: Callable[[int], None] | None
    share_noise: bool = False
    tampering: Tampering | None = None
    recorded: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    level: Mapping[str, Any] | None = None

    def open(self, frame: Frame, bit_depth: int | None) -> OpenedFrame:
        """RGB and lattice of a frame, for this sampler."""
        reader = self.sampler if isinstance(self.sampler, DeviceReader) else None
        return open_frame(frame, bit_depth, downscale=self.sampler.downscale, reader=reader)

    @property
    def score_range(self) -> tuple[float, float] | None:
        """(lowest, highest) score that the sampler states, None where it does not."""
        return getattr(self.sampler, "score_range", None)

    @property
    def tile(self) -> int | None:
        """T where the sampler scores a frame's T×T tiles, None for whole frames."""
        return getattr(self.sampler, "tile", None)

    def why_not_collective(self, pool: str, bound: str | None, *, stopped_alone: bool = False) -> str | None:
        """Why a clip's pool is not bounded collectively: :func:`runtime.results.pooled.why_not_collective`."""
        return why_not_collective(
            *(pool, self.score_range, bound),
            share_noise=self.share_noise,
            stopped_alone=stopped_alone,
            tiles=self._why_not_tiles(pool),
        )

    def _why_not_tiles(self, pool: str) -> str | None:
        if self.tampering is None:
            return None
        return why_not_together(pool, self.tampering, getattr(self.sampler, "aggregate", None) or Aggregate())

    def shift(self, epsilon: float) -> float:
        """s = ε/(kσ): the radius on the source frame in units of the noise."""
        return epsilon / self.sampler.downscale / self.sampler.sigma

    def key(self, lattice: Lattice) -> bytes:
        """The key of a frame that stands alone."""
        return self.noise.key(lattice, self.sampler.digest, self.sampler.sigma, self.samples)

    def clip_noise(self, frames: Iterable[Frame], bit_depth: int | None) -> ClipNoise | None:
        """The noise that the frames of a clip share, which are all read for it; None where each has its own."""
        if not self.share_noise:
            return None
        keys = tuple(self.key(self.open(frame, bit_depth).lattice) for frame in frames)
        return ClipNoise(self.noise.clip_key(keys), keys)


class FrameScores:
    """``scores``: float32[drawn], sample 0 first; of tiles float32[drawn, tiles].

    ``distance``: of the frame's noise from its ideal law.

    ``clip``: the noise it shares as frame ``index`` of a clip; None: it has its own. ``reading``: how its file was
    read, for the record; None: it comes from no file. Raises FrameError or
    ConversionError for a frame that cannot be scored, ParameterError for one that is not the clip's.
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
        sampler, noise = noisy.sampler, noisy.noise
        opened = noisy.open(frame, bit_depth)
        self._noisy = noisy
        self._bit_depth = bit_depth
        self._lattice: Lattice | None = opened.lattice
        self._own_key = noisy.key(self._lattice)
        if clip is not None and (index >= len(clip.frames) or self._own_key != clip.frames[index]):
            raise ParameterError(_CHANGED)
        self._key = self._own_key if clip is None else clip.key
        size = self._lattice.values.size
        self.distance = min(1.0, table_for(sampler.sigma, self._lattice).distance * size)
        self.scores = np.empty(0, np.float32)
        self._provenance = Provenance(
            model=sampler.name,
            model_sha256=sampler.digest,
            frame_sha256=frame_sha256(opened.rgb),
            lattice_sha256=lattice_sha256(opened.lattice),
            score_range=noisy.score_range,
            height=opened.rgb.shape[0],
            width=opened.rgb.shape[1],
            bit_depth=opened.lattice.bit_depth,
            noise=noise.kind,
            secret_sha256=noise.commitment,
            public_seed=noise.public_seed,
            engine=engine_for(sampler, opened.lattice),
            conversion=None if opened.conversion is None else opened.conversion.to_dict(),
            shared_noise_frames=None if clip is None else len(clip.frames),
            reading=reading,
            level=noisy.level,
            calibration=getattr(sampler, "calibration", None),
        )

    def advance(self, count: int) -> None:
        """Draw on until ``count`` scores are there. Raises ModelError where the sampler returns another number."""
        if self._lattice is None:
            raise RuntimeError("the lattice was released: reopen the frame first")
        scores = np.empty((count, *self.scores.shape[1:]), np.float32)
        drawn = len(self.scores)
        scores[:drawn] = self.scores
        recorded = self._noisy.recorded.get(self._provenance.lattice_sha256, self.scores)[:count]
        if len(recorded) > drawn:
            if recorded.shape[1:] != self.scores.shape[1:]:
                raise ModelError(f"recorded scores of shape {recorded.shape} are not those of this frame")
            scores[drawn : len(recorded)] = recorded[drawn:]
            drawn = len(recorded)
        sampler = self._noisy.sampler
        for start in range(drawn, count, CHUNK):
            size = min(CHUNK, count - start)
            got = np.asarray(sampler.scores(self._lattice, self._key, start, size))
            if got.shape != (size, *self.scores.shape[1:]):
                raise ModelError(f"{sampler.name} returned scores of shape {got.shape} for {size} samples")
            scores[start : start + size] = got
            if self._noisy.progress:
                self._noisy.progress(size)
        self.scores = scores

    def release(self) -> None:
        """Let go of the pixels; key and scores stay."""
        self._lattice = None

    def reopen(self, frame: Frame) -> None:
        """Take the same frame again to draw on. Raises ParameterError where it is another one."""
        self._lattice = self._noisy.open(frame, self._bit_depth).lattice
        if self._own_key != self._noisy.key(self._lattice):
            raise ParameterError(_CHANGED)

    def unit(self, shift: float) -> UnitScores:
        """The scores so far as one unit of a clip. ``shift``: ε/(kσ)."""
        return UnitScores(self.scores, shift, self.distance, self._provenance.lattice_sha256)

    def interval(self, ranks: Ranks) -> tuple[float, float]:
        """(lower, upper) of the scores so far."""
        return interval(*sorted_sides(self.scores), ranks)

    def certificate(self, claim: Claim, ranks: Ranks, stopping: Stopping | None = None) -> Certificate:
        """The certificate of the scores so far. Raises ModelError where half of them or more failed."""
        sampler = self._noisy.sampler
        low, high = sorted_sides(self.scores)
        lower, upper = interval(low, high, ranks)
        score = sample_median(low, high)
        failed = int(np.count_nonzero(~np.isfinite(self.scores)))
        if not np.isfinite(score):
            raise ModelError(
                f"{sampler.name} returned NaN or infinity for {failed} of {len(self.scores)} noisy copies of this "
                "frame: it has no median score; check the model with `biqa verify`"
            )
        self.scores.setflags(write=False)
        return Certificate(
            score=score,
            lower=lower,
            upper=upper,
            epsilon=claim.epsilon,
            alpha=claim.alpha,
            samples=self._noisy.samples,
            scope=claim.scope,
            sigma=sampler.sigma,
            downscale=sampler.downscale,
            ranks=ranks,
            failed_samples=failed,
            noise_distance=self.distance,
            provenance=self._provenance,
            scores=self.scores,
            stopping=stopping,
        )


class Frames(Protocol):
    """Frames that can be read again and again, the same each time, their number known: a list, or a file."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]: ...


def engine_for(sampler: Sampler, lattice: Lattice) -> Mapping[str, Any]:
    """The engine as it runs on a frame of this size: samplers whose way depends on it say so."""
    said = getattr(sampler, "engine_for", None)
    return dict(said(lattice)) if said else sampler.engine


def reading_of(frames: object) -> Mapping[str, Any] | None:
    """How the file behind these frames was read, where there is one: ``FileFrames`` says."""
    return getattr(frames, "reading", None)


class ClipScores:
    """``claim.alpha``: the error of all frames together. ``bit_depth``: of uint16 RGB frames, None for the dtype's.

    ``pool``, ``bound``: what is asked of the clip; None for a collective bound where there is one.
    """

    def __init__(
        self, frames: Frames, claim: Claim, noisy: NoisySampler, bit_depth: int | None, pool: str, bound: str | None
    ) -> None:
        self._frames = frames
        self._noisy = noisy
        self._bit_depth = bit_depth
        self._pool = pool
        self._bound = bound
        self._frame_scores: list[FrameScores] = []
        self._look = -1
        self._noise: ClipNoise | None = None
        if len(frames) < 1:
            raise ParameterError("there is no frame to certify")
        self._joint = claim
        self._claim = replace(claim, alpha=equal_share(claim.alpha, len(frames)))
        self._shift = noisy.shift(claim.epsilon)
        self._looks: Looks | None = None
        if len(frames) > 1 and noisy.why_not_collective(pool, bound) is None:
            self._looks = clip_looks(len(frames), self._shift, claim.alpha, noisy.samples, claim.scope)

    def advance(self) -> bool:
        """Draw all frames on to their next look; False where all have had their last."""
        if self._frame_scores and all(self._at_end(scores) for scores in self._frame_scores):
            return False
        self._look += 1
        if self._look == 0:
            self._noise = self._noisy.clip_noise(self._frames, self._bit_depth)
        if len(self._frames) == 1 and self._frame_scores:
            self._draw(self._frame_scores[0])
            return True
        count = 0
        for frame in self._frames:
            if count == len(self._frames):
                raise ParameterError(f"more than the {count} frames that alpha was split over")
            if self._look == 0:
                self._frame_scores.append(self._open(frame, self._noise, count))
            else:
                self._frame_scores[count].reopen(frame)
            self._draw(self._frame_scores[count])
            if len(self._frames) > 1:
                self._frame_scores[count].release()
            count += 1
        if count < len(self._frames):
            raise ParameterError(f"{count} frames came, alpha was split over {len(self._frames)}")
        return True

    def bounds(self) -> tuple[float, float]:
        """(lower, upper) of the pooled score at this look; infinite or NaN where there is none."""
        ends = self._noisy.score_range
        if self._looks is not None and ends is not None:
            units = [scores.unit(self._shift) for scores in self._frame_scores]
            if out_of_range(units, ends) is None:
                made = collective_of(self._pool, units, self._joint.alpha, ends, self._joint.scope, self._stopped())
                return made.lower, made.upper
        pairs = [scores.interval(self._ranks(scores)) for scores in self._frame_scores]
        lower, upper = pool_intervals([low for low, _ in pairs], [high for _, high in pairs])
        return lower[self._pool], upper[self._pool]

    def pooled(self, rule: Mapping[str, Any]) -> Pooled:
        """The pooled score at this look, with all frames' certificates. Raises ModelError where one has no score."""
        certificates = tuple(
            scores.certificate(
                self._claim, self._ranks(scores), Stopping(rule, self._schedule(scores), self._index(scores))
            )
            for scores in self._frame_scores
        )
        return pooled(self._pool, certificates, self._joint.alpha, bound=self._bound, look=self._stopped())

    def _open(self, frame: Frame, noise: ClipNoise | None, index: int) -> FrameScores:
        return FrameScores(frame, self._bit_depth, self._noisy, noise, index, reading_of(self._frames))

    def _stopped(self) -> Look | None:
        return None if self._looks is None else Look(self._looks, min(self._look, len(self._looks.counts) - 1))

    def _draw(self, scores: FrameScores) -> None:
        scores.advance(self._schedule(scores).looks[self._index(scores)])

    def _schedule(self, scores: FrameScores) -> Schedule:
        claim = self._claim
        if self._looks is not None:
            return schedule_at(self._looks.counts, self._shift, claim.alpha, claim.scope, scores.distance)
        return schedule(self._noisy.samples, self._shift, claim.alpha, claim.scope, scores.distance)

    def _index(self, scores: FrameScores) -> int:
        return min(self._look, len(self._schedule(scores).looks) - 1)

    def _ranks(self, scores: FrameScores) -> Ranks:
        return self._schedule(scores).ranks(self._index(scores))

    def _at_end(self, scores: FrameScores) -> bool:
        return len(scores.scores) == self._noisy.samples
