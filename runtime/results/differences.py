"""Where two logs differ, value by value, leaving out what may differ without a certificate being another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Place = tuple[str | int, ...]
NOT_COMPARED: tuple[tuple[str | type, ...], ...] = (
    ("version",),
    ("fps",),
    ("inputs", int, "path"),
    ("inputs", int, "certificate", "engine"),
    ("inputs", int, "certificate", "level", "why"),
    ("inputs", int, "certificate", "conversion", "assumed"),
    ("inputs", int, "certificate", "reading", "decoder"),
)
"""Places, from the top of the log, that may differ without a certificate being another one; ``int``: any index.

Another engine is named where scores differ.
"""

ADDED = {"alpha", "bound", "collective", "joint_claim", "lattice_sha256", "pooled_bounds", "score_range", "why"}
"""Keys that logs had not always: where a log has none of a name, it is not compared."""
MAY_BE_ABSENT: tuple[tuple[str | type, ...], ...] = (
    ("inputs", int, "certificate", "reading"),
    ("inputs", int, "certificate", "reading", str),
)
"""Places that older records do not have; ``str``: any key."""

_ABSENT = object()


def differences(recorded: Any, made: Any, at: Place = ()) -> list[Place]:
    """Where two JSON trees differ, as places from the top of the log; those of ``NOT_COMPARED`` are passed over."""
    if not compared(at) or (recorded is _ABSENT and _is_of(at, MAY_BE_ABSENT)):
        return []
    if isinstance(recorded, dict) and isinstance(made, dict):
        keys = sorted(recorded.keys() | (made.keys() - (ADDED - recorded.keys())))
        pairs: list[tuple[Any, Any, Place]] = [
            (recorded.get(key, _ABSENT), made.get(key, _ABSENT), (*at, key)) for key in keys
        ]
    elif isinstance(recorded, list) and isinstance(made, list) and len(recorded) == len(made):
        pairs = [(*both, (*at, index)) for index, both in enumerate(zip(recorded, made, strict=True))]
    else:
        return [] if type(recorded) is type(made) and recorded == made else [at]
    return [place for pair in pairs for place in differences(*pair)]


def compared(place: Place) -> bool:
    """Whether a place is none of ``NOT_COMPARED``."""
    return not _is_of(place, NOT_COMPARED)


def _is_of(place: Place, kinds: Sequence[tuple[str | type, ...]]) -> bool:
    return any(
        len(place) == len(known)
        and all(isinstance(k, w) if isinstance(w, type) else k == w for k, w in zip(place, known, strict=True))
        for known in kinds
    )


def name_of(place: Place) -> str:
    """A place as in ``inputs[0].certificate.sigma``."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place).removeprefix(".") or "all"
