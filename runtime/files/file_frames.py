"""A path → its frames, picture or video alike, with the count known before the first is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from ..errors import ParameterError, VideoError
from ..frames.input import Frame
from .images import is_image, read_image
from .video import open_video


class Input:
    """Every ``subsample``-th frame of a picture (one frame) or a video file. A context manager.

    ``count``: the number of frames that will come. Raises VideoError, FrameError or ConversionError when
    opened, or while frames are read; never yields fewer frames than ``count`` without an error.
    """

    def __init__(self, path: Path, *, subsample: int = 1, matrix: str | None = None, range: str | None = None) -> None:
        if subsample < 1:
            raise ParameterError(f"subsample is 1 or more, not {subsample}")
        self.path = path
        self.subsample = subsample
        self._reader = None if is_image(path) else open_video(path, matrix=matrix, range=range)
        self._image = read_image(path)[0] if self._reader is None else None
        total = 1 if self._reader is None else self._reader.frame_count
        self.count = -(-total // subsample)

    def __iter__(self) -> Iterator[tuple[int, Frame]]:
        """(frame number in the file, frame as ``Certifier.stream`` takes it)."""
        if self._image is not None:
            yield 0, self._image
        elif self._reader is not None:
            for decoded in self._reader:
                if decoded.index % self.subsample == 0:
                    yield decoded.index, (decoded.planes, decoded.conversion)

    def __enter__(self) -> Input:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._reader is not None:
            self._reader.close()


class FileFrames:
    """The frames of a file, opened anew for every pass over them: what ``Certifier.gate`` and ``compare`` take.

    Parameters and errors are those of :class:`Input`. ``numbers``: the frames' numbers in the file.
    """

    def __init__(self, path: Path, *, subsample: int = 1, matrix: str | None = None, range: str | None = None) -> None:
        self._path = path
        self._subsample = subsample
        self._colour = {"matrix": matrix, "range": range}
        with self._open() as source:
            self._count = source.count

    @property
    def numbers(self) -> list[int]:
        return [index * self._subsample for index in range(self._count)]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        with self._open() as source:
            if source.count != self._count:
                raise VideoError(f"{self._path} changed while it was read")
            for _, frame in source:
                yield frame

    def _open(self) -> Input:
        return Input(self._path, subsample=self._subsample, **self._colour)
