"""Protobuf's wire format: the fields of one message, strictly.

    message = { key varint = number·8 + type, value }     type 0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes

It is what lets the runtime look into an ONNX graph without the ``onnx`` package, before ONNX Runtime parses it. Source:
https://protobuf.dev/programming-guides/encoding. Groups (types 3 and 4) are refused: ONNX has none.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import BundleError


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) in order: int for a varint, else the bytes. Raises BundleError for what is no message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == 2:
            size, place = _varint(message, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise BundleError(f"the graph holds a field of wire type {kind}, which ONNX has not")
        if number == 0 or size > len(message) - place:
            raise BundleError("the graph is cut short, or no ONNX at all")
        yield number, message[place : place + size]
        place += size


def varints(packed: memoryview) -> list[int]:
    """The numbers of a packed repeated field."""
    found, place = [], 0
    while place < len(packed):
        value, place = _varint(packed, place)
        found.append(value)
    return found


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """(value, place behind it) of a varint of ten bytes at most."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            break
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), place
    raise BundleError("the graph is cut short, or no ONNX at all")
