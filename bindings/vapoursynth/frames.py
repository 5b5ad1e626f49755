"""VapourSynth's frames → planes, and what their props say of their colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import vapoursynth as vs
from numpy.typing import NDArray

from runtime import ConversionError
from runtime.frames import Layout, Tags, tagged

_SUBSAMPLING = {(1, 1): "4:2:0", (1, 0): "4:2:2", (0, 0): "4:4:4"}
_SITING = dict(enumerate(("left", "center", "topleft", "top", "bottomleft", "bottom")))
_RANGE = {0: "limited", 1: "full"}


def layout_of(clip: Any) -> Layout:
    """The layout of a clip's frames. Raises ConversionError for a format that is not taken or that varies."""
    form = clip.format
    if form is None or not clip.width or not clip.height:
        raise ConversionError("the clip's format or size varies: certify its parts each for itself")
    family = {vs.YUV: False, vs.RGB: True}.get(form.color_family)
    subsampling = _SUBSAMPLING.get((form.subsampling_w, form.subsampling_h))
    if family is None or subsampling is None or form.sample_type != vs.INTEGER or not 8 <= form.bits_per_sample <= 16:
        raise ConversionError(
            f"format {form.name} is not taken (only YUV 4:2:0, 4:2:2 and 4:4:4, and RGB, integers of 8 to 16 bits)"
        )
    return Layout("planar", subsampling, form.bits_per_sample, rgb=family)


def planes_of(frame: Any) -> tuple[NDArray[Any], ...]:
    """Y, U, V or G, B, R, views of the frame's memory, which is read-only and lives as long as the frame."""
    planes = tuple(np.asarray(frame[index]) for index in range(frame.format.num_planes))
    return (planes[1], planes[2], planes[0]) if frame.format.color_family == vs.RGB else planes


def tags_of(frame: Any, layout: Layout) -> Tags:
    """``_Range`` is 0 for limited; ``_ColorRange``, which older releases have instead, is 1 for limited."""
    props = frame.props
    range_ = _RANGE.get(props.get("_Range", -1)) or _RANGE.get(1 - props.get("_ColorRange", -1))
    siting = props.get("_ChromaLocation")
    return tagged(
        layout,
        matrix=props.get("_Matrix"),
        transfer=props.get("_Transfer"),
        primaries=props.get("_Primaries"),
        range=range_,
        chroma_location=None if siting is None else _SITING.get(siting, str(siting)),
    )
