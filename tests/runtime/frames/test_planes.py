"""Planes → RGB against the real-number formulas, and against itself however the planes lie in memory."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.errors import ConversionError
from runtime.frames import planes as planes_module
from runtime.frames.planes import CHROMA_LOCATIONS, Conversion, default_matrix, rgb_from_planes

KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}
STEP = {"4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}


def _planes(conversion: Conversion, height: int, width: int, seed: int = 0) -> list[NDArray[np.integer]]:
    rng = np.random.default_rng(seed)
    rows, columns = STEP[conversion.subsampling]
    kind = np.uint8 if conversion.bit_depth == 8 else np.uint16
    shapes = [(height, width), *[(-(-height // rows), -(-width // columns))] * 2]
    return [rng.integers(0, 2**conversion.bit_depth, shape).astype(kind) for shape in shapes]


def _chroma_at(plane: NDArray[np.float64], row: float, column: float) -> float:
    """Linear interpolation at chroma coordinates, edges replicated."""
    height, width = plane.shape
    total = 0.0
    for i in (int(np.floor(row)), int(np.floor(row)) + 1):
        for j in (int(np.floor(column)), int(np.floor(column)) + 1):
            weight = (1 - abs(row - i)) * (1 - abs(column - j))
            total += weight * plane[min(max(i, 0), height - 1), min(max(j, 0), width - 1)]
    return total


def _reference(planes: list[NDArray[np.integer]], c: Conversion) -> NDArray[np.float64]:
    """ITU-R formulas in float64, pixel by pixel, before rounding."""
    depth, top = c.bit_depth, 2**c.bit_depth - 1
    limited = c.range == "limited"
    offset, luma, chroma = (
        (16 * 2 ** (depth - 8), 219 * 2 ** (depth - 8), 224 * 2 ** (depth - 8)) if limited else (0, top, top)
    )
    kr, kb = KR_KB[c.matrix]
    rows, columns = STEP[c.subsampling]
    down = 0.5 if rows == 2 and c.chroma_location in ("left", "center") else 0.0
    right = 0.5 if columns == 2 and c.chroma_location == "center" else 0.0
    height, width = planes[0].shape
    u_plane, v_plane = ((p.astype(float) - 2 ** (depth - 1)) / chroma for p in planes[1:])
    rgb = np.empty((height, width, 3))
    for i in range(height):
        for j in range(width):
            y = (float(planes[0][i, j]) - offset) / luma
            u, v = (_chroma_at(p, (i - down) / rows, (j - right) / columns) for p in (u_plane, v_plane))
            r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
            rgb[i, j] = r, (y - kr * r - kb * b) / (1 - kr - kb), b
    return np.clip(rgb * top, 0, top)


@pytest.mark.parametrize("subsampling", STEP)
@pytest.mark.parametrize("matrix", KR_KB)
@pytest.mark.parametrize("depth", [8, 10, 12, 16])
@pytest.mark.parametrize("range_", ["limited", "full"])
def test_within_one_code_value(subsampling: str, matrix: str, depth: int, range_: str) -> None:
    for location, (height, width) in zip(CHROMA_LOCATIONS, ((6, 8), (5, 7), (1, 1)), strict=True):
        conversion = Conversion(matrix, range_, depth, subsampling, location)
        planes = _planes(conversion, height, width)
        made = rgb_from_planes(planes, conversion)
        assert made.dtype == planes[0].dtype
        # Half a code value is the rounding; a hundredth more is allowed for the integer coefficients.
        assert np.abs(made - _reference(planes, conversion)).max() <= 0.51


def _whole_picture(planes: list[NDArray[np.integer]], c: Conversion) -> NDArray[np.int64]:
    """The integers of the module docstring in int64, all of the picture at once: gather, weigh, round, clip."""
    top, fraction = 2**c.bit_depth - 1, 14 if c.bit_depth == 8 else 24
    scale, unit = 2 ** (c.bit_depth - 8), 2**fraction
    offset, luma, chroma = (16 * scale, 219 * scale, 224 * scale) if c.range == "limited" else (0, top, top)
    kr, kb = KR_KB[c.matrix]
    kg = 1 - kr - kb
    y, u, v = (p.astype(np.int64) for p in planes)

    def full(plane: NDArray[np.int64], axis: int, step: int, centred: bool) -> NDArray[np.int64]:
        if step == 1:
            return 4 * plane
        at = np.arange(y.shape[axis])
        near, odd = at // 2, at % 2
        other = (near + np.where(odd, 1, -1) if centred else near + odd).clip(0, plane.shape[axis] - 1)
        weight = np.full(len(at), 3) if centred else 4 - 2 * odd
        weight = weight[:, None] if axis == 0 else weight
        return weight * plane.take(near, axis) + (4 - weight) * plane.take(other, axis)

    rows, columns = STEP[c.subsampling]
    u, v = (
        full(
            full(p - 2 ** (c.bit_depth - 1), 0, rows, c.chroma_location != "topleft"),
            1,
            columns,
            c.chroma_location == "center",
        )
        for p in (u, v)
    )
    by = round(top / luma * unit) * 16
    r_v, b_u, g_u, g_v = (
        round(x * top / chroma * unit)
        for x in (2 * (1 - kr), 2 * (1 - kb), 2 * (1 - kb) * kb / kg, 2 * (1 - kr) * kr / kg)
    )
    y = (y - offset) * by
    rgb = np.stack((y + r_v * v, y - g_u * u - g_v * v, y + b_u * u), axis=-1)
    return ((rgb + (8 << fraction)) >> (fraction + 4)).clip(0, top)


@pytest.mark.parametrize("subsampling", STEP)
@pytest.mark.parametrize("location", CHROMA_LOCATIONS)
@pytest.mark.parametrize("depth", [8, 10, 16])
@pytest.mark.parametrize("strip", [1, 100, planes_module.STRIP])
def test_strips_give_the_bits_of_the_whole_picture(
    monkeypatch: pytest.MonkeyPatch, subsampling: str, location: str, depth: int, strip: int
) -> None:
    monkeypatch.setattr(planes_module, "STRIP", strip)
    for matrix, range_, size in (
        ("bt601", "limited", (54, 70)),
        ("bt709", "full", (55, 71)),
        ("bt2020nc", "full", (1, 1)),
    ):
        conversion = Conversion(matrix, range_, depth, subsampling, location)
        planes = _planes(conversion, *size)
        assert np.array_equal(rgb_from_planes(planes, conversion), _whole_picture(planes, conversion))


def test_extreme_codes_do_not_overflow() -> None:
    """int32 holds whatever 8-bit codes give: all corners of Y, U, V, in every matrix and range."""
    corners = np.array(np.meshgrid((0, 255), (0, 255), (0, 255))).reshape(3, 1, 8).astype(np.uint8)
    for matrix in KR_KB:
        for range_ in ("limited", "full"):
            conversion = Conversion(matrix, range_, 8, "4:4:4", "left")
            assert np.array_equal(rgb_from_planes(list(corners), conversion), _whole_picture(list(corners), conversion))


def test_known_colours() -> None:
    """Black, white and the primaries of BT.709 limited range, from the values in its table."""
    for rgb, yuv in (
        ((0, 0, 0), (16, 128, 128)),
        ((255, 255, 255), (235, 128, 128)),
        ((255, 0, 0), (63, 102, 240)),
        ((0, 255, 0), (173, 42, 26)),
        ((0, 0, 255), (32, 240, 118)),
    ):
        planes = [np.full(shape, code, np.uint8) for shape, code in zip(((4, 4), (2, 2), (2, 2)), yuv, strict=True)]
        made = rgb_from_planes(planes, Conversion("bt709", "limited", 8, "4:2:0", "left"))
        assert np.abs(made.astype(int) - rgb).max() <= 2


def test_strides_and_memory_do_not_matter() -> None:
    conversion = Conversion("bt709", "limited", 8, "4:2:0", "left")
    planes = _planes(conversion, 10, 12)
    wide = [np.pad(p, ((0, 3), (0, 5)))[: p.shape[0], : p.shape[1]] for p in planes]
    made = rgb_from_planes(planes, conversion)
    assert np.array_equal(made, rgb_from_planes(wide, conversion))
    assert made.flags.owndata
    assert made.flags.c_contiguous


def test_green_blue_red() -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 1024, (3, 5, 3)).astype(np.uint16)
    planes = [rgb[:, :, channel] for channel in (1, 2, 0)]
    assert np.array_equal(rgb_from_planes(planes, Conversion("rgb", "full", 10, "4:4:4", "left")), rgb)
    black = [np.full((2, 2), 64, np.uint16)] * 3
    assert not rgb_from_planes(black, Conversion("rgb", "limited", 10, "4:4:4", "left")).any()


def test_record() -> None:
    conversion = Conversion("bt601", "full", 10, "4:2:2", "center", ("matrix",))
    assert Conversion.from_dict(conversion.to_dict()) == conversion
    with pytest.raises(ConversionError, match="record"):
        Conversion.from_dict({"matrix": "bt601"})


def test_default_matrix() -> None:
    assert [default_matrix(*size) for size in ((1280, 720), (1920, 800), (720, 576))] == ["bt709", "bt709", "bt601"]


@pytest.mark.parametrize(
    "values",
    [
        ("ycgco", "full", 8, "4:2:0", "left"),
        ("bt709", "pc", 8, "4:2:0", "left"),
        ("bt709", "full", 7, "4:2:0", "left"),
        ("bt709", "full", 8, "4:1:1", "left"),
        ("bt709", "full", 8, "4:2:0", "bottom"),
        ("rgb", "full", 8, "4:2:0", "left"),
    ],
)
def test_unknown_conversion(values: tuple[str, str, int, str, str]) -> None:
    with pytest.raises(ConversionError):
        Conversion(*values)


def test_planes_that_do_not_fit() -> None:
    conversion = Conversion("bt709", "limited", 10, "4:2:0", "left")
    y, u, v = _planes(conversion, 8, 8)
    for planes, message in (
        ([y], "three planes"),
        ([y, u, v, y], "three planes"),
        ([y, u, v.astype(np.uint8)], "uint16"),
        ([y, u, v[:3]], "4×4"),
        ([y + np.uint16(1024), u, v], "10 bits"),
        ([y.ravel(), u, v], "2-D"),
        ([y.tolist(), u, v], "2-D"),
    ):
        with pytest.raises(ConversionError, match=message):
            rgb_from_planes(planes, conversion)  # type: ignore[arg-type]
