"""One frame and the scores of its noisy copies so far: frame → lattice → key → scores → certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .certificate import Certificate, Provenance
from .errors import ModelError, ParameterError
from .frames import Lattice, check_frame, lattice
from .keys import NoiseSource, frame_sha256
from .noise import table_for
from .planes import Conversion, rgb_from_planes
from .ranks import Scope, interval, sample_median, sorted_sides
from .samplers import Sampler
from .stopping import Stopping

Picture = NDArray[Any] | tuple[Sequence[NDArray[Any]], Conversion]
"""A frame as RGB, or as decoded planes with the conversion to apply."""

CHUNK = 64
"""Samples asked of the sampler at a time: how often progress is told."""

Ranks = tuple[int | None, int | None]


@dataclass(frozen=True)
class Terms:
    """What a certificate is asked to claim: its ε, its own α, and its scope."""

    epsilon: float
    alpha: float
    scope: Scope


@dataclass(frozen=True)
class Source:
    """What draws: the sampler, the noise, n of the key and at most, and who is told of progress."""

    sampler: Sampler
    noise: NoiseSource
    samples: int
    progress: Callable[[int], None] | None


class Drawing:
    """``scores``: float32[drawn], sample 0 first. ``distance``: of the frame's noise from its ideal law.

    Raises FrameError or ConversionError for a picture that cannot be scored.
    """

    def __init__(self, picture: Picture, bit_depth: int | None, source: Source) -> None:
        frame, depth, conversion = _decoded(picture, bit_depth)
        sampler, noise = source.sampler, source.noise
        self._source = source
        self._bit_depth = bit_depth
        self._lattice: Lattice | None = lattice(frame, downscale=sampler.downscale, bit_depth=depth)
        self._key = noise.key(self._lattice, sampler.digest, sampler.sigma, source.samples)
        size = self._lattice.values.size
        self.distance = min(1.0, table_for(sampler.sigma, self._lattice).distance * size)
        self.scores = np.empty(0, np.float32)
        self._provenance = Provenance(
            model=sampler.name,
            model_sha256=sampler.digest,
            frame_sha256=frame_sha256(frame),
            height=frame.shape[0],
            width=frame.shape[1],
            bit_depth=depth,
            noise=noise.kind,
            secret_sha256=noise.commitment,
            public_seed=noise.public_seed,
            engine=sampler.engine,
            conversion=None if conversion is None else conversion.to_dict(),
        )

    def advance(self, count: int) -> None:
        """Draw on until ``count`` scores are there. Raises ModelError where the sampler returns another number."""
        if self._lattice is None:
            raise RuntimeError("the lattice was released: reopen the frame first")
        scores = np.empty(count, np.float32)
        drawn = len(self.scores)
        scores[:drawn] = self.scores
        sampler = self._source.sampler
        for start in range(drawn, count, CHUNK):
            size = min(CHUNK, count - start)
            got = np.asarray(sampler.scores(self._lattice, self._key, start, size))
            if got.shape != (size,):
                raise ModelError(f"{sampler.name} returned scores of shape {got.shape} for {size} samples")
            scores[start : start + size] = got
            if self._source.progress:
                self._source.progress(size)
        self.scores = scores

    def release(self) -> None:
        """Let go of the pixels; key and scores stay."""
        self._lattice = None

    def reopen(self, picture: Picture) -> None:
        """Take the same frame again to draw on. Raises ParameterError where it is another one."""
        frame, depth, _ = _decoded(picture, self._bit_depth)
        sampler = self._source.sampler
        self._lattice = lattice(frame, downscale=sampler.downscale, bit_depth=depth)
        if self._key != self._source.noise.key(self._lattice, sampler.digest, sampler.sigma, self._source.samples):
            raise ParameterError("a frame changed between two looks: the same frames must come in every pass")

    def interval(self, ranks: Ranks) -> tuple[float, float]:
        """(lower, upper) of the scores so far."""
        return interval(*sorted_sides(self.scores), ranks)

    def certificate(self, terms: Terms, ranks: Ranks, stopping: Stopping | None = None) -> Certificate:
        """The certificate of the scores so far. Raises ModelError where half of them or more failed."""
        sampler = self._source.sampler
        low, high = sorted_sides(self.scores)
        lower, upper = interval(low, high, ranks)
        score = sample_median(low, high)
        failed = int(np.count_nonzero(~np.isfinite(self.scores)))
        if not np.isfinite(score):
            raise ModelError(
                f"{sampler.name} returned NaN or infinity for {failed} of {len(self.scores)} noisy copies of this "
                "frame: it has no median score; check the model with `python -m export verify`"
            )
        self.scores.setflags(write=False)
        return Certificate(
            score=score,
            lower=lower,
            upper=upper,
            epsilon=terms.epsilon,
            alpha=terms.alpha,
            samples=self._source.samples,
            scope=terms.scope,
            sigma=sampler.sigma,
            downscale=sampler.downscale,
            ranks=ranks,
            failed_samples=failed,
            noise_distance=self.distance,
            provenance=self._provenance,
            scores=self.scores,
            stopping=stopping,
        )


def _decoded(picture: Picture, bit_depth: int | None) -> tuple[NDArray[Any], int, Conversion | None]:
    """(RGB frame, its bit depth, the conversion it took or None)."""
    if isinstance(picture, tuple):
        planes, conversion = picture
        frame: NDArray[Any] = rgb_from_planes(planes, conversion)
        return frame, check_frame(frame, conversion.bit_depth), conversion
    return picture, check_frame(picture, bit_depth), None
