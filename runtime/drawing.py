"""One frame and the scores of its noisy copies so far: frame → lattice → key → scores → certificate.

A frame in device memory takes the same way on a host copy, which its hash and its key are made of; the lattice says
where the pixels are, so that the sampler need not bring them back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .certificate import Certificate, Provenance
from .device_frames import COPY, DeviceArray, device_frame, is_device_frame
from .errors import FrameError, ModelError, ParameterError
from .frames import Lattice, lattice
from .keys import ClipNoise, NoiseSource, frame_sha256
from .noise import table_for
from .planes import Conversion, rgb_from_planes
from .ranks import Scope, interval, sample_median, sorted_sides
from .samplers import DeviceReader, Sampler
from .stopping import Stopping

Picture = NDArray[Any] | DeviceArray | tuple[Sequence[NDArray[Any]], Conversion]
"""A frame as RGB, in host or device memory, or as decoded planes with the conversion to apply."""

CHUNK = 64
"""Samples asked of the sampler at a time: how often progress is told."""

_CHANGED = "a frame changed between two readings of a clip: the same frames must come in every pass"

Ranks = tuple[int | None, int | None]


@dataclass(frozen=True)
class Terms:
    """What a certificate is asked to claim: its ε, its own α, and its scope."""

    epsilon: float
    alpha: float
    scope: Scope


@dataclass(frozen=True)
class Source:
    """What draws: the sampler, the noise, n of the key and at most, and who is told of progress.

    ``per_video``: the frames of a clip share one noise key.
    """

    sampler: Sampler
    noise: NoiseSource
    samples: int
    progress: Callable[[int], None] | None
    per_video: bool = False

    def key(self, picture: Lattice) -> bytes:
        """The key of a frame that stands alone."""
        return self.noise.key(picture, self.sampler.digest, self.sampler.sigma, self.samples)

    def clip_noise(self, pictures: Iterable[Picture], bit_depth: int | None) -> ClipNoise | None:
        """The noise that the frames of a clip share, which are all read for it; None where each has its own."""
        if not self.per_video:
            return None
        frames = [self.key(_opened(picture, bit_depth, self.sampler).lattice) for picture in pictures]
        return ClipNoise(self.noise.clip_key(frames), tuple(frames))


class Drawing:
    """``scores``: float32[drawn], sample 0 first. ``distance``: of the frame's noise from its ideal law.

    ``clip``: the noise it shares as frame ``index`` of a clip; None: it has its own. Raises FrameError or
    ConversionError for a picture that cannot be scored, ParameterError for one that is not the clip's.
    """

    def __init__(
        self, picture: Picture, bit_depth: int | None, source: Source, clip: ClipNoise | None = None, index: int = 0
    ) -> None:
        sampler, noise = source.sampler, source.noise
        opened = _opened(picture, bit_depth, sampler)
        self._source = source
        self._bit_depth = bit_depth
        self._lattice: Lattice | None = opened.lattice
        self._own_key = source.key(self._lattice)
        if clip is not None and (index >= len(clip.frames) or self._own_key != clip.frames[index]):
            raise ParameterError(_CHANGED)
        self._key = self._own_key if clip is None else clip.key
        size = self._lattice.values.size
        self.distance = min(1.0, table_for(sampler.sigma, self._lattice).distance * size)
        self.scores = np.empty(0, np.float32)
        self._provenance = Provenance(
            model=sampler.name,
            model_sha256=sampler.digest,
            frame_sha256=frame_sha256(opened.frame),
            height=opened.frame.shape[0],
            width=opened.frame.shape[1],
            bit_depth=opened.lattice.bit_depth,
            noise=noise.kind,
            secret_sha256=noise.commitment,
            public_seed=noise.public_seed,
            engine=sampler.engine,
            conversion=None if opened.conversion is None else opened.conversion.to_dict(),
            shared_noise_frames=None if clip is None else len(clip.frames),
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
        self._lattice = _opened(picture, self._bit_depth, self._source.sampler).lattice
        if self._own_key != self._source.key(self._lattice):
            raise ParameterError(_CHANGED)

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


@dataclass(frozen=True)
class _Opened:
    """``frame``: RGB, on the host. ``lattice``: its sums, with the place of the pixels where a GPU has them."""

    frame: NDArray[Any]
    lattice: Lattice
    conversion: Conversion | None


def _opened(picture: Picture, bit_depth: int | None, sampler: Sampler) -> _Opened:
    if isinstance(picture, tuple):
        planes, conversion = picture
        frame: NDArray[Any] = rgb_from_planes(planes, conversion)
        bit_depth, device = conversion.bit_depth, None
    elif is_device_frame(picture):
        reader, device, conversion = _reader(sampler), device_frame(picture), None
        frame = reader.host_copy(device)
    else:
        device, conversion = None, None
        frame = cast("NDArray[Any]", picture)  # ``lattice`` says what else it is
    sums = lattice(frame, downscale=sampler.downscale, bit_depth=bit_depth)
    return _Opened(frame, replace(sums, device=device), conversion)


def _reader(sampler: Sampler) -> DeviceReader:
    if not isinstance(sampler, DeviceReader):
        raise FrameError(
            f"the frame is in device memory, and {sampler.name} does not read it there: open the model with "
            f"device='cuda', or {COPY}"
        )
    return sampler
