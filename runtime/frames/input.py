"""What the caller hands over as a frame → RGB on the host and its lattice.

A frame in device memory takes the same way on a host copy, which its hash and its key are made of; the lattice says
where the pixels are, so that the sampler need not bring them back.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from .device import COPY, DeviceArray, DeviceReader, device_frame, is_device_frame
from .lattice import Lattice, to_lattice
from .planes import Conversion, rgb_from_planes

Frame = NDArray[Any] | DeviceArray | tuple[Sequence[NDArray[Any]], Conversion]
"""RGB H×W×3 of uint8 or uint16, in host or device memory, or decoded planes with the conversion to apply."""


@dataclass(frozen=True)
class OpenedFrame:
    """``rgb``: H×W×3, on the host. ``lattice``: its sums, with the place of the pixels where a GPU has them."""

    rgb: NDArray[Any]
    lattice: Lattice
    conversion: Conversion | None


def open_frame(frame: Frame, bit_depth: int | None, *, downscale: int, reader: DeviceReader | None) -> OpenedFrame:
    """RGB and lattice of a frame. ``bit_depth``: of an RGB frame, None for its dtype's.

    ``downscale``: k of the k×k box. ``reader``: what fetches frames from device memory, None where nothing does. Raises
    FrameError or ConversionError for a frame that cannot be scored.
    """
    conversion = device = None
    if isinstance(frame, tuple):
        planes, conversion = frame
        rgb: NDArray[Any] = rgb_from_planes(planes, conversion)
        bit_depth = conversion.bit_depth
    elif is_device_frame(frame):
        if reader is None:
            raise FrameError(
                "the frame is in device memory, and this sampler does not read it there: open the model with "
                f"device='cuda', or {COPY}"
            )
        device = device_frame(frame)
        rgb = reader.host_copy(device)
    elif isinstance(frame, (str, os.PathLike)):
        raise FrameError(f"a frame is an array of pixels, not a path: certify_file({os.fspath(frame)!r}) reads a file")
    else:
        rgb = cast("NDArray[Any]", frame)  # ``lattice`` says what else it is
    return OpenedFrame(
        rgb, replace(to_lattice(rgb, downscale=downscale, bit_depth=bit_depth), device=device), conversion
    )


def is_frame(value: object) -> TypeGuard[Frame]:
    """Is it an array or (planes, conversion)? Arrays of other shapes are refused where they are opened."""
    return (
        isinstance(value, np.ndarray)
        or is_device_frame(value)
        or (isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Conversion))
    )
