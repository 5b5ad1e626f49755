"""Every pixel of a lattice is in one tile, tiles are filled from themselves alone, and no side is too odd."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from runtime.errors import FrameError
from runtime.frames.tiles import tiling


@pytest.mark.parametrize("tile", [1, 2, 7, 16, 17])
def test_tiles_cover_a_lattice_once(tile: int) -> None:
    for height, width in itertools.product(range(-(-tile // 2), 4 * tile + 2), (tile, 3 * tile + 1)):
        tiles = tiling(height, width, tile)
        seen = np.zeros((height, width), int)
        for place in tiles.places(1):
            assert tile / 2 <= place.height <= tile
            assert tile / 2 <= place.width <= tile
            seen[place.top : place.top + place.height, place.left : place.left + place.width] += 1
        assert (seen == 1).all()
        assert tiles.values == 3 * max(place.height * place.width for place in tiles.places(1))


@pytest.mark.parametrize(("height", "width", "tile"), [(16, 16, 8), (19, 30, 8), (5, 8, 8), (33, 17, 16), (13, 9, 7)])
def test_a_tile_is_filled_with_its_own_pixels_mirrored(height: int, width: int, tile: int) -> None:
    frame = np.arange(3 * height * width, dtype=np.float32).reshape(3, height, width)
    tiles = tiling(height, width, tile)
    out = np.full((tiles.count + 2, 3, tile, tile), np.nan, np.float32)
    tiles.cut(frame, 0, out)
    for place, filled in zip(tiles.places(1), out, strict=False):
        own = frame[:, place.top : place.top + place.height, place.left : place.left + place.width]
        more = ((0, 0), (0, tile - place.height), (0, tile - place.width))
        np.testing.assert_array_equal(filled, np.pad(own, more, mode="symmetric"))
    assert not out[tiles.count :].any()
    part = np.empty((2, 3, tile, tile), np.float32)
    tiles.cut(frame, tiles.count - 1, part)
    np.testing.assert_array_equal(part, out[tiles.count - 1 : tiles.count + 1])


def test_places_are_on_the_source_frame() -> None:
    places = tiling(20, 16, 16).places(3)
    assert [(p.top, p.left, p.height, p.width) for p in places] == [(0, 0, 30, 48), (30, 0, 30, 48)]


def test_a_frame_of_less_than_half_a_tile_is_refused() -> None:
    assert tiling(8, 8, 16).count == 1
    with pytest.raises(FrameError, match="at least 8×8"):
        tiling(7, 40, 16)
    with pytest.raises(FrameError, match="at least 9×9"):
        tiling(40, 8, 17)
