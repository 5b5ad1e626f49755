"""What the trainings ask of their options, before anything is read."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

from runtime.errors import ParameterError

from ..networks import METRICS
from .ranking import RANKINGS

_SHARES = ("decay", "dropout", "faults", "held_back")
_SIZES = ("crop", "downscale", "width")


def check_numbers(config: Any) -> None:
    """Raises ParameterError that names the first number of a configuration which cannot be used."""
    for field in fields(config):
        value, option = getattr(config, field.name), "--" + field.name.replace("_", "-")
        if field.name in _SIZES and value < 1:
            raise ParameterError(f"{option} {value}: use 1 or more")
        if field.name in _SHARES and not 0 <= value <= 1:
            raise ParameterError(f"{option} {value}: it is a share, use 0 … 1")
        if isinstance(value, int | float) and field.name != "batch" and not 0 <= value < math.inf:
            raise ParameterError(f"{option} {value}: use 0 or more")


def check_objective(*, metric: str, ranking_loss: str, spread: float, copies: int) -> None:
    """Of ``denoiser`` and ``joint``. Raises ParameterError that names what cannot be used, and what can."""
    if ranking_loss not in RANKINGS:
        raise ParameterError(f"ranking loss {ranking_loss!r} is not known: use one of {', '.join(RANKINGS)}")
    if copies < 1 or (spread > 0 and copies < 2):
        raise ParameterError(f"copies {copies}: it is at least 1, and at least 2 where spread is above 0")
    if metric not in METRICS:
        raise ParameterError(f"metric {metric!r} is not known: use one of {', '.join(METRICS)}")
