"""What a GPU does besides running the network: box sums, noise, gathering scores. CUDA source, no GPU needed here.

``export.compile_kernels`` compiles it, a bundle carries the machine code, a GPU sampler loads it:

    lattice.cu   lattice_u8, lattice_u16   frame → integer lattice                       once a frame
    noise.cu     noise_f32, noise_f16      lattice + key + sample → the engine's input   once a batch
    scores.cu    gather_scores             scores of a padded batch → those of the frame once a batch
    tiles.cu     cut_tiles                 noisy frames → tiles in the engine's input    once a batch, of tiles only

This module is what both sides agree on: names of symbols, files and arguments. ``table.py`` puts the noise table in the
form that ``noise.cu`` reads. The tests compile the same source for the host and compare it bit for bit with NumPy.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ....errors import BundleError
from .table import device_table

__all__ = ["device_table", "noise_grid"]

SOURCES = ("lattice", "noise", "scores")
"""Stems of the sources: one compilation, one loaded module each."""

TILE_SOURCES = (*SOURCES, "tiles")
"""The same for a bundle of tiles."""

FOLDER = "kernels/"
"""Of a bundle."""

TILE = 4096
"""Values that one block of ``noise.cu`` makes at a time: of one sample, in row-major order of 3×h×w."""


@dataclass(frozen=True)
class Kernel:
    """One entry point. ``arguments``: a ``struct`` letter each, as PyCUDA's ``prepare`` takes them (P: address)."""

    module: str
    arguments: str
    block: tuple[int, int, int]


KERNELS = {
    "lattice_u8": Kernel("lattice", "PiiiiP", (32, 8, 1)),
    "lattice_u16": Kernel("lattice", "PiiiiP", (32, 8, 1)),
    "noise_f32": Kernel("noise", "PiiPPiIPiiQQQP", (256, 1, 1)),
    "noise_f16": Kernel("noise", "PiiPPiIPiiQQQfP", (256, 1, 1)),
    "gather_scores": Kernel("scores", "PiiP", (256, 1, 1)),
    "cut_tiles": Kernel("tiles", "PiiiPiPiiiiP", (256, 1, 1)),
}
"""Symbol → how to launch it; the parameter lists of the sources say what the arguments are."""


def sources_of(tile: int | None) -> tuple[str, ...]:
    """Those that a bundle of T×T tiles takes, or with None one of whole frames."""
    return SOURCES if tile is None else TILE_SOURCES


def source(module: str) -> str:
    """The CUDA C++ source of a module."""
    return (Path(__file__).parent / f"{module}.cu").read_text(encoding="utf-8")


def lattice_grid(height: int, width: int) -> tuple[int, int]:
    """Blocks of ``lattice_u8`` and ``lattice_u16`` for an h×w lattice: a thread for each of its pixels."""
    x, y, _ = KERNELS["lattice_u8"].block
    return -(-width // x), -(-height // y)


def noise_grid(size: int, count: int, resident: int) -> tuple[int, int]:
    """Blocks of ``noise_f32`` and ``noise_f16`` for ``count`` samples of ``size`` values.

    ``resident``: blocks that the device holds at a time (multiprocessors × blocks each). More would only load the
    table again: a block goes on to the next tile by itself.
    """
    return min(-(-size // TILE) * count, resident), 1


def scores_grid(count: int) -> tuple[int, int]:
    """Blocks of ``gather_scores`` for ``count`` scores."""
    return -(-count // KERNELS["gather_scores"].block[0]), 1


def tiles_grid(tile: int, count: int) -> tuple[int, int]:
    """Blocks of ``cut_tiles`` for ``count`` tiles of T×T."""
    return -(-3 * tile * tile * count // KERNELS["cut_tiles"].block[0]), 1


def cubin_file(module: str, sm: int) -> str:
    """The bundle's name for a module's machine code for compute capability sm/10."""
    return f"{FOLDER}{module}.sm_{sm}.cubin"


def ptx_file(module: str) -> str:
    """The bundle's name for a module's portable assembly, for devices without machine code of their own."""
    return f"{FOLDER}{module}.ptx"


def add_kernels(bundle: object = "BUNDLE") -> str:
    """What to do about a bundle, given by its path, that lacks them."""
    return f"add the GPU kernels with `biqa compile {bundle} --target cuda`"


def choose_file(files: Collection[str], module: str, capability: tuple[int, int]) -> str:
    """Which of a bundle's ``files`` a device of this compute capability (major, minor) loads.

    Machine code runs on its own and later minor versions of one major version, so the nearest such file is taken,
    else PTX, which the driver compiles. Raises BundleError where the bundle has neither.
    """
    sm = 10 * capability[0] + capability[1]
    found = [re.fullmatch(rf"{FOLDER}{module}\.sm_(\d+)\.cubin", name) for name in files]
    runs = [n for n in (int(m[1]) for m in found if m) if n // 10 == capability[0] and n <= sm]
    if runs:
        return cubin_file(module, max(runs))
    if ptx_file(module) in files:
        return ptx_file(module)
    raise BundleError(
        f"the bundle has no {module} kernel for compute capability {capability[0]}.{capability[1]}: {add_kernels()}"
    )
