"""Damage at random places: refused, or the same pixels; what passes is counted, and its reason is known.

JPEG, WebP and AVIF have no checksum, so a change inside their coded pixels that leaves a valid code cannot be seen: the
limits below are what was counted with this seed, and none of those that pass is shorter than the whole file.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from runtime.errors import BiqaError, VideoError
from runtime.files.damage import walk_jpeg
from runtime.files.images import read_picture
from tests.support.clips import photograph
from tests.support.pictures import PICTURE, damage, png_chunk, saved, tiff, with_png_chunk

KINDS = ("zeros", "flips", "dropped", "cut")


def unseen(data: bytes, count: int) -> dict[str, int]:
    """How many of ``count`` damaged copies give other pixels without an error, by kind."""
    (whole,) = read_picture("whole", data)
    rng = np.random.default_rng(14)
    passed = dict.fromkeys(KINDS, 0)
    for index in range(count):
        kind = KINDS[index % len(KINDS)]
        try:
            (frame,) = read_picture("damaged", damage(data, rng, kind))
        except BiqaError:
            continue
        passed[kind] += not np.array_equal(frame, whole)
    return passed


SEEN = {"PNG": {}, "TIFF": {"compression": "tiff_adobe_deflate"}}
"""Formats whose every change is seen: checksums."""


@pytest.mark.parametrize("format", SEEN)
def test_checksums_see_everything(format: str) -> None:
    assert sum(unseen(saved(PICTURE, format=format, **SEEN[format]), 40).values()) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("format", ["JPEG", "WEBP", "AVIF", "GIF"])
def test_lost_bytes_are_seen(format: str) -> None:
    """Cut files always; bytes left out too, but in a JPEG, whose code falls into step again: half are seen."""
    passed = unseen(saved(photograph()[:256, :256], format=format, quality=90), 40)
    assert passed["cut"] == 0
    assert passed["dropped"] <= {"JPEG": 6}.get(format, 0)


@pytest.mark.long
@pytest.mark.parametrize(
    ("format", "options", "count", "most"),
    [
        ("JPEG", {"quality": 90}, 200, 90),
        ("JPEG", {"quality": 90, "progressive": True}, 200, 60),
        ("WEBP", {"quality": 80}, 100, 50),
        ("PNG", {}, 100, 0),
        ("AVIF", {"quality": 80}, 100, 50),
    ],
)
def test_damage_at_random_places(format: str, options: dict[str, object], count: int, most: int) -> None:
    passed = unseen(saved(photograph()[:256, :256], format=format, **options), count)
    print(format, options, passed)
    assert passed["cut"] == 0
    assert sum(passed.values()) <= most
    if format in ("WEBP", "AVIF"):  # lengths are checked, so only changes in place can pass
        assert passed["dropped"] == 0


def test_holes_in_a_jpeg() -> None:
    """What libjpeg decodes without a warning; a flat picture whose code is zeros is no hole."""
    data = bytearray(saved(photograph()[:256, :256], format="JPEG", quality=90))
    middle = len(data) // 2
    data[middle : middle + 64] = bytes(64)
    with pytest.raises(VideoError, match=r"hole of zero bytes|[Cc]orrupt"):
        read_picture("hole", bytes(data))
    flat = saved(np.full((512, 512, 3), 128, np.uint8), format="JPEG", optimize=True)
    ((_, _, may_be_zeros),) = walk_jpeg("flat", flat).scans
    assert may_be_zeros
    assert next(iter(read_picture("flat", flat))).shape == (512, 512, 3)


def test_the_chain_of_jpeg_markers() -> None:
    data = saved(PICTURE, format="JPEG")
    found = walk_jpeg("whole", data)
    assert found.end == len(data)
    assert found.components == 3
    for broken, message in (
        (data[:-2], "ends inside its pixels"),
        (data[:30], "incomplete"),
        (b"\xff\xd8ab", "marker"),
    ):
        with pytest.raises(VideoError, match=message):
            walk_jpeg("broken", broken)


def test_png_checksums() -> None:
    png = saved(PICTURE, format="PNG")
    text = with_png_chunk(png, b"tEXt", b"a\0b")
    at = text.index(b"tEXt")
    for broken, message in (
        (text[: at + 5] + b"c" + text[at + 6 :], "checksum of its chunk tEXt"),
        (png[:-12], "incomplete"),
        (png[:33] + png_chunk(b"IDAT", zlib.compress(b"short")) + png_chunk(b"IEND", b""), "5 bytes of pixels"),
    ):
        with pytest.raises(VideoError, match=message):
            read_picture("broken", broken)


@pytest.mark.parametrize("frames", [0, 3])
def test_an_animation_that_miscounts_its_frames(frames: int) -> None:
    """A warning of the decoder that it shows something else is no small matter."""
    png = saved(PICTURE, format="PNG")
    with pytest.raises(VideoError, match="cut or damaged"):
        read_picture("broken", with_png_chunk(png, b"acTL", struct.pack(">II", frames, 0)))


def test_a_damaged_strip_of_a_tiff() -> None:
    for compression in ("zlib", "lzw"):
        data = bytearray(tiff(PICTURE, compression=compression))
        middle = len(data) // 2
        data[middle : middle + 64] = bytes(64)
        with pytest.raises(VideoError, match="damaged"):
            read_picture("broken", bytes(data))
