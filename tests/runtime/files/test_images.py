"""Picture files: the frame as displayed, or an error that says what to do."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile

from runtime import FileFrames
from runtime.errors import BiqaError, ConversionError, FrameError, VideoError
from runtime.files.images import picture_format, read_picture
from runtime.files.orientation import turned
from runtime.files.profiles import rgb_profile
from tests.support.clips import write_clip
from tests.support.pictures import DEEP, PICTURE, png16, ppm, saved, tiff, with_png_chunk

P3 = (0.3127, 0.329, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
SRGB = (0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
GREY = PICTURE[:, :, 1]


def read(data: bytes, background: str | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
    """The one frame, and how it was read."""
    picture = read_picture("picture", data, background)
    (frame,) = picture
    return frame, picture.reading


def grey3(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(pixels[:, :, None], 3, axis=2)


EXACT: dict[str, tuple[bytes, NDArray[Any]]] = {
    "png": (saved(format="PNG"), PICTURE),
    "bmp": (saved(format="BMP"), PICTURE),
    "tiff": (saved(format="TIFF"), PICTURE),
    "webp": (saved(format="WEBP", lossless=True), PICTURE),
    "tga": (saved(format="TGA", compression="tga_rle"), PICTURE),
    "jp2": (saved(format="JPEG2000"), PICTURE),
    "avif, grey": (saved(np.full((32, 32, 3), 99, np.uint8), format="AVIF", quality=100), np.full((32, 32, 3), 99)),
    "png, grey": (saved(GREY, format="PNG"), grey3(GREY)),
    "bmp, grey": (saved(GREY, format="BMP"), grey3(GREY)),
    "tiff, grey": (saved(GREY, format="TIFF"), grey3(GREY)),
    "png, bilevel": (saved(Image.fromarray(GREY > 99), format="PNG"), grey3((GREY > 99) * np.uint8(255))),
    "tiff, bilevel": (saved(Image.fromarray(GREY > 99), format="TIFF", compression="group4"), grey3((GREY > 99) * 255)),
    "png, opaque": (saved(Image.fromarray(PICTURE).convert("RGBA"), format="PNG"), PICTURE),
    "png, grey and opaque": (saved(Image.fromarray(GREY).convert("LA"), format="PNG"), grey3(GREY)),
    "tga, opaque": (saved(Image.fromarray(PICTURE).convert("RGBA"), format="TGA"), PICTURE),
    "tiff, opaque": (saved(Image.fromarray(PICTURE).convert("RGBA"), format="TIFF"), PICTURE),
    "png, 16 bits": (png16(DEEP), DEEP),
    "png, 16 bits grey": (png16(DEEP[:, :, 0]), grey3(DEEP[:, :, 0])),
    "png, 16 bits opaque": (png16(np.dstack([DEEP, np.full(DEEP.shape[:2], 65535, np.uint16)])), DEEP),
    "ppm": (ppm(PICTURE, 255), PICTURE),
    "ppm, 16 bits": (ppm(DEEP, 65535), DEEP),
    "pgm, 16 bits": (ppm(DEEP[:, :, 1], 65535), grey3(DEEP[:, :, 1])),
    "tiff, 16 bits": (tiff(DEEP), DEEP),
    "tiff, 16 bits other order": (tiff(DEEP, byteorder=">"), DEEP),
    "tiff, 16 bits in tiles": (tiff(DEEP, tile=(16, 16)), DEEP),
    "tiff, 16 bits in planes": (tiff(DEEP.transpose(2, 0, 1).copy(), planarconfig=2, photometric=2), DEEP),
    "tiff, 16 bits lzw": (tiff(DEEP, compression="lzw", predictor=True), DEEP),
    "bigtiff": (tiff(DEEP, bigtiff=True, compression="zlib"), DEEP),
    "tiff, grey 16 bits": (tiff(DEEP[:, :, 2]), grey3(DEEP[:, :, 2])),
    "tiff, white is zero": (tiff(255 - GREY, photometric="miniswhite"), grey3(GREY)),
    "tiff, floats": (tiff((DEEP / 65535).astype(np.float32), photometric=2), DEEP),
    "gif": (saved(Image.fromarray(grey3(GREY)).quantize(4), format="GIF"), None),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", EXACT)
def test_lossless_files_are_exact(name: str) -> None:
    data, expected = EXACT[name]
    if expected is None:
        expected = np.asarray(Image.fromarray(grey3(GREY)).quantize(4).convert("RGB"))
    frame, reading = read(data)
    assert frame.shape == expected.shape
    assert frame.dtype == (np.uint16 if expected.max() > 255 else np.uint8)
    assert np.array_equal(frame, expected)
    assert reading["alpha"] == ("opaque everywhere, dropped" if "opaque" in name else "none")
    assert reading["orientation"] == "as stored"
    assert "sRGB" in reading["colours"]


@pytest.mark.parametrize("format", ["JPEG", "AVIF", "HEIF", "WEBP"])
def test_lossy_files_are_near(format: str) -> None:
    frame, reading = read(saved(PICTURE, format=format, quality=95))
    assert np.abs(frame.astype(int) - PICTURE).mean() < 4
    assert reading["format"] == format


def test_a_grid_is_read_whole() -> None:
    """A HEIC in tiles, as phones write them."""
    pixels = np.kron(PICTURE[::8, ::8], np.ones((44, 44, 1), np.uint8))
    frame, _ = read(saved(pixels, format="HEIF", quality=95, tile_size=128))
    assert frame.shape == pixels.shape
    assert np.abs(frame.astype(int) - pixels).mean() < 5


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_frame_is_upright(format: str, orientation: int) -> None:
    """Flat quarters, so that a codec's loss is small: the stored pixels turned back by what the file says."""
    upright = np.kron(
        np.array([[[250, 0, 0], [0, 250, 0], [0, 0, 250]], [[9, 9, 9], [250, 250, 0], [0, 250, 250]]]),
        np.ones((16, 16, 1)),
    ).astype(np.uint8)
    back = {6: 8, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[274] = orientation
    options: dict[str, Any] = {"tiffinfo": {274: orientation}} if format == "TIFF" else {"exif": exif}
    data = saved(
        np.ascontiguousarray(turned(upright, back)), format=format, lossless=True, quality=95, subsampling=0, **options
    )
    frame, reading = read(data)
    assert frame.shape == upright.shape
    assert np.abs(frame.astype(int) - upright).max() < 12
    assert (reading["orientation"] == "as stored") == (orientation == 1)


def test_avif_is_upright_and_moves() -> None:
    exif = Image.Exif()
    exif[274] = 6
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:, :32] = 200
    frame, reading = read(saved(stored, format="AVIF", quality=95, exif=exif))
    assert frame.shape == (64, 32, 3)
    assert abs(int(frame[:32].mean()) - 200) < 4
    assert reading["orientation"] == "turned by 90° clockwise"


def test_an_orientation_that_means_nothing() -> None:
    exif = Image.Exif()
    exif[274] = 9
    with pytest.raises(FrameError, match="1 … 8"):
        read(saved(format="JPEG", exif=exif))


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "AVIF", "JPEG"])
def test_profiles_are_converted(format: str) -> None:
    """Against the formula: P3 primaries to sRGB's, gamma 2.2, by matrices; littlecms in 8 bits is within 2."""
    pixels = np.full((16, 16, 3), (150, 120, 100), np.uint8)
    sharp = {} if format == "AVIF" else {"subsampling": 0}
    data = saved(pixels, format=format, icc_profile=rgb_profile(P3, 2.2), lossless=True, quality=100, **sharp)
    frame, reading = read(data)
    linear = np.linalg.inv(_xyz(SRGB)) @ _xyz(P3) @ (np.array([150, 120, 100]) / 255) ** 2.2
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(frame.reshape(-1, 3).mean(0) - expected).max() < 2.5
    assert "to sRGB: relative colorimetric, black point compensation, littlecms, 8 bits" in reading["colours"]


def _xyz(corners: tuple[float, ...]) -> NDArray[np.float64]:
    """RGB → XYZ of a space, by its corners."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in zip(corners[2::2], corners[3::2], strict=True)]).T
    white = np.array([corners[0] / corners[1], 1, (1 - corners[0] - corners[1]) / corners[1]])
    return columns * np.linalg.solve(columns, white)


def test_sixteen_bits_keep_their_depth_through_a_profile() -> None:
    frame, reading = read(tiff(DEEP, iccprofile=rgb_profile(P3, 2.2)))
    assert frame.dtype == np.uint16
    assert len(np.unique(frame & 255)) > 200
    assert reading["colours"].endswith("16 bits")


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frame, reading = read(saved(format="PNG", icc_profile=profile))
    assert np.array_equal(frame, PICTURE)
    assert reading["colours"].endswith("sRGB, not converted")


def test_profiles_that_do_not_fit() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    with pytest.raises(ConversionError, match="its ICC profile is for"):
        read(saved(format="PNG", icc_profile=lab))
    with pytest.raises(ConversionError, match="profile is damaged"):
        read(saved(format="PNG", icc_profile=b"no profile at all"))
    with pytest.raises(ConversionError, match="CMYK without a profile"):
        read(saved(Image.fromarray(PICTURE).convert("CMYK"), format="JPEG"))


def test_png_says_colours_in_other_ways() -> None:
    png = saved(format="PNG")
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        with pytest.raises(ConversionError, match=f"{name}.*tone-map"):
            read(with_png_chunk(png, b"cICP", bytes([9, transfer, 0, 1])))
    frame, reading = read(with_png_chunk(png, b"cICP", bytes([1, 13, 0, 1])))
    assert np.array_equal(frame, PICTURE)
    assert reading["colours"] == "cICP primaries 1, transfer 13: taken as sRGB"
    frame, reading = read(with_png_chunk(png, b"cICP", bytes([12, 13, 0, 1])))
    assert not np.array_equal(frame, PICTURE)
    frame, _ = read(with_png_chunk(png, b"gAMA", struct.pack(">I", 45455)))
    assert np.array_equal(frame, PICTURE)
    frame, reading = read(with_png_chunk(png, b"gAMA", struct.pack(">I", 100000)))
    assert frame.mean() > PICTURE.mean() + 20
    assert reading["colours"].startswith("gAMA 1 to sRGB")


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TGA", "TIFF", "AVIF", "HEIF", "GIF"])
def test_transparency_needs_a_background(format: str) -> None:
    image = Image.fromarray(PICTURE).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 32, 48))
    data = saved(image, format=format, lossless=True, quality=100)
    with pytest.raises(FrameError, match=r"transparent in \d+ of 3072 pixels.*--background"):
        read(data)
    frame, reading = read(data, "#ff8000")
    assert np.abs(frame[:, :28].astype(int) - (255, 128, 0)).max() < 4
    assert reading["alpha"] == "laid over #ff8000"
    assert reading["background"] == "#ff8000"


def test_alpha_is_mixed_in_code_values() -> None:
    pixels = np.dstack([np.full((8, 8, 3), 200, np.uint8), np.full((8, 8), 51, np.uint8)])
    assert (read(saved(pixels, format="PNG"), "#000000")[0] == 40).all()
    assert (read(saved(pixels, format="PNG"), "#ffffff")[0] == 244).all()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_are_clips(tmp_path: Path, format: str) -> None:
    frames = [np.full((32, 48, 3), level, np.uint8) for level in (20, 90, 200)]
    first, *more = map(Image.fromarray, frames)
    path = tmp_path / "clip"
    path.write_bytes(saved(first, format=format, save_all=True, append_images=more, duration=[100, 50, 70]))
    clip = FileFrames(path)
    assert len(clip) == 3
    assert clip.reading["durations_ms"] == [100, 50, 70]
    for _ in range(2):
        assert [round(float(np.mean(frame))) for frame in clip] == pytest.approx([20, 90, 200], abs=3)  # type: ignore[arg-type]
    assert FileFrames(path, subsample=2).numbers == [0, 2]
    assert len(list(FileFrames(path, subsample=2))) == 2


def test_pages_are_refused_and_layers_are_flattened() -> None:
    pages = [Image.fromarray(PICTURE), Image.fromarray(PICTURE[::-1].copy())]
    with pytest.raises(FrameError, match="holds 2 pictures"):
        read(saved(pages[0], format="TIFF", save_all=True, append_images=pages[1:]))
    frame, reading = read(saved(pages[0], format="MPO", save_all=True, append_images=pages[1:], quality=95))
    assert np.abs(frame.astype(int) - PICTURE).mean() < 4
    assert reading["picture"].startswith("the main one; 2 ")


def test_depths_between_are_refused() -> None:
    bmp = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 118, 0, 0, 54, 40, 4, 8, 1, 16, 0, 64, 0, 0, 0, 0) + bytes(range(64))
    for data, message in (
        (ppm(DEEP >> 6, 1023), "counts to 1023"),
        (ppm(DEEP >> 10, 63), "counts to 63"),
        (bmp, "5 or 6 bits"),
        (tiff(DEEP.astype(np.uint32), photometric=2), "32 bits"),
        (tiff(DEEP.astype(np.float32), photometric=2), r"floats from .*\[0, 1\]"),
    ):
        with pytest.raises(FrameError, match=message):
            read(data)


def test_pictures_of_other_formats_are_named() -> None:
    with pytest.raises(FrameError, match="ICO picture, which is not taken"):
        read(saved(format="ICO"))
    with pytest.raises(VideoError, match="not a picture"):
        read(b"hello")


def test_a_numbered_name_is_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("deep%03d.png", "pipe:0"):
        Path(name).write_bytes(png16(DEEP))
        (frame,) = FileFrames(name)
        assert np.array_equal(frame, DEEP)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff", "webp", "bmp", "ppm", "gif", "tga", "avif", "heic", "jp2"])
@pytest.mark.parametrize("lenient", [False, True])
def test_cut_pictures_are_errors(tmp_path: Path, suffix: str, lenient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the program around us tells Pillow to be lenient; it stays told so."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(PICTURE).save(path)
    data = path.read_bytes()
    for length in (len(data) // 2, len(data) - 20, 10):
        if suffix == "tga" and length == len(data) - 20:  # within its footer, which is optional
            continue
        path.write_bytes(data[:length])
        with pytest.raises(BiqaError):
            list(FileFrames(path))
    assert lenient == ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM", "GIF", "AVIF", "HEIF", "TGA", "JPEG2000"]
)
def test_damage_is_one_of_our_errors(format: str) -> None:
    """Twenty pictures with three bytes of the header changed: pixels or an error of ours, never another."""
    data = saved(format=format)
    rng = np.random.default_rng(1)
    for _ in range(20):
        damaged = bytearray(data)
        for place in [*rng.integers(0, 60, 2), rng.integers(len(data) - 100, len(data))]:
            damaged[place] = rng.integers(256)
        with contextlib.suppress(BiqaError):
            read(bytes(damaged))


def test_bytes_after_the_end_are_told() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF"):
        assert read(saved(format=kind) + bytes(100))[1]["notes"] == ["100 bytes after its end are not read"]


def test_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    for path in (tmp_path / "nothing.png", tmp_path, tmp_path / "text.png", write_clip(tmp_path / "clip.mp4")):
        assert picture_format(path) is None
