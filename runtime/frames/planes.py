"""Decoded planes → RGB: the one conversion of the project, in integers, the same bits on every machine.

Decoders agree on planes and disagree on RGB, so every host hands over planes. With b bits, luma code Y and
chroma codes U, V (offset o = 16·2ᵇ⁻⁸ and scales 219·2ᵇ⁻⁸, 224·2ᵇ⁻⁸ in limited range, 0 and 2ᵇ−1 in full;
chroma is centred at 2ᵇ⁻¹), y = (Y − o)/scale, u and v likewise, and R, G, B in [0, 1] are

    R = y + 2(1−Kr) v        B = y + 2(1−Kb) u        G = (y − Kr R − Kb B)/(1 − Kr − Kb)

with Kr, Kb = 0.299, 0.114 (ITU-R BT.601-7), 0.2126, 0.0722 (BT.709-6), 0.2627, 0.0593 (BT.2020-2,
non-constant luminance), times 2ᵇ−1, rounded half up and clipped. The matrix is scaled to integers, so the result
is within one code value of the real one.

Subsampled chroma is interpolated linearly between the positions its siting says, in sixteenths, edges replicated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError

_WEIGHTS = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}
MATRICES = (*_WEIGHTS, "rgb")
RANGES = ("limited", "full")
STEP = {"4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}  # luma rows and columns a chroma sample
SUBSAMPLINGS = tuple(STEP)
_CENTRED = {"left": (True, False), "center": (True, True), "topleft": (False, False)}  # between luma rows, columns
CHROMA_LOCATIONS = tuple(_CENTRED)
STRIP = 2**16  # chroma samples converted at a time


@dataclass(frozen=True)
class Conversion:
    """How planes become RGB.

    ``matrix``: bt601, bt709, bt2020nc, or rgb for planes G, B, R. ``range``: limited or full. ``bit_depth``: 8 … 16, of
    the planes and of the RGB. ``subsampling``: 4:2:0, 4:2:2, 4:4:4. ``chroma_location``: left, center, topleft.
    ``assumed``: which of these the stream did not say; a host adds "transfer" where nothing could say that it is HDR,
    and "whole" where nothing said how many frames there should be. Raises ConversionError for any other value.

    >>> import runtime
    >>> runtime.Conversion("bt709", "limited", 8, "4:2:0", "left").to_dict()["matrix"]
    'bt709'
    """

    matrix: str
    range: str
    bit_depth: int
    subsampling: str
    chroma_location: str
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (
            ("matrix", MATRICES),
            ("range", RANGES),
            ("bit_depth", tuple(range(8, 17))),
            ("subsampling", SUBSAMPLINGS),
            ("chroma_location", CHROMA_LOCATIONS),
        ):
            if getattr(self, name) not in allowed:
                known = ", ".join(map(str, allowed))
                raise ConversionError(f"{name} {getattr(self, name)!r} is not known: use one of {known}")
        if self.matrix == "rgb" and self.subsampling != "4:4:4":
            raise ConversionError(f"planes G, B, R are 4:4:4, not {self.subsampling}")

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "assumed": list(self.assumed)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Conversion:
        """The inverse of :meth:`to_dict`. Raises ConversionError for missing or unknown keys."""
        try:
            return cls(**{**record, "assumed": tuple(record.get("assumed", ()))})
        except TypeError as error:
            raise ConversionError(f"not the record of a conversion: {error}") from None


def default_matrix(width: int, height: int) -> str:
    """What an untagged stream is taken for: BT.709 from 1280 columns or 720 rows on, BT.601 below."""
    return "bt709" if width >= 1280 or height >= 720 else "bt601"


def _check(planes: Sequence[NDArray[Any]], conversion: Conversion) -> tuple[int, int]:
    if len(planes) != 3:
        raise ConversionError(f"a frame has three planes, not {len(planes)}: drop alpha, and there is no grey here")
    dtype = np.uint8 if conversion.bit_depth == 8 else np.uint16
    for plane in planes:
        if not isinstance(plane, np.ndarray) or plane.ndim != 2 or plane.dtype != dtype or plane.size == 0:
            found = f"{plane.dtype} {plane.shape}" if isinstance(plane, np.ndarray) else type(plane).__name__
            raise ConversionError(
                f"planes of {conversion.bit_depth} bits are 2-D {np.dtype(dtype)} arrays, not {found}"
            )
        if conversion.bit_depth not in (8, 16) and int(plane.max()) >= 2**conversion.bit_depth:
            raise ConversionError(f"a plane holds {int(plane.max())}, more than {conversion.bit_depth} bits can")
    height, width = planes[0].shape
    rows, columns = STEP[conversion.subsampling]
    expected = (-(-height // rows), -(-width // columns))
    for plane in planes[1:]:
        if plane.shape != expected:
            raise ConversionError(
                f"chroma of a {width}×{height} {conversion.subsampling} frame is {expected[1]}×{expected[0]}, "
                f"not {plane.shape[1]}×{plane.shape[0]}"
            )
    return height, width


def _interpolate(samples: NDArray[Any], step: int, centred: bool) -> tuple[NDArray[Any], ...]:
    """Along axis 0: four times the linear interpolation of chroma at each of ``step`` luma positions a sample.

    ``samples``: with one more at either end. Returns ``step`` arrays, the first for luma positions 0, step, 2·step, …
    """
    before, inner, after = samples[:-2], samples[1:-1], samples[2:]
    if step == 1:
        return (4 * inner,)
    if centred:  # chroma sits between two luma positions: 1/4, 3/4
        return before + 3 * inner, 3 * inner + after
    return 4 * inner, 2 * (inner + after)  # chroma sits on every other luma position


def rgb_from_planes(planes: Sequence[NDArray[Any]], conversion: Conversion) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Planes Y, U, V (or G, B, R) → H×W×3 RGB of the same depth, in memory of its own.

    Planes: 2-D, any strides, uint8 for 8 bits, uint16 for 9 … 16; chroma rounded up at odd sizes. Returns uint8 or
    uint16. Raises ConversionError for planes that do not fit the conversion.

    >>> import numpy as np, runtime
    >>> luma, chroma = np.full((64, 96), 235, np.uint8), np.full((32, 48), 128, np.uint8)
    >>> conversion = runtime.Conversion("bt709", "limited", 8, "4:2:0", "left")
    >>> rgb = runtime.rgb_from_planes([luma, chroma, chroma], conversion)
    >>> rgb.shape, rgb[0, 0].tolist()
    ((64, 96, 3), [255, 255, 255])
    """
    height, width = _check(planes, conversion)
    depth = conversion.bit_depth
    top = 2**depth - 1
    # int32 holds 16·255·2.2·2¹⁴; deeper values need int64, and then more fractional bits cost nothing.
    kind, fraction = (np.int32, 14) if depth == 8 else (np.int64, 24)
    limited = conversion.range == "limited"
    offset = 16 << (depth - 8) if limited else 0
    luma_scale = top / ((219 << (depth - 8)) if limited else top)
    rgb = np.empty((height, width, 3), np.uint8 if depth == 8 else np.uint16)

    if conversion.matrix == "rgb":
        factor, half = round(luma_scale * 2**fraction), 1 << (fraction - 1)
        for rows in _strips(height, width):
            for channel, plane in zip((1, 2, 0), planes, strict=True):
                scaled = ((plane[rows].astype(kind) - offset) * factor + half) >> fraction
                rgb[rows, :, channel] = np.clip(scaled, 0, top, out=scaled)
        return rgb

    chroma_scale = top / ((224 << (depth - 8)) if limited else top)
    kr, kb = _WEIGHTS[conversion.matrix]
    kg = 1 - kr - kb
    unit = 2**fraction
    cy = round(luma_scale * unit)
    r_v, b_u = round(2 * (1 - kr) * chroma_scale * unit), round(2 * (1 - kb) * chroma_scale * unit)
    g_u = round(2 * (1 - kb) * kb / kg * chroma_scale * unit)
    g_v = round(2 * (1 - kr) * kr / kg * chroma_scale * unit)

    # Matrix and interpolation are linear, and exact in integers, so the matrix comes first, on the fewer samples; then
    # every luma position within a chroma sample, of which 4:2:0 has 2×2, is an array of its own.
    down, right = STEP[conversion.subsampling]
    between_rows, between_columns = _CENTRED[conversion.chroma_location]
    shift = fraction + 4  # chroma is in sixteenths
    for rows in _strips(*planes[1].shape):
        u, v = (_with_edges(plane, rows).astype(kind) - (1 << (depth - 1)) for plane in planes[1:])
        out = rgb[rows.start * down : rows.stop * down]
        luma = planes[0][rows.start * down : rows.stop * down] * kind(16 * cy)
        luma += (1 << (shift - 1)) - offset * 16 * cy
        for channel, chroma in ((0, r_v * v), (1, -g_u * u - g_v * v), (2, b_u * u)):
            for i, line in enumerate(_interpolate(chroma, down, between_rows)):
                for j, value in enumerate(_interpolate(line.T, right, between_columns)):
                    y = luma[i::down, j::right]
                    sums = value.T[: y.shape[0], : y.shape[1]]
                    sums += y
                    sums >>= shift
                    out[i::down, j::right, channel] = np.clip(sums, 0, top, out=sums)
    return rgb


def _strips(height: int, width: int) -> Iterator[slice]:
    """Row ranges of a plane, small enough for the arrays made from one to stay in the processor's cache."""
    rows = max(1, STRIP // width)
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def _with_edges(plane: NDArray[Any], rows: slice) -> NDArray[Any]:
    """These rows and one more sample on all four sides, repeated from the edge where the plane ends."""
    wanted = np.arange(rows.start - 1, rows.stop + 1).clip(0, len(plane) - 1)
    return np.pad(plane[wanted], ((0, 0), (1, 1)), "edge")
