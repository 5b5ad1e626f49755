"""M frames claimed together, drawn look by look until a question about their pooled score is settled.

Each frame gets α/M and its own schedule of looks (:mod:`runtime.stopping`), so with probability ≥ 1−α the intervals of
all frames hold at all looks, and with them the pooled interval (:mod:`runtime.pooling`) of whichever look it was that
settled the question. Between two looks only keys and scores are kept, M·n floats: the frames are read once a look, and
once before the first where they share their noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from .certificate import Certificate
from .drawing import Drawing, Picture, Ranks, Source, Terms
from .errors import ParameterError
from .keys import ClipNoise
from .pooling import pool_intervals
from .stopping import Schedule, Stopping, schedule


class Frames(Protocol):
    """Frames that can be read again and again, the same each time, their number known: a list, or a file."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Picture]: ...


class Clip:
    """``terms.alpha``: the error of all frames together. ``bit_depth``: of uint16 RGB frames, None for the dtype's."""

    def __init__(self, frames: Frames, terms: Terms, source: Source, bit_depth: int | None) -> None:
        self._frames = frames
        self._source = source
        self._bit_depth = bit_depth
        self._drawings: list[Drawing] = []
        self._look = -1
        self._noise: ClipNoise | None = None
        if len(frames) < 1:
            raise ParameterError("there is no frame to certify")
        self._terms = Terms(terms.epsilon, terms.alpha / len(frames), terms.scope)
        self._shift = terms.epsilon / source.sampler.downscale / source.sampler.sigma

    def advance(self) -> bool:
        """Draw all frames on to their next look; False where all have had their last."""
        if self._drawings and all(self._at_end(drawing) for drawing in self._drawings):
            return False
        self._look += 1
        if self._look == 0:
            self._noise = self._source.clip_noise(self._frames, self._bit_depth)
        if len(self._frames) == 1 and self._drawings:
            self._draw(self._drawings[0])
            return True
        count = 0
        for picture in self._frames:
            if count == len(self._frames):
                raise ParameterError(f"more than the {count} frames that alpha was split over")
            if self._look == 0:
                self._drawings.append(Drawing(picture, self._bit_depth, self._source, self._noise, count))
            else:
                self._drawings[count].reopen(picture)
            self._draw(self._drawings[count])
            if len(self._frames) > 1:
                self._drawings[count].release()
            count += 1
        if count < len(self._frames):
            raise ParameterError(f"{count} frames came, alpha was split over {len(self._frames)}")
        return True

    def bounds(self, pool: str) -> tuple[float, float]:
        """(lower, upper) of the pooled score at this look; infinite or NaN where there is none."""
        pairs = [drawing.interval(self._ranks(drawing)) for drawing in self._drawings]
        lower, upper = pool_intervals([low for low, _ in pairs], [high for _, high in pairs])
        return lower[pool], upper[pool]

    def certificates(self, rule: Mapping[str, Any]) -> tuple[Certificate, ...]:
        """The certificates of all frames at this look. Raises ModelError where a frame has no score."""
        return tuple(
            drawing.certificate(
                self._terms, self._ranks(drawing), Stopping(rule, self._schedule(drawing), self._index(drawing))
            )
            for drawing in self._drawings
        )

    def _draw(self, drawing: Drawing) -> None:
        drawing.advance(self._schedule(drawing).looks[self._index(drawing)])

    def _schedule(self, drawing: Drawing) -> Schedule:
        terms = self._terms
        return schedule(self._source.samples, self._shift, terms.alpha, terms.scope, drawing.distance)

    def _index(self, drawing: Drawing) -> int:
        return min(self._look, len(self._schedule(drawing).looks) - 1)

    def _ranks(self, drawing: Drawing) -> Ranks:
        return self._schedule(drawing).ranks(self._index(drawing))

    def _at_end(self, drawing: Drawing) -> bool:
        return len(drawing.scores) == self._source.samples
