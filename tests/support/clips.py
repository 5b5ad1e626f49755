"""Clips and pictures for the tests, made on the spot from scikit-image's photographs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
from numpy.typing import NDArray


def photograph() -> NDArray[np.uint8]:
    """512×512 RGB, NASA, public domain."""
    return np.asarray(skimage.data.astronaut())


def write_clip(
    path: Path,
    *,
    frames: int = 12,
    width: int = 96,
    height: int = 64,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    tags: dict[str, int] | None = None,
    options: dict[str, str] | None = None,
    pts: list[int] | None = None,
    container_options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A pan over the photograph. ``tags``: codec context attributes; ``pts``: frame times in 1/25 s."""
    picture = photograph()
    with av.open(path, "w", container_options=container_options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=Fraction(25), options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for index in range(frames):
            crop = np.ascontiguousarray(picture[4 * index : 4 * index + height, 4 * index : 4 * index + width])
            frame = av.VideoFrame.from_ndarray(crop, format="rgb24").reformat(format=pix_fmt)
            if pts:
                frame.pts, frame.time_base = pts[index], Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_sound(path: Path) -> Path:
    """A tenth of a second of silence, no video."""
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), format="fltp", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
