"""Many noisy scores of one real frame, drawn once by the shipped engine and kept, block by block, as files.

Block b holds samples b·BLOCK … (b + 1)·BLOCK − 1 of one noise key, so that a kill loses one block at most. The first
``reference`` samples stand for the law of the score; those after them are fresh, seen by nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray

from runtime import Certifier, ModelError
from runtime.atomic import whole_file
from runtime.frames import to_lattice

BLOCK = 2000
"""Samples of one file."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Scores of one frame: ``reference`` float32[N], and ``fresh`` ones, of tiles float32[N, tiles]."""

    name: str
    reference: NDArray[np.float32]
    fresh: NDArray[np.float32]


def centre(name: str, side: int) -> NDArray[np.uint8]:
    """The ``side``×``side`` pixels in the middle of a photograph of scikit-image."""
    frame = np.asarray(getattr(skimage.data, name)())
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return np.ascontiguousarray(frame[top : top + side, left : left + side])


def files_of(name: str, frame: NDArray[np.uint8], certifier: Certifier, samples: int, folder: Path) -> list[Path]:
    """Files of the first ``samples`` scores of ``frame``: those not in ``folder`` yet are drawn now."""
    sampler = certifier.sampler
    lattice = to_lattice(frame, downscale=sampler.downscale)
    key = certifier.noise.key(lattice, sampler.digest, sampler.sigma, certifier.samples)
    kept = folder / f"{name}-{hashlib.sha256(key).hexdigest()[:16]}"
    kept.mkdir(parents=True, exist_ok=True)
    files = [kept / f"{start:07d}.npy" for start in range(0, samples, BLOCK)]
    for number, file in enumerate(files):
        if not file.exists():
            with whole_file(file) as out:
                np.save(out, sampler.scores(lattice, key, number * BLOCK, BLOCK))
    return files


def draw(names: Sequence[str], side: int, certifier: Certifier, reference: int, fresh: int, folder: Path) -> list[Pool]:
    """A pool of each photograph: all references first, then what is fresh."""
    frames = {name: centre(name, side) for name in names}
    pools = []
    for samples in (reference, reference + fresh):
        files = {name: files_of(name, frame, certifier, samples, folder) for name, frame in frames.items()}
    for name, parts in files.items():
        scores = np.concatenate([np.load(part) for part in parts])
        if not np.isfinite(scores).all():
            raise ModelError(f"scores of {name} are not all finite: a reference takes a model that never fails")
        pools.append(Pool(name, scores[:reference], scores[reference : reference + fresh]))
    return pools
