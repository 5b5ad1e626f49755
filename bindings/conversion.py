"""What a user tells, what the file says and what the host says of its colours → the one conversion in use."""

from __future__ import annotations

from dataclasses import replace

from bindings.probe import Probe
from runtime import Conversion, ConversionError, ParameterError
from runtime.frames import CHROMA_LOCATIONS, MATRICES, RANGES, Layout, Tags, conversion_for

_ALLOWED = {"matrix": MATRICES, "range": RANGES, "chroma_location": CHROMA_LOCATIONS}


def told_tags(matrix: str | None = None, range: str | None = None, chroma_location: str | None = None) -> Tags:
    """What the user says. Raises ParameterError for values that are not taken."""
    told = {"matrix": matrix or None, "range": range or None, "chroma_location": chroma_location or None}
    for name, value in told.items():
        if value not in (None, *_ALLOWED[name]):
            raise ParameterError(f"{name} is one of {', '.join(_ALLOWED[name])}, not {value!r}")
    return Tags(**told)


def conversion_of(
    name: str,
    layout: Layout,
    width: int,
    height: int,
    *,
    told: Tags,
    file: Probe | None,
    host: Tags,
    counted: bool,
    interlaced: bool = False,
) -> Conversion:
    """The user decides, then the file, then the host; where file and host differ, only the user can.

    ``name``: of the stream, for messages. ``counted``: whether it is known how many frames must come. ``interlaced``:
    whether the host says that frames are; they are taken as they are stored, which ``assumed`` says by "progressive".
    Raises ConversionError for what differs, and as ``conversion_for`` does.
    """
    said = file.tags if file else Tags()
    if layout.rgb:  # the file's matrix is of its Y, U, V
        said = replace(said, matrix=None)
    if layout.subsampling == "4:4:4":  # chroma was interpolated on the way, or never subsampled
        said, host = replace(said, chroma_location=None), replace(host, chroma_location=None)
    used = {}
    for key in _ALLOWED:
        by_user, by_file, by_host = getattr(told, key), getattr(said, key), getattr(host, key)
        if by_user is None and file and None not in (by_file, by_host) and by_file != by_host:
            raise ConversionError(
                f"{name} says that its {key} is {by_host}, {file.path} that it is {by_file}: something converts it on "
                f"the way, or one of them is wrong: say which {key} to use"
            )
        used[key] = by_user or by_file or by_host
    conversion = conversion_for(name, layout, width, height, Tags(**used, hdr=host.hdr, foreign=host.foreign))
    marks = [] if counted else ["whole"]
    if interlaced or (file is not None and file.interlaced):
        marks.append("progressive")
    return replace(conversion, assumed=(*conversion.assumed, *marks))
