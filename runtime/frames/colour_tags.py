"""What a stream says of its colours → the conversion it asks for. What it does not say is assumed, and named so.

FFmpeg, GStreamer and VapourSynth all number matrix and transfer as ITU-T H.273 does.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ConversionError
from .pixel_formats import Layout
from .planes import CHROMA_LOCATIONS, MATRICES, Conversion, default_matrix

_MATRIX = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020nc"}
_UNTAGGED = (0, 2, None)  # 0 is RGB, which says nothing about Y, U, V
HDR = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}
"""Number of a transfer of high dynamic range → its name."""
WIDE = {4: "BT.470 M", 8: "film", 9: "BT.2020", 10: "XYZ", 11: "DCI-P3", 12: "Display P3", 22: "EBU 3213"}
"""Number of primaries that are not near sRGB's → their name."""
NO_CURVE = {8: "linear", 9: "logarithmic", 10: "logarithmic", 17: "that of cinema (SMPTE ST 428)"}
"""Number of a transfer that is no display's → its name."""


@dataclass(frozen=True)
class Tags:
    """What a stream or a frame says of its colours; None: nothing.

    ``matrix`` and ``chroma_location`` may be others than those that are taken. ``hdr``: name of its transfer.
    ``foreign``: what of its colours is not near sRGB, in words.
    """

    matrix: str | None = None
    range: str | None = None
    hdr: str | None = None
    chroma_location: str | None = None
    foreign: str | None = None


def tagged(
    layout: Layout,
    *,
    matrix: int | None = None,
    transfer: int | None = None,
    primaries: int | None = None,
    range: str | None = None,
    chroma_location: str | None = None,
) -> Tags:
    """Tags from the numbers of ITU-T H.273 and from what the pixel format itself says."""
    named = None if matrix in _UNTAGGED else _MATRIX.get(matrix or 0, f"{matrix} (ITU-T H.273)")
    return Tags(
        matrix="rgb" if layout.rgb else named,
        range="full" if layout.full else range,
        hdr=HDR.get(transfer or 0),
        chroma_location=chroma_location,
        foreign=foreign_colours(primaries, transfer),
    )


def conversion_for(name: str, layout: Layout, width: int, height: int, tags: Tags) -> Conversion:
    """The conversion of frames of this size that are tagged so; ``assumed`` names what the tags do not say.

    ``name``: of the input, for messages. Raises ConversionError for HDR, colours that are not near sRGB, and a
    matrix or siting that is not taken.
    """
    if tags.hdr is not None:
        raise hdr_error(name, tags.hdr, "the")
    if tags.foreign is not None:
        raise foreign_error(name, tags.foreign, "the")
    if tags.matrix not in (None, *MATRICES):
        raise ConversionError(f"{name}: colour matrix {tags.matrix} is not known: say which one to use")
    if tags.matrix is not None and (tags.matrix == "rgb") != layout.rgb:
        pixels = "R, G, B" if layout.rgb else "Y, U, V"
        raise ConversionError(f"{name}: matrix {tags.matrix!r} is not for planes {pixels}: leave it out")
    whole = layout.subsampling == "4:4:4"
    siting = "left" if whole else tags.chroma_location
    if siting not in (None, *CHROMA_LOCATIONS):
        raise ConversionError(f"{name}: chroma siting {siting!r} is not taken: convert the file first")
    said = {"matrix": tags.matrix, "range": tags.range or ("full" if layout.rgb else None), "chroma_location": siting}
    return Conversion(
        matrix=said["matrix"] or default_matrix(width, height),
        range=said["range"] or "limited",
        bit_depth=layout.bit_depth,
        subsampling=layout.subsampling,
        chroma_location=siting or "left",
        assumed=tuple(key for key, value in said.items() if value is None),
    )


def hdr_error(name: str, transfer: str, what: str) -> ConversionError:
    """The refusal of high dynamic range. ``what``: "the", or from which frame on."""
    return ConversionError(
        f"{name}: {what} transfer is {transfer}, high dynamic range, which the model has never seen: tone-map "
        "it to SDR first (ffmpeg's zscale and tonemap filters)"
    )


def foreign_colours(primaries: int | None, transfer: int | None) -> str | None:
    """What of these numbers of ITU-T H.273 is not near sRGB, in words; None: nothing."""
    if primaries in WIDE:
        return f"primaries are {WIDE[primaries]}, not sRGB's"
    return f"transfer is {NO_CURVE[transfer]}" if transfer in NO_CURVE else None


def foreign_error(name: str, foreign: str, what: str) -> ConversionError:
    """The refusal of colours that no rule of ours converts. ``what``: as for :func:`hdr_error`."""
    return ConversionError(
        f"{name}: {what} {foreign}: convert it first (ffmpeg's filter zscale=primaries=709:transfer=709:matrix=709)"
    )
