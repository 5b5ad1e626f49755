"""What was named on a command line → the files to read, in an order that people expect.

A file is itself, whatever its name. A folder stands for the stills and videos below it, told by their suffixes; hidden
ones and links to folders are passed over. A pattern (``*``, ``?``, ``[…]``, ``**``) that is no file's name stands for
what it matches. What was found this way comes in natural order, ``frame2`` before ``frame10``, and each file once.
"""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import ParameterError
from .file_frames import STANDARD_INPUT

__all__ = ["listed", "natural"]

STILLS = frozenset((
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".heif", ".hif", ".j2k", ".jp2", ".jpe", ".jpeg", ".jpg", ".jxl",
    ".mpo", ".pbm", ".pgm", ".pnm", ".png", ".ppm", ".psd", ".tga", ".tif", ".tiff", ".webp",
))  # fmt: skip
VIDEOS = frozenset((
    ".264", ".265", ".avi", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ts", ".vob", ".webm", ".y4m",
))  # fmt: skip
"""Suffixes that are looked for in a folder; whether such a file can be read shows when it is opened."""

_DIGITS = re.compile(r"(\d+)")
_PATTERN = re.compile(r"[*?\[]")


def listed(inputs: Sequence[Path], lists: Sequence[Path] = ()) -> list[Path]:
    """The files that ``inputs`` and the lines of ``lists`` stand for; a list ``-`` is standard input.

    A file named twice is there twice; one that a folder or a pattern finds again is not. Raises ParameterError for a
    folder without stills and videos, a pattern that matches nothing, a list that cannot be read, and for no file.
    """
    named = [*inputs, *(path for one in lists for path in _lines(one))]
    if named.count(STANDARD_INPUT) + lists.count(STANDARD_INPUT) > 1:
        raise ParameterError("standard input can be read once: name - once")
    files: list[Path] = []
    taken: set[Path] = set()
    for path in named:
        found = _found(path)
        if found is None:
            files.append(path)
            taken.add(_real(path))
            continue
        for file in found:
            if (real := _real(file)) not in taken:
                files.append(file)
                taken.add(real)
    if not files:
        raise ParameterError("there is no file to read: name a file, a folder or a pattern, or give --files-from LIST")
    return files


def natural(path: Path) -> tuple[tuple[str | int, ...], ...]:
    """A key to sort by: numbers in names by their value, letters without their case.

    >>> from pathlib import Path
    >>> [path.name for path in sorted(map(Path, ["b10.png", "b9.png", "a/2.png"]), key=natural)]
    ['2.png', 'b9.png', 'b10.png']
    """
    return tuple(
        tuple(int(part) if place % 2 else part.casefold() for place, part in enumerate(_DIGITS.split(name)))
        for name in path.parts
    )


def _lines(path: Path) -> list[Path]:
    """The paths of a list, one a line; empty lines are passed over."""
    try:
        data = sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise ParameterError(f"the list {path} cannot be read: {error.strerror}") from None
    if b"\0" in data:
        raise ParameterError(f"the list {path} is no text: it holds one path a line")
    return [Path(os.fsdecode(line)) for line in data.splitlines() if line.strip()]


def _found(path: Path) -> list[Path] | None:
    """What a folder or a pattern stands for; None for what is a file's own name."""
    if path.is_dir():
        if found := sorted(_below(path), key=_order):
            return found
        raise ParameterError(f"{path}: no still and no video is in this folder; name other files one by one")
    if os.path.lexists(path) or not _PATTERN.search(str(path)):
        return None
    matched = sorted(map(Path, glob.glob(str(path), recursive=True)), key=_order)
    found = [file for match in matched for file in (sorted(_below(match), key=_order) if match.is_dir() else [match])]
    if not found:
        raise ParameterError(f"nothing matches {path}")
    return found


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in STILLS | VIDEOS:
                yield Path(place) / name


def _order(path: Path) -> tuple[tuple[tuple[str | int, ...], ...], str]:
    return natural(path), str(path)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
