"""The frames a host hands over, one by one → certificates, all of one stream and as many as there should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from runtime import Certificate, Certifier, Conversion, ConversionError, ParameterError, VideoError
from runtime.noise import read_secret
from runtime.results import patch_size

_Look = tuple[tuple[int, ...], Conversion]
"""Rows and columns of a frame, and how it becomes RGB."""

_REPEATED = ": were frames repeated to even out their rate? ffmpeg -fps_mode passthrough does not"


def open_certifier(
    model: str | None = None,
    *,
    secret_file: str | None = None,
    public_seed: int | None = None,
    patch: str | None = None,
    **claims: Any,
) -> Certifier:
    """A certifier from the options hosts have: names of files instead of contents, ``patch`` as in 64x64.

    ``claims``: as for Certifier.
    """
    secret = read_secret(Path(secret_file)) if secret_file else None
    rectangle = patch_size(patch) if patch else None
    return Certifier(model or None, secret=secret, public_seed=public_seed, patch=rectangle, **claims)


class Session:
    """One stream. ``seen``: frames so far. ``jointly``: how many share α, None where their number is not known.

    ``name``: of the stream, for messages. ``count``: the frames that will come, None: unknown, and then every
    certificate stands alone at α. ``tolerance``, ``bound``: as for ``Certifier.stream``. ``samples``: noisy copies of
    each frame. Raises ParameterError where α shared by
    them leaves no bound.
    """

    def __init__(
        self,
        certifier: Certifier,
        name: str,
        *,
        count: int | None = None,
        subsample: int = 1,
        tolerance: float | None = None,
        bound: str | None = None,
    ) -> None:
        if subsample < 1:
            raise ParameterError(f"subsample is 1 or more, not {subsample}")
        if count is not None and count < 1:
            raise ParameterError(f"a stream has 1 frame or more, not {count}")
        self.name = name
        self.seen = 0
        self.jointly = None if count is None else -(-count // subsample)
        self._certifier = certifier
        self._count = count
        self._subsample = subsample
        self._tolerance = tolerance
        self._bound = bound
        self.samples = certifier.clip_samples(self.jointly or 1, bound=bound, alone=tolerance is not None)
        self._first: _Look | None = None
        certifier.refuse_too_few(name, frames=self.jointly or 1)

    def certify(self, planes: Sequence[NDArray[Any]], conversion: Conversion) -> Certificate | None:
        """The next frame's certificate, None for one that ``subsample`` passes over.

        Raises VideoError for a frame too many or of another size, ConversionError for one with other tags, and what
        ``Certifier.certify_planes`` raises.
        """
        index = self.seen
        if index == self._count:
            raise VideoError(f"{self.name}: more than the {self._count} frames it should have{_REPEATED}")
        found = planes[0].shape, conversion
        if self._first is None:
            self._first = found
        elif found != self._first:
            raise self._changed(index, self._first, found)
        self.seen += 1
        if index % self._subsample:
            return None
        (certificate,) = self._certifier.stream(
            [(planes, conversion)], jointly=self.jointly, tolerance=self._tolerance, bound=self._bound
        )
        return certificate

    def finish(self) -> None:
        """Raise VideoError unless the stream had frames, and as many as it should."""
        if self.seen == 0:
            raise VideoError(f"{self.name}: not one frame came: did what decodes it fail?")
        if self._count is not None and self.seen < self._count:
            raise VideoError(f"{self.name} is cut or damaged: {self.seen} frames came, it should have {self._count}")

    def _changed(self, index: int, first: _Look, found: _Look) -> Exception:
        (old_shape, old), (shape, new) = first, found
        if shape != old_shape:
            return VideoError(
                f"{self.name}: frame {index} is {shape[1]}×{shape[0]}, the first ones {old_shape[1]}×{old_shape[0]}: "
                "certify the parts each for itself"
            )
        names = [key for key, value in old.to_dict().items() if new.to_dict()[key] != value]
        return ConversionError(
            f"{self.name}: from frame {index} on its {', '.join(names)} changes: certify the parts each for itself"
        )
