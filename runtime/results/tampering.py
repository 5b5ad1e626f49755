"""What may have been done to a frame of tiles, and what that is to its tiles.

=============  =====================================================================  ===============================
asked for      what may have been done to the frame as received                       what a tile is moved by
=============  =====================================================================  ===============================
``epsilon``    anything within that L2 distance, of all pixels and channels together  Σ e_i² ≤ (ε/k)², shared by all
``levels``     every code value changed by at most that many grey levels              e ≤ ℓ/(2ᵇ − 1)·√(values of it)
``patch``      anything at all in one upright rectangle of that size                  spoilt, where they meet
=============  =====================================================================  ===============================

A box average raises no maximum, so ℓ grey levels on the frame are at most ℓ/(2ᵇ − 1) on the domain, for each value of a
tile. A rectangle w pixels wide meets at most ⌈(w − 1)/(kq)⌉ + 1 columns of tiles that are q wide or wider, and no more
than there are. Levels and a patch go together: the patch anywhere, the levels everywhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..bounds.budget import Attack, grey_levels, l2, patch, tiles_touched
from ..errors import ParameterError
from ..frames.tiles import Tiling
from .certificate import check_epsilon
from .claims import l2_within

ROUNDED_UP = 1 + 2.0**-48
"""Many times the rounding of a shift."""


@dataclass(frozen=True)
class Domain:
    """Where tiles are scored. ``tiling`` of a frame, σ, k, and the frame's bit depth."""

    tiling: Tiling
    sigma: float
    downscale: int
    bit_depth: int


@dataclass(frozen=True)
class Tampering:
    """``epsilon``, or ``levels`` or ``patch`` (width, height) in pixels of the source frame, or both of these.

    Raises ParameterError for none of them, ``epsilon`` with another, or a value out of range.

    >>> import runtime
    >>> print(runtime.Tampering(levels=1, patch=(64, 64)))
    1 grey level, 64×64 patch
    """

    epsilon: float | None = None
    levels: float | None = None
    patch: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.epsilon is not None:
            if self.levels is not None or self.patch is not None:
                raise ParameterError("epsilon is one kind of tampering, levels and patch are another: give one of them")
            check_epsilon(self.epsilon)
        elif self.levels is None and self.patch is None:
            raise ParameterError("tampering takes epsilon, levels or patch")
        if self.levels is not None and not (_is_number(self.levels) and 0 <= self.levels < math.inf):
            raise ParameterError(f"levels are grey levels of the frame's bit depth, 0 or more, not {self.levels!r}")
        if self.patch is not None and not (
            isinstance(self.patch, tuple)
            and len(self.patch) == 2
            and all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in self.patch)
        ):
            raise ParameterError(f"a patch is (width, height) in pixels, 1 or more each, not {self.patch!r}")

    @property
    def within(self) -> str:
        """How far frames may be from the frame as received: "with every code value within 1 grey level of" it."""
        if self.epsilon is not None:
            return l2_within(self.epsilon)
        unit = "grey level" if self.levels == 1 else "grey levels"
        if self.patch is None:
            return f"with every code value within {self.levels!r} {unit} of that of"
        rectangle = f"one rectangle of {self.patch[0]}×{self.patch[1]} pixels"
        if not self.levels:
            return f"that differs in {rectangle} at most from"
        return f"that differs by anything in {rectangle}, and by at most {self.levels!r} {unit} elsewhere, from"

    def __str__(self) -> str:
        """ "ε=0.1", or "1 grey level, 64×64 patch"."""
        if self.epsilon is not None:
            return f"ε={self.epsilon:g}"
        words = []
        if self.levels is not None:
            words.append(f"{self.levels:g} grey level{'' if self.levels == 1 else 's'}")
        if self.patch is not None:
            words.append(f"{self.patch[0]}×{self.patch[1]} patch")
        return ", ".join(words)

    def shift(self, domain: Domain) -> float:
        """s = e/σ: how far one tile may be moved, where it is not spoilt; for ``epsilon`` by the whole budget."""
        if self.epsilon is not None:
            return self.epsilon / domain.downscale / domain.sigma * ROUNDED_UP
        top = (1 << domain.bit_depth) - 1
        return (self.levels or 0.0) / top * math.sqrt(domain.tiling.values) / domain.sigma * ROUNDED_UP

    def tiles_touched(self, domain: Domain) -> int:
        """The most tiles that the patch meets; 0 without one."""
        if self.patch is None:
            return 0
        (least_height, _), (least_width, _) = domain.tiling.sides
        width, height = self.patch
        columns = min(domain.tiling.columns, tiles_touched(width, 1, least_width, domain.downscale))
        return columns * min(domain.tiling.rows, tiles_touched(1, height, least_height, domain.downscale))

    def attack(self, domain: Domain) -> Attack:
        """The same as options of every tile, with prices."""
        shift = self.shift(domain)
        if self.epsilon is not None:
            return l2(shift, domain.tiling.count)
        return grey_levels(shift) if self.patch is None else patch(self.tiles_touched(domain), shift)

    def to_dict(self) -> dict[str, object]:
        """JSON types; only what was given."""
        given = {"epsilon": self.epsilon, "levels": self.levels, "patch": self.patch and list(self.patch)}
        return {key: value for key, value in given.items() if value is not None}


def patch_size(text: str) -> tuple[int, int]:
    """(width, height) in pixels of ``WIDTHxHEIGHT``, as command lines and hosts give it. Raises ParameterError."""
    sides = text.lower().split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        raise ParameterError(f"patch {text!r} is not a size such as 64x64, in pixels")
    return int(sides[0]), int(sides[1])


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
