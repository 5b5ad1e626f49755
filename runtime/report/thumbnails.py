"""The worst frames of a file, small, as ``data:`` URIs. Each is the frame that was certified: its SHA-256 is compared.

The file is read once more, after it was scored, and no frame is kept but in small. All thumbnails of a page share
``ROOM``, so a page stays below 2 MB with however many files.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RecordError
from ..files.file_frames import FileFrames
from ..files.pillow import load_pillow
from ..frames.planes import rgb_from_planes
from ..noise.keys import frame_sha256

ROOM = 1_300_000
"""Characters that all thumbnails of a page may take together."""

MOST = 60_000
"""Characters of one thumbnail."""

SIDES = (640, 480, 400, 320, 240, 160, 120, 96, 72, 56)
"""Longer sides in pixels that are tried, until a thumbnail fits its share."""

QUALITY = 72


@dataclass(frozen=True)
class Thumbnail:
    """A frame in small. ``frame``: its number in the file. ``uri``: ``data:image/webp;base64,…``."""

    frame: int
    width: int
    height: int
    uri: str


def thumbnail_share(files: int) -> tuple[int, int]:
    """(thumbnails of each file, characters that one of them may take) where so many files are on a page."""
    each = 12 if files == 1 else 6 if files == 2 else 2 if files <= 12 else 1
    return each, min(MOST, ROOM // (files * each))


def worst(scores: Sequence[tuple[int, float, str]], count: int, *, higher_is_better: bool) -> dict[int, str]:
    """Frame number → SHA-256 of the ``count`` worst frames, the worst first; of equal ones those that come first.

    ``scores``: (number, score, SHA-256) of each.
    """
    ordered = sorted(scores, key=lambda frame: frame[1] if higher_is_better else -frame[1])
    return {number: sha256 for number, _, sha256 in ordered[:count]}


def take_thumbnails(frames: FileFrames, hashes: Mapping[int, str], room: int) -> list[Thumbnail]:
    """Thumbnails of the frames numbered in ``hashes``, which holds the SHA-256 that was certified of each.

    ``room``: characters that one may take; a frame that does not fit however small has none. Raises RecordError for a
    frame that is not the certified one, DependencyError where Pillow is missing.
    """
    taken = []
    for number, rgb, depth in _frames(frames, max(hashes, default=-1)):
        if number in hashes:
            if frame_sha256(rgb) != hashes[number]:
                raise RecordError(f"frame {number} is not the frame that was certified: its pixels differ")
            made = _thumbnail(number, rgb, depth, room)
            taken += [] if made is None else [made]
    return taken


def _frames(frames: FileFrames, last: int) -> Iterator[tuple[int, NDArray[Any], int]]:
    """(number, RGB, bit depth) up to the last one."""
    for number, frame in zip(frames.numbers, frames, strict=False):
        if number > last:
            return
        if isinstance(frame, tuple):
            yield number, rgb_from_planes(*frame), frame[1].bit_depth
        else:
            rgb = np.asarray(frame)
            yield number, rgb, 8 * rgb.dtype.itemsize


def _thumbnail(number: int, rgb: NDArray[Any], depth: int, room: int) -> Thumbnail | None:
    pillow = load_pillow()
    whole = pillow.fromarray((rgb >> (depth - 8)).astype(np.uint8) if depth > 8 else rgb)
    for side in SIDES:
        scale = min(1.0, side / max(whole.size))
        width, height = (max(1, round(scale * length)) for length in whole.size)
        small = whole if scale == 1 else whole.resize((width, height), pillow.Resampling.LANCZOS)
        data = io.BytesIO()
        small.save(data, "WEBP", quality=QUALITY, method=6)
        text = f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode()}"
        if len(text) <= room:
            return Thumbnail(number, width, height, text)
    return None
