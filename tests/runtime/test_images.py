"""Picture files: exact code values, or an error that says what to do."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import photograph, write_clip
from PIL import Image

from runtime.errors import BiqaError, FrameError, VideoError
from runtime.images import is_image, read_image

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


def test_sixteen_bits_survive(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)
    path = tmp_path / "deep.png"
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png", rate=Fraction(1))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 30, 20, "rgb48be"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(deep, format="rgb48le").reformat(format="rgb48be")))
        container.mux(stream.encode())
    pixels, depth = read_image(path)
    assert depth == 16
    assert np.array_equal(pixels, deep)


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


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_cut_pictures_are_errors(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(PICTURE).save(whole)
    data = whole.read_bytes()
    for share in (0.1, 0.5, 0.9):
        cut = tmp_path / f"cut.{suffix}"
        cut.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(BiqaError):
            read_image(cut)


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
