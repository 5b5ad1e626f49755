"""A lattice → tiles that share no pixel, each filled up to T×T by mirroring its own pixels.

A side of h lattice rows is cut into m = ⌈h/T⌉ tiles at ⌊j·h/m⌋, j = 0 … m. So all have ⌊h/m⌋ or ⌈h/m⌉ rows, T at most
and T/2 at least: no row of the lattice is left out, whatever h is. An engine that takes T×T only is given each tile
with its last rows mirrored behind it, and its last columns: the noisy ones, after the noise was added.

Mirroring is a function of the tile's own noisy pixels. So it is a part of what is certified, as clamping is: a tile's
score depends on no other tile, their noise is independent, and a change of the frame moves a tile by the norm of what
it does to the pixels that the tile really has. Tiles that overlap would have neither.

Pixels that fill no k×k box reach no tile: fewer than k rows and k columns of the source frame, which the record names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError


@dataclass(frozen=True)
class Place:
    """Where a tile lies on the source frame, in pixels: ``top`` and ``left`` are in it, from 0."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Tiling:
    """How a lattice is cut. ``tile``: T. ``row_edges``, ``column_edges``: 0 … h and 0 … w, on the engine's domain.

    Tiles are numbered row by row.
    """

    tile: int
    row_edges: tuple[int, ...]
    column_edges: tuple[int, ...]

    @property
    def rows(self) -> int:
        return len(self.row_edges) - 1

    @property
    def columns(self) -> int:
        return len(self.column_edges) - 1

    @property
    def count(self) -> int:
        """The number of tiles."""
        return self.rows * self.columns

    @property
    def sides(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(least, largest) height and (least, largest) width of a tile, on the engine's domain."""
        heights, widths = np.diff(self.row_edges), np.diff(self.column_edges)
        return (int(heights.min()), int(heights.max())), (int(widths.min()), int(widths.max()))

    @property
    def values(self) -> int:
        """Lattice values of the largest tile, its three channels together."""
        (_, height), (_, width) = self.sides
        return 3 * height * width

    def places(self, downscale: int) -> list[Place]:
        """Each tile's place on the source frame. ``downscale``: k."""
        return [
            Place(k_top, k_left, k_bottom - k_top, k_right - k_left)
            for k_top, k_bottom in _pairs(self.row_edges, downscale)
            for k_left, k_right in _pairs(self.column_edges, downscale)
        ]

    def cut(self, frame: NDArray[Any], first: int, out: NDArray[Any]) -> None:
        """Tiles ``first`` … of a noisy lattice 3×h×w into ``out``, N×3×T×T; what is beyond the last tile becomes 0."""
        size = self.tile
        for index, filled in enumerate(out, first):
            if index >= self.count:
                filled[:] = 0
                continue
            row, column = divmod(index, self.columns)
            top, bottom = self.row_edges[row : row + 2]
            left, right = self.column_edges[column : column + 2]
            height, width = bottom - top, right - left
            filled[:, :height, :width] = frame[:, top:bottom, left:right]
            filled[:, height:, :width] = filled[:, 2 * height - size : height, :width][:, ::-1]
            filled[:, :, width:] = filled[:, :, 2 * width - size : width][:, :, ::-1]


def tiling(height: int, width: int, tile: int) -> Tiling:
    """The tiling of an h×w lattice. Raises FrameError where a side is less than half a tile: too few rows to mirror."""
    least = -(-tile // 2)
    if min(height, width) < least:
        raise FrameError(
            f"tiles of {tile}×{tile} take frames of at least {least}×{least} after the downscale, "
            f"this one has {width}×{height}"
        )
    return Tiling(tile, _edges(height, tile), _edges(width, tile))


def _edges(side: int, tile: int) -> tuple[int, ...]:
    count = math.ceil(side / tile)
    return tuple(number * side // count for number in range(count + 1))


def _pairs(edges: tuple[int, ...], downscale: int) -> list[tuple[int, int]]:
    return [(downscale * low, downscale * high) for low, high in pairwise(edges)]
