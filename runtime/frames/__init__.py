"""A frame on its way to the engine: RGB, its integer lattice, device memory, planes and their colours."""

from __future__ import annotations

from .colour_tags import HDR, Tags, conversion_for, foreign_colours, foreign_error, hdr_error, tagged
from .lattice import Lattice, sigma_in_steps, to_lattice
from .pixel_formats import LAYOUTS, Layout, stored_shapes, unpacked
from .planes import CHROMA_LOCATIONS, MATRICES, RANGES, STEP
from .tiles import tiling

__all__ = [
    "CHROMA_LOCATIONS",
    "conversion_for",
    "foreign_colours",
    "foreign_error",
    "HDR",
    "hdr_error",
    "Lattice",
    "to_lattice",
    "Layout",
    "LAYOUTS",
    "MATRICES",
    "RANGES",
    "sigma_in_steps",
    "STEP",
    "stored_shapes",
    "tagged",
    "Tags",
    "tiling",
    "unpacked",
]
