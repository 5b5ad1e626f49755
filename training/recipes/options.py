"""What the trainings whose loss sees the score, ``denoiser`` and ``joint``, ask of its options."""

from __future__ import annotations

from ..networks import METRICS
from .ranking import RANKINGS


def check_objective(*, metric: str, ranking_loss: str, spread: float, copies: int) -> None:
    """Raises ValueError that names the option which cannot be used, and what can."""
    if ranking_loss not in RANKINGS:
        raise ValueError(f"ranking loss {ranking_loss!r} is not known: use one of {', '.join(RANKINGS)}")
    if copies < 1 or (spread > 0 and copies < 2):
        raise ValueError(f"copies {copies}: it is at least 1, and at least 2 where spread is above 0")
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is not known: use one of {', '.join(METRICS)}")
