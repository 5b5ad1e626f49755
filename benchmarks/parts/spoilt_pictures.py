"""Pictures whose order is known: pristine photographs, spoilt step by step in five ways.

Truth is the severity, 0 (pristine) to 5: within one kind a good score falls with it for every photograph. Severities
of different kinds were not matched by people, so a correlation pooled over kinds is an indication, no more.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from training.data import decoded

Picture = NDArray[np.uint8]


def blur(picture: Picture, width: float, rng: np.random.Generator) -> Picture:
    """Gaussian blur, standard deviation ``width`` in pixels."""
    return np.asarray(np.rint(gaussian_filter(picture.astype(float), (width, width, 0))), np.uint8)


def jpeg(picture: Picture, quality: float, rng: np.random.Generator) -> Picture:
    """JPEG at a quality setting."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=round(quality))
    return np.asarray(Image.open(stream))


def white_noise(picture: Picture, width: float, rng: np.random.Generator) -> Picture:
    """White Gaussian noise, standard deviation ``width`` in grey levels."""
    return np.asarray(np.clip(np.rint(picture + width * rng.standard_normal(picture.shape)), 0, 255), np.uint8)


def h264(picture: Picture, crf: float, rng: np.random.Generator) -> Picture:
    """One intra frame of x264 at a constant rate factor."""
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": str(round(crf))})
        video.width, video.height, video.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        container.mux(video.encode(frame))
        container.mux(video.encode())
    return decoded(stream, *picture.shape[:2])


def darken(picture: Picture, gain: float, rng: np.random.Generator) -> Picture:
    """All values times ``gain``."""
    return np.asarray(np.rint(picture * gain), np.uint8)


KINDS: dict[str, tuple[Callable[[Picture, float, np.random.Generator], Picture], tuple[float, ...]]] = {
    "blur": (blur, (0.6, 1.2, 2.0, 3.2, 5.0)),
    "jpeg": (jpeg, (60, 35, 20, 10, 5)),
    "white noise": (white_noise, (4, 8, 15, 25, 40)),
    "h264": (h264, (28, 33, 38, 43, 48)),
    "darkening": (darken, (0.8, 0.6, 0.45, 0.3, 0.2)),
}
"""Name → function and its five settings, mild to severe."""


@dataclass(frozen=True)
class Rung:
    """A photograph at ``severity`` 1 … 5 of a ``kind`` of fault, or kind "pristine" at 0; ``seed`` for its noise."""

    path: Path
    kind: str
    severity: int
    seed: tuple[int, ...]


def rungs(folder: Path, limit: int | None = None) -> list[Rung]:
    """The PNG photographs of a folder, each pristine and at every step of every kind. Raises ValueError if none."""
    paths = sorted(folder.glob("*.png"))[:limit]
    if not paths:
        raise ValueError(f"{folder} holds no PNG photographs")
    ladder = []
    for number, path in enumerate(paths):
        ladder.append(Rung(path, "pristine", 0, (number,)))
        for order, (kind, (_, settings)) in enumerate(KINDS.items()):
            ladder += [Rung(path, kind, step + 1, (number, order, step)) for step in range(len(settings))]
    return ladder


def make_rung(rung: Rung) -> Picture:
    """uint8 H×W×3, cropped to even sizes, which H.264 needs."""
    whole = np.asarray(Image.open(rung.path).convert("RGB"))
    picture = whole[: whole.shape[0] // 2 * 2, : whole.shape[1] // 2 * 2]
    if rung.severity == 0:
        return picture
    spoil, settings = KINDS[rung.kind]
    return spoil(picture, settings[rung.severity - 1], np.random.default_rng(rung.seed))
