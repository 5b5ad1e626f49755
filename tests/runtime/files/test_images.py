"""Picture files: exact code values, or an error that says what to do."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from runtime.errors import BiqaError, FrameError, VideoError
from runtime.files.images import is_image, read_image
from tests.support.clips import photograph, write_clip

PICTURE = photograph()[:40, :60]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_are_exact(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path, lossless=True)
    pixels, depth = read_image(path)
    assert depth == 8
    assert np.array_equal(pixels, PICTURE)
    assert is_image(path)


def test_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    Image.fromarray(PICTURE).save(path, quality=95)
    assert np.abs(read_image(path)[0].astype(int) - PICTURE).mean() < 3


def test_palette_without_transparency_is_exact(tmp_path: Path) -> None:
    image = Image.fromarray(PICTURE).quantize(16)
    image.save(tmp_path / "picture.png")
    assert np.array_equal(read_image(tmp_path / "picture.png")[0], np.asarray(image.convert("RGB")))


def ppm(pixels: NDArray[np.integer], maximum: int) -> bytes:
    height, width, _ = pixels.shape
    return b"P6 %d %d %d\n" % (width, height, maximum) + pixels.astype(">u2" if maximum > 255 else np.uint8).tobytes()


def png(pixels: NDArray[np.uint16]) -> bytes:
    """16 bits a channel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff(pixels: NDArray[np.uint16], order: str = "<", planar: bool = False) -> bytes:
    """16 bits a channel, uncompressed, one strip (a plane)."""
    height, width, _ = pixels.shape
    data = (pixels.transpose(2, 0, 1) if planar else pixels).astype(f"{order}u2").tobytes()
    strips = 3 if planar else 1
    length, bits = len(data) // strips, 8 + len(data)
    tail = struct.pack(
        f"{order}3H{2 * strips}I", 16, 16, 16, *(8 + n * length for n in range(strips)), *[length] * strips
    )
    offsets, lengths = (bits + 6, bits + 6 + 12) if planar else (8, length)
    short, long = 3, 4
    entries = [
        *(
            (256, short, 1, width),
            (257, short, 1, height),
            (258, short, 3, bits),
            (259, short, 1, 1),
            (262, short, 1, 2),
        ),
        *((273, long, strips, offsets), (277, short, 1, 3), (278, short, 1, height), (279, long, strips, lengths)),
        (284, short, 1, 2 if planar else 1),
    ]
    made = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", bits + len(tail)) + data + tail
    made += struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        packed = (
            struct.pack(f"{order}HH", value, 0) if kind == short and count == 1 else struct.pack(f"{order}I", value)
        )
        made += struct.pack(f"{order}HHI", tag, kind, count) + packed
    return made + bytes(4)


DEEP = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)


@pytest.mark.parametrize(
    "data", [png(DEEP), tiff(DEEP), tiff(DEEP, ">"), ppm(DEEP, 65535)], ids=["png", "le", "be", "ppm"]
)
def test_sixteen_bits_survive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "deep"
    path.write_bytes(data)
    pixels, depth = read_image(path)
    assert depth == 16
    assert np.array_equal(pixels, DEEP)
    for length in (len(data) // 2, len(data) - 200):
        path.write_bytes(data[:length])
        with pytest.raises(BiqaError):
            read_image(path)


def test_a_numbered_name_is_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("deep%03d.png", "pipe:0"):
        Path(name).write_bytes(png(DEEP))
        assert np.array_equal(read_image(Path(name))[0], DEEP)


def test_depths_between_are_refused(tmp_path: Path) -> None:
    """Pillow would rescale a PPM and widen a 16-bit BMP, and read planes of 16 bits as if they had 8."""
    path = tmp_path / "picture"
    bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54 + 64, 0, 0, 54, 40, 4, 8, 1, 16, 0, 64, 0, 0, 0, 0) + bytes(
        range(64)
    )
    for data, message in (
        (ppm(DEEP >> 6, 1023), "8 or 16 full bits"),
        (ppm(DEEP >> 10, 63), "8 or 16 full bits"),
        (bmp, "8 or 16 full bits"),
        (tiff(DEEP, planar=True), "separate planes"),
    ):
        path.write_bytes(data)
        with pytest.raises(FrameError, match=message):
            read_image(path)
    path.write_bytes(ppm(PICTURE, 255))
    assert np.array_equal(read_image(path)[0], PICTURE)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_pixels_are_as_stored(tmp_path: Path, suffix: str) -> None:
    """Neither an orientation nor a colour profile is applied."""
    path = tmp_path / f"picture.{suffix}"
    turned = Image.Exif()
    turned[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    Image.fromarray(PICTURE).save(path, lossless=True, exif=turned, icc_profile=profile)
    assert np.array_equal(read_image(path)[0], PICTURE)


def test_turned_tiff_is_refused(tmp_path: Path) -> None:
    """Pillow would turn it, and other readers would not."""
    Image.fromarray(PICTURE).save(tmp_path / "picture.tiff", tiffinfo={0x0112: 6})
    with pytest.raises(FrameError, match="turn it upright"):
        read_image(tmp_path / "picture.tiff")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM"])
def test_damage_is_one_of_our_errors(tmp_path: Path, format: str) -> None:
    """Twenty pictures with three bytes of the header changed: pixels or an error of ours, never another."""
    path = tmp_path / "picture"
    Image.fromarray(PICTURE).save(path, format)
    data = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(20):
        damaged = bytearray(data)
        for place in [*rng.integers(0, 60, 2), rng.integers(len(data) - 100, len(data))]:
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(BiqaError):
            read_image(path)


@pytest.mark.parametrize(
    ("mode", "message"),
    [("L", "not RGB"), ("RGBA", "transparency"), ("LA", "transparency"), ("1", "not RGB"), ("I;16", "not RGB")],
)
def test_not_rgb(tmp_path: Path, mode: str, message: str) -> None:
    path = tmp_path / "picture.png"
    image = (
        Image.fromarray(PICTURE[:, :, 0].astype(np.uint16))
        if mode == "I;16"
        else Image.fromarray(PICTURE).convert(mode)
    )
    image.save(path)
    with pytest.raises(FrameError, match=message):
        read_image(path)


def test_cmyk_and_animation(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).convert("CMYK").save(tmp_path / "cmyk.jpg")
    with pytest.raises(FrameError, match="CMYK"):
        read_image(tmp_path / "cmyk.jpg")
    frames = [Image.fromarray(PICTURE), Image.fromarray(PICTURE[::-1].copy())]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(FrameError, match="2 pictures"):
        read_image(tmp_path / "moving.webp")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "bmp", "ppm"])
@pytest.mark.parametrize("lenient", [False, True])
def test_cut_pictures_are_errors(tmp_path: Path, suffix: str, lenient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the program around us tells Pillow to be lenient; it stays told so."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(PICTURE).save(whole)
    data = whole.read_bytes()
    for share in (0.1, 0.5, 0.9):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(BiqaError):
            read_image(cut)
    assert lenient is ImageFile.LOAD_TRUNCATED_IMAGES


def test_not_a_picture(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name in ("text.png", "empty.png", "nothing.png"):
        assert not is_image(tmp_path / name)
        with pytest.raises(VideoError):
            read_image(tmp_path / name)
    assert not is_image(write_clip(tmp_path / "clip.mp4", frames=2))


def test_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "picture.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(VideoError, match="too large"):
        read_image(tmp_path / "picture.png")
