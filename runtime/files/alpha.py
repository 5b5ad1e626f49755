"""Alpha: opaque is dropped, transparency needs a background.

Where alpha is full everywhere, the picture is its colours, and alpha is dropped. Where it is not, what is seen depends
on what lies under it, which no file says: such a picture is refused unless a background is given, and then

    seen = (a · colour + (m − a) · background) / m        in sRGB code values, rounded half up,

with a and the colours in 0 … m = 2ᵇ−1. That is how browsers and viewers lay pictures over a page.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError, ParameterError

NONE = "none"
OPAQUE = "opaque everywhere, dropped"

_NAMES = {"white": "#ffffff", "black": "#000000", "grey": "#808080", "gray": "#808080"}


def background_colour(text: str | None) -> str | None:
    """``white``, ``black``, ``grey`` or #rrggbb → #rrggbb. Raises ParameterError."""
    if text is None:
        return None
    colour = _NAMES.get(text.lower(), text.lower())
    if not re.fullmatch(r"#[0-9a-f]{6}", colour):
        raise ParameterError(f"background is white, black, grey or #rrggbb, not {text!r}")
    return colour


def without_alpha(
    name: str, colours: NDArray[Any], alpha: NDArray[Any] | None, background: str | None
) -> tuple[NDArray[Any], str]:
    """Colours alone, and what was done. ``colours``: H×W×3; ``alpha``: H×W of the same dtype, or None.

    Raises FrameError for transparency without a background.
    """
    if alpha is None:
        return colours, NONE
    top = int(np.iinfo(colours.dtype).max)
    if int(alpha.min()) == top:
        return colours, OPAQUE
    if background is None:
        raise FrameError(
            f"{name} is transparent in {int(np.count_nonzero(alpha < top))} of {alpha.size} pixels: say what lies "
            "under it, --background white (background= in Python)"
        )
    under = np.array([int(background[at : at + 2], 16) for at in (1, 3, 5)], np.uint64) * (top // 255)
    weight = alpha.astype(np.uint64)[:, :, None]
    seen = (weight * colours + (top - weight) * under + top // 2) // top
    return seen.astype(colours.dtype), f"laid over {background}"
