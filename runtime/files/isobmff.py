"""What the boxes of a HEIF or AVIF file say of its colours and how it is displayed (ISO/IEC 23008-12, 14496-12)."""

from __future__ import annotations

from collections.abc import Iterator

Nclx = tuple[int, int, int]
"""Primaries, transfer and matrix, as ITU-T H.273 numbers them."""


def nclx(data: bytes) -> Iterator[Nclx]:
    """Of every ``colr`` box that gives numbers in place of a profile."""
    for at in _places(data, b"colrnclx"):
        values = data[at + 8 : at + 14]
        if len(values) == 6:
            yield int.from_bytes(values[:2]), int.from_bytes(values[2:4]), int.from_bytes(values[4:])


def av1_depth(data: bytes) -> int:
    """Bits a sample of the first ``av1C`` box; 8 where there is none."""
    for at in _places(data, b"av1C"):
        flags = data[at + 6] if len(data) > at + 6 else 0
        return 12 if flags & 0x20 else 10 if flags & 0x40 else 8
    return 8


def is_turned(data: bytes) -> bool:
    """Whether a property turns or mirrors an item."""
    return b"irot" in data or b"imir" in data


def _places(data: bytes, kind: bytes) -> Iterator[int]:
    at = data.find(kind)
    while at >= 0:
        yield at
        at = data.find(kind, at + 1)
