"""Real photographs → noisy lattices, the inputs every check of an export is made on.

Noise of the deployed σ, drawn by the runtime's own generator with a public key: a network is compared where
it will be used, on noisy photographs, not on clean ones or on random tensors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle.manifest import InputContract
from runtime.errors import DependencyError
from runtime.frames.lattice import steps, to_lattice
from runtime.install import pip_install
from runtime.noise.draw import KEY_BYTES, draw_noise
from runtime.noise.table import table_for

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")
"""Photographs inside scikit-image's wheel; its others are downloads."""

_KEY = bytes(KEY_BYTES)


@lru_cache(maxsize=len(PHOTOGRAPHS))
def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph, uint8 H×W×3 RGB. Raises DependencyError without scikit-image."""
    try:
        import skimage.data as data
    except ImportError as error:
        raise DependencyError(
            f"checking an export takes scikit-image ({error}): {pip_install('export', 'scikit-image')}"
        ) from None
    pixels: Any = getattr(data, name)()
    return np.ascontiguousarray(pixels[:, :, :3])


def noisy(name: str, contract: InputContract, height: int, width: int, start: int, count: int) -> NDArray[np.float32]:
    """Noisy samples ``start`` … of the middle of a photograph, float32 count×3×height×width of integers.

    Sizes are those of the engine's input. A photograph that is too small is mirrored at its edges.
    """
    pixels = photograph(name)
    k = contract.downscale
    rows, columns = height * k, width * k
    top, left = max(0, (pixels.shape[0] - rows) // 2), max(0, (pixels.shape[1] - columns) // 2)
    crop = pixels[top : top + rows, left : left + columns]
    frame = np.pad(crop, ((0, rows - crop.shape[0]), (0, columns - crop.shape[1]), (0, 0)), mode="symmetric")
    clean = to_lattice(frame, downscale=k)
    samples = np.empty((count, *clean.values.shape), np.float32)
    draw_noise(table_for(contract.sigma, clean), _KEY, start, samples)
    samples += clean.values
    return samples


def unit(contract: InputContract) -> NDArray[np.float32]:
    """float32[1]: the lattice unit of the photographs, 1/((2ᵇ−1)k²) at 8 bits."""
    return np.array([1 / steps(8, contract.downscale)], np.float32)
