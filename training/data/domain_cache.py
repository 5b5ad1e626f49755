"""Photographs on the engine's domain, kept on disk: a training starts at once instead of decoding for minutes.

One ``.npy`` file, uint8 N×3×h×w, memory-mapped: the k×k box average of every photograph, rounded to whole code values.
The rounding moves a value by at most 1/510, a tenth of the smallest noise level. Beside it a ``.json`` names the
photographs and their files' sizes and times; a cache of others is made again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.atomic import whole_place
from runtime.frames.lattice import to_lattice

from .photographs import Photograph, read_rgb


def box_average(rgb: NDArray[np.uint8], downscale: int) -> NDArray[np.uint8]:
    """uint8 H×W×3 → uint8 3×h×w, the mean of each k×k box, rounded half up."""
    area = downscale**2
    values = to_lattice(rgb, downscale=downscale).values
    return np.asarray((values + area // 2) // area, np.uint8)


def _fingerprint(photographs: Sequence[Photograph], downscale: int) -> str:
    files = [(p.path.name, p.path.stat().st_size, p.path.stat().st_mtime_ns) for p in photographs]
    return json.dumps({"downscale": downscale, "files": files})


def cached_domain(photographs: Sequence[Photograph], downscale: int, cache: Path) -> NDArray[np.uint8]:
    """uint8 N×3×h×w of the photographs, read-only; made at ``cache`` (a ``.npy``) where it is not there yet.

    Raises ValueError where the photographs are not all of one size, OSError for a missing file.
    """
    fingerprint, record = _fingerprint(photographs, downscale), cache.with_suffix(".json")
    if not (cache.exists() and record.exists() and record.read_text() == fingerprint):
        cache.parent.mkdir(parents=True, exist_ok=True)
        _fill(photographs, downscale, cache)
        record.write_text(fingerprint)
    domain: NDArray[np.uint8] = np.load(cache, mmap_mode="r")
    return domain


def _fill(photographs: Sequence[Photograph], downscale: int, cache: Path) -> None:
    if not photographs:
        raise ValueError("no pictures to read")
    shape = box_average(read_rgb(photographs[0].path), downscale).shape
    with whole_place(cache) as partial:
        out = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(photographs), *shape))
        for index, photograph in enumerate(tqdm(photographs, "reading", disable=None)):
            picture = box_average(read_rgb(photograph.path), downscale)
            if picture.shape != shape:
                raise ValueError(
                    f"{photograph.path} is {picture.shape[1:]} on the domain, the first picture {shape[1:]}: "
                    "a cache holds pictures of one size"
                )
            out[index] = picture
        out.flush()
        del out
