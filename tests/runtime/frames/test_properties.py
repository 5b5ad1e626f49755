"""What holds of every frame on its way to the lattice. Drawn by hypothesis with a fixed seed: no false alarms."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.frames.lattice import steps, to_lattice
from runtime.frames.planes import CHROMA_LOCATIONS, MATRICES, RANGES, STEP, Conversion, rgb_from_planes
from tests.support.properties import steady

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)


@given(seeds, sides, sides, st.integers(1, 4), st.integers(1, 16))
@steady
def test_a_box_average_shrinks_distances(seed: int, height: int, width: int, downscale: int, depth: int) -> None:
    """‖v(x) − v(y)‖/steps ≤ ‖x − y‖/(k(2ᵇ−1)), and no value leaves the lattice."""
    rng = np.random.default_rng(seed)
    height, width = max(height, downscale), max(width, downscale)
    one, other = rng.integers(0, 2**depth, (2, height, width, 3)).astype(np.uint8 if depth <= 8 else np.uint16)
    if rng.random() < 0.5:  # the worst case: every pixel of a block moved alike
        other = np.where(one > 0, one - 1, one).astype(one.dtype)
    first, second = (to_lattice(frame, downscale=downscale, bit_depth=depth).values for frame in (one, other))
    most = steps(depth, downscale)
    assert first.min() >= 0
    assert first.max() <= most
    moved = np.linalg.norm((first.astype(float) - second) / most)
    allowed = np.linalg.norm((one.astype(float) - other) / (2**depth - 1)) / downscale
    assert moved <= allowed * (1 + 1e-12)


@given(
    seeds,
    sides,
    sides,
    st.sampled_from(MATRICES[:-1]),
    st.sampled_from(RANGES),
    st.integers(8, 16),
    st.sampled_from(tuple(STEP)),
    st.sampled_from(CHROMA_LOCATIONS),
)
@steady
def test_planes(
    seed: int, height: int, width: int, matrix: str, levels: str, depth: int, subsampling: str, location: str
) -> None:
    """Within the bit depth; grey planes give grey frames, the brighter the higher their codes; views read alike."""
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if depth == 8 else np.uint16
    rows, columns = STEP[subsampling]
    chroma = -(-height // rows), -(-width // columns)
    conversion = Conversion(matrix, levels, depth, subsampling, location)
    luma = rng.integers(0, 2**depth, (height, width)).astype(dtype)
    blue, red = rng.integers(0, 2**depth, (2, *chroma)).astype(dtype)
    frame = rgb_from_planes((luma, blue, red), conversion)
    assert frame.shape == (height, width, 3)
    assert frame.dtype == dtype
    assert int(frame.max()) < 2**depth
    reversed_views = tuple(np.ascontiguousarray(plane[::-1])[::-1] for plane in (luma, blue, red))
    assert np.array_equal(rgb_from_planes(reversed_views, conversion), frame)
    neutral = np.full(chroma, 2 ** (depth - 1), dtype)
    brighter = np.minimum(luma.astype(np.int64) + rng.integers(0, 2 ** (depth - 1)), 2**depth - 1).astype(dtype)
    grey, lighter = (rgb_from_planes((plane, neutral, neutral), conversion) for plane in (luma, brighter))
    assert np.ptp(grey, axis=2).max() == 0
    assert (lighter >= grey).all()
