"""Which picture files are taken: the table that decides, and that docs/formats.md is printed from.

``make formats`` prints it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .damage import check_boxes, check_gif, check_jpeg, check_nothing, check_png, check_webp

Check = Callable[[str, bytes], list[str]]


@dataclass(frozen=True)
class Format:
    """A row. ``name``: Pillow's. ``check``: what looks for damage beside the decoder. ``moving``: several pictures of
    it are a clip; else only the first one that is shown, or none, is taken, as ``several`` says ("refused", "first").
    The others are words for the page: ``samples`` that are taken, ``upright``: what turns it, ``colours``: where its
    profile stands, ``unseen``: damage that nobody can see.
    """

    name: str
    decoder: str
    samples: str
    check: Check = check_nothing
    moving: bool = False
    several: str = "refused"
    upright: str = "nothing does"
    colours: str = "untagged"
    unseen: str = "changed pixels: there is no checksum"


FORMATS = {
    row.name: row
    for row in (
        Format(
            "PNG", "Pillow; 16 bits imagecodecs", "1 … 16 bits: grey, RGB, palette, with alpha", check_png, moving=True,
            upright="EXIF", colours="cICP, ICC, or gAMA with cHRM",
            unseen="none: every chunk has a CRC, the pixels a checksum; of an animation only the CRCs",
        ),
        Format(
            "JPEG", "Pillow (libjpeg-turbo)", "8 bits: grey, YCbCr, RGB; CMYK with a profile", check_jpeg,
            several="first", upright="EXIF", colours="ICC",
            unseen="a JPEG has no checksum: of 200 damaged at random places 62 decode to other pixels without a word "
            "of three decoders (33 of 50 with flipped bits, 24 of 50 with bytes left out, 5 of 50 with zeros; of 200 "
            "progressive ones 30)",
        ),
        Format(
            "MPO", "Pillow (libjpeg-turbo)", "as JPEG", check_jpeg, several="first", upright="EXIF", colours="ICC",
            unseen="as JPEG",
        ),
        Format(
            "TIFF", "tifffile and imagecodecs; 8 bits also Pillow, and both must agree",
            "1 … 16 bits and floats in [0, 1]: grey, RGB, palette, YCbCr in JPEG; CMYK with a profile; strips, tiles, "
            "planes, BigTIFF; none, LZW, Deflate, PackBits, CCITT, JPEG",
            upright="its tag", colours="ICC", unseen="uncompressed and LZW pixels have no checksum; Deflate has one",
        ),
        Format(
            "WEBP", "Pillow (libwebp)", "8 bits: RGB, with alpha", check_webp, moving=True, upright="EXIF",
            colours="ICC",
            unseen="there is no checksum: of 100 damaged at random places 50 decode to other pixels without a word "
            "(25 of 25 with flipped bits, 25 of 25 with zeros; none that is shorter)",
        ),
        Format(
            "AVIF", "Pillow (libavif, dav1d)", "8 bits; 10 and 12 are decoded to 8, said so; grids, with alpha",
            check_boxes, moving=True, upright="irot, imir", colours="ICC or nclx",
            unseen="there is no checksum: of 100 damaged at random places 46 decode to other pixels without a word "
            "(22 of 25 with flipped bits, 24 of 25 with zeros; none that is shorter)",
        ),
        Format(
            "HEIF", "pillow-heif (libheif, libde265)", "8 bits; 10 and 12 are decoded to 8, said so; grids, with alpha",
            check_boxes, several="first", upright="irot, imir, by libheif", colours="ICC or nclx",
            unseen="changed pixels of the same length: there is no checksum",
        ),
        Format(
            "GIF", "Pillow", "8 bits, palette", check_gif, moving=True,
            unseen="changed pixels: there is no checksum; the chain of blocks is followed to its end",
        ),
        Format("BMP", "Pillow and FFmpeg, and both must agree", "8 bits: grey, RGB, palette, run lengths"),
        Format("PPM", "Pillow; 16 bits read as they are", "8 and 16 bits: bilevel, grey, RGB; grey floats in [0, 1]"),
        Format("TGA", "Pillow", "8 bits: grey, RGB, palette, with alpha"),
        Format(
            "JPEG2000", "Pillow (OpenJPEG)", "8 bits: grey, RGB, with alpha; grey of 16", colours="ICC",
            unseen="changed pixels of the same length: there is no checksum",
        ),
        Format("PSD", "Pillow", "8 bits: grey, RGB, palette; CMYK with a profile", several="first", colours="ICC"),
        Format(
            "JXL", "pillow-jxl-plugin, where you install it (it is under the GPL, so no extra of ours brings it)",
            "8 bits: grey, RGB, with alpha", upright="libjxl", colours="ICC",
            unseen="changed pixels of the same length: there is no checksum",
        ),
    )
}  # fmt: skip

NO_STILLS = frozenset({"MPEG", "FLI", "HDF5", "GRIB", "BUFR"})
"""Formats that Pillow names and that are no pictures: FFmpeg is asked about them."""

_REFUSED = """
Refused, each with a line that says what to do:

- high dynamic range: PQ or HLG in cICP (PNG), nclx (AVIF, HEIF) or the tags of a video, and Dolby Vision without a
  layer that plain decoders show;
- transparency without `--background`; CMYK without a profile; Lab and other colours; profiles that do not fit;
- samples of other depths than the table's; floats outside [0, 1];
- several pictures in a TIFF, or in any row that says so;
- whatever its check or a warning of its decoder calls damaged.

The counts are of one photograph of 256×256, a quarter of the copies each with up to 63 zeros, with one to three flipped
bits, with up to 63 bytes left out, and cut. Cut copies are always refused, and of 100 damaged PNGs all are. What passes
elsewhere is still a valid code of the right length, of other pixels: no decoder can tell it from a whole file.
"""

_VIDEO = """
## Videos

Read by PyAV (FFmpeg): MP4 and MOV, Matroska and WebM, AVI, Y4M, IVF, MXF, MPEG-TS and PS, FLV, NUT, and bare streams of
H.264, HEVC, VVC, AV1 and MPEG-2/4. The file is decoded once before anything is scored: its frames are those that
`ffprobe -count_frames` counts.

| what | is |
|---|---|
| stream | the one that ffmpeg takes, the largest, with a bonus for the default one, or that of `--stream N` |
| display matrix | applied plane by plane as FFmpeg does, multiples of 90° and mirror images; other angles are refused |
| pixels that are not square | certified as stored, said so |
| interlaced frames | certified as stored, marked with their number; through a pipe or GStreamer marked \
`progressive` under `assumed`; buffers of single fields are refused |
| dropped frames (AVI packets of no bytes), hidden frames (VP8, VP9) | not shown, not counted, said so |
| matrix, range, siting | converted as tagged; what is assumed is named |
| primaries | BT.709, BT.601 or untagged: taken as sRGB's, named; BT.2020, P3 and others: refused |
| transfer | PQ, HLG and linear: refused; others are taken as they are |
| Dolby Vision | profiles that need their metadata (5, and others without a compatible base layer): refused |
| alpha (WebM, yuva formats) | refused: most decoders leave it out without a word; the message has the line \
for ffmpeg that lays it over a colour. `--background` is for pictures and their animations |
| cropping by the container (MP4 `clap`, Matroska PixelCrop) | refused unless it crops nothing |
| encrypted | refused |
| GIF, WebP, PNG, AVIF animations | clips of their frames; the record holds how long each is shown |

Frames that come through a pipe are those that FFmpeg decodes. With `--probe FILE` its file is refused for all that this
table refuses, so that the log replays from the file; without it, nobody looks at the file.
"""


def page() -> str:
    """docs/formats.md."""
    lines = [
        "# What files are taken",
        "",
        "Printed by `make formats` from the table that decides. A frame is certified as it is",
        "displayed: turned upright, converted to sRGB, without alpha. Each step is in the record under `reading`, and",
        "`replay` repeats it.",
        "",
        "## Pictures",
        "",
        "| format | decoder | samples | several pictures | turned upright by | colours | damage that cannot be seen |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in FORMATS.values():
        several = "a clip" if row.moving else "the main one" if row.several == "first" else "refused"
        lines.append(
            f"| {row.name} | {row.decoder} | {row.samples} | {several} | {row.upright} | {row.colours} | {row.unseen} |"
        )
    lines += [
        "",
        "- Grey and bilevel pictures are RGB pictures of three equal channels.",
        "- Colours are converted to sRGB by littlecms: relative colorimetric, black point compensation, 8 bits (16",
        "  where the picture has 16). Untagged files are taken as sRGB. A profile that is sRGB to within one code",
        "  value is not applied. The radius is about the converted frame.",
        "- Opaque alpha is dropped. Transparency is laid over `--background`, in sRGB code values.",
        "- Floats in [0, 1] are taken as sRGB values and rounded to 16 bits.",
        "- Bytes after the end of a picture are not read; the record says how many there are.",
    ]
    return "\n".join(lines) + "\n" + _REFUSED + _VIDEO
