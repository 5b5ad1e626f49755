"""Ladders to train on: sharp photographs, spoilt step by step by real codecs and by other faults.

Within a ladder, one photograph and one kind of fault, the order is known: a worse rung must score lower. Nobody scored
the rungs, so nothing is said about photographs across ladders. A ladder's severities are shifted by up to half a step,
the same for all its rungs, so that a network meets more than ``RUNGS`` settings of a kind.

JPEG and WebP go through Pillow; H.264, HEVC and AV1 are one intra frame through PyAV, 4:2:0 with the conversion of
the runtime. Faults are made on the source, then the k×k box is applied: what a user's frame goes through.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, laplace
from tqdm import tqdm

from runtime.atomic import whole_place
from runtime.frames.planes import Conversion, rgb_from_planes

from .domain_cache import box_average
from .photographs import Photograph, read_rgb

Rgb = NDArray[np.uint8]

RUNGS = 5


def _levels(values: NDArray[Any]) -> Rgb:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _pillow(kind: str) -> Callable[[Rgb, float, np.random.Generator], Rgb]:
    def spoil(rgb: Rgb, quality: float, rng: np.random.Generator) -> Rgb:
        stream = io.BytesIO()
        Image.fromarray(rgb).save(stream, kind, quality=max(0, round(quality)))
        with Image.open(stream) as image:
            return np.asarray(image.convert("RGB"))

    return spoil


def _decoded(stream: io.BytesIO, height: int, width: int) -> Rgb:
    """The first frame of a coded 4:2:0 video of even size, as RGB with the conversion of the runtime."""
    import av

    stream.seek(0)
    with av.open(stream, "r") as container:
        values = next(container.decode(video=0)).to_ndarray(format="yuv420p").reshape(-1)
    luma, chroma = height * width, height * width // 4
    planes = (
        values[:luma].reshape(height, width),
        values[luma : luma + chroma].reshape(height // 2, width // 2),
        values[luma + chroma :].reshape(height // 2, width // 2),
    )
    result: Any = rgb_from_planes(planes, Conversion("bt601", "limited", 8, "4:2:0", "left"))
    return np.asarray(result, np.uint8)


def _intra(encoder: str, options: dict[str, str]) -> Callable[[Rgb, float, np.random.Generator], Rgb]:
    def spoil(rgb: Rgb, crf: float, rng: np.random.Generator) -> Rgb:
        import av

        os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 prints its settings for every picture otherwise
        stream = io.BytesIO()
        with av.open(stream, "w", format="matroska") as container:
            video: Any = container.add_stream(encoder, rate=25, options={**options, "crf": str(round(crf))})
            video.width, video.height, video.pix_fmt = rgb.shape[1], rgb.shape[0], "yuv420p"
            for frame in (av.VideoFrame.from_ndarray(rgb, format="rgb24"), None):
                for packet in video.encode(frame):
                    packet.dts = packet.pts  # x265 leaves it unset for a stream of one picture
                    container.mux(packet)
        return _decoded(stream, *rgb.shape[:2])

    return spoil


def _blur(rgb: Rgb, width: float, rng: np.random.Generator) -> Rgb:
    return _levels(gaussian_filter(rgb.astype(np.float32), (width, width, 0)))


def _grain(rgb: Rgb, width: float, rng: np.random.Generator) -> Rgb:
    return _levels(rgb + width * rng.standard_normal(rgb.shape))


def _banding(rgb: Rgb, count: float, rng: np.random.Generator) -> Rgb:
    step = 255 / (count - 1)
    return _levels(np.rint(rgb / step) * step)


def _gain(rgb: Rgb, gain: float, rng: np.random.Generator) -> Rgb:
    return _levels(rgb * gain)


KINDS: dict[str, tuple[Callable[[Rgb, float, np.random.Generator], Rgb], tuple[float, ...]]] = {
    "jpeg": (_pillow("JPEG"), (60, 35, 20, 10, 5)),
    "webp": (_pillow("WEBP"), (60, 35, 18, 8, 1)),
    "h264": (_intra("libx264", {}), (28, 33, 38, 43, 48)),
    "hevc": (_intra("libx265", {"x265-params": "log-level=none"}), (28, 33, 38, 43, 48)),
    "av1": (_intra("libsvtav1", {"preset": "8"}), (35, 43, 51, 57, 63)),
    "blur": (_blur, (0.6, 1.2, 2.0, 3.2, 5.0)),
    "grain": (_grain, (4, 8, 15, 25, 40)),
    "banding": (_banding, (28, 18, 12, 8, 5)),
    "overexposure": (_gain, (1.25, 1.5, 1.9, 2.4, 3.2)),
    "underexposure": (_gain, (0.8, 0.6, 0.45, 0.3, 0.2)),
}
"""Name → function and its settings: quality, rate factor, pixels, grey levels, number of levels, gain; mild first."""


def ladder(rgb: Rgb, kind: str, shift: float, rng: np.random.Generator) -> list[Rgb]:
    """The rungs of one photograph, mild to severe. ``shift``: −0.5 … 0.5 steps along the settings."""
    spoil, settings = KINDS[kind]
    places = np.interp(np.arange(RUNGS) + shift, np.arange(RUNGS), settings)
    return [spoil(rgb, float(place), rng) for place in places]


def sharpest(photographs: Sequence[Photograph], domain: NDArray[np.uint8], count: int) -> list[int]:
    """Numbers of ``count`` photographs that can pass as pristine: the sharper half of the best scored, in file order.

    Sharp: by the standard deviation of the Laplacian of the green plane. Raises ValueError where there are too few.
    """
    if 2 * count > len(photographs):
        raise ValueError(
            f"{count} pristine photographs take {2 * count} to choose from, and there are {len(photographs)}"
        )
    best = np.argsort([-p.mos for p in photographs], kind="stable")[: 2 * count]
    edges = np.array([laplace(domain[i, 1].astype(np.float32)).std() for i in best])
    return sorted(best[np.argsort(-edges, kind="stable")[:count]].tolist())


def _rungs_of(path: Path, downscale: int, seed: tuple[int, ...], shifted: bool) -> NDArray[np.uint8]:
    rgb, rng = read_rgb(path), np.random.default_rng(seed)
    kinds = []
    for kind in KINDS:
        shift = rng.uniform(-0.45, 0.45) if shifted else 0.0
        kinds.append(np.stack([box_average(rung, downscale) for rung in ladder(rgb, kind, shift, rng)]))
    return np.stack(kinds)


def build_ladders(
    photographs: Sequence[Photograph], downscale: int, out: Path, *, seed: int, shifted: bool = True, workers: int = 2
) -> NDArray[np.uint8]:
    """uint8 P×kinds×rungs×3×h×w on the domain, read-only, written to ``out`` (a ``.npy``) unless it is there.

    All photographs are of one size with even sides. ``shifted``: whether severities are moved between the settings.
    """
    if not out.exists():
        shape = box_average(read_rgb(photographs[0].path), downscale).shape
        with whole_place(out) as partial, ProcessPoolExecutor(workers) as pool:
            array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(photographs), len(KINDS), RUNGS, *shape))
            paths, seeds = [p.path for p in photographs], [(seed, i) for i in range(len(photographs))]
            made = pool.map(_rungs_of, paths, repeat(downscale), seeds, repeat(shifted))
            for index, rungs in enumerate(tqdm(made, "ladders", len(paths), disable=None)):
                array[index] = rungs
            array.flush()
            del array
    result: NDArray[np.uint8] = np.load(out, mmap_mode="r")
    return result
