"""What a certificate at (ε, α) takes, before any frame is scored."""

from __future__ import annotations

from dataclasses import dataclass

from ..bounds.alpha import Scope, equal_share, frame_shares
from ..bounds.collective import least_useful_samples
from ..bounds.ranks import scope_least_samples, scope_ranks
from .certificate import check_epsilon
from .claims import too_few_samples


@dataclass(frozen=True)
class Plan:
    """``epsilon`` on the source frame, ``epsilon_engine`` = ε/k, ``shift`` = ε/(kσ).

    ``frames``: claimed jointly; ``alpha``: the share of each. ``least_samples``: the least n from which on each frame's
    bound is finite, None if there is none. ``least_collective_samples``: the least n from which on a collective bound
    of their mean does without the end of the range of scores; None if there is none, or but one frame.
    ``lower_rank``, ``upper_rank``: the 1-based order statistics of ``samples``, None if they are too few.

    >>> plan = certifier.plan(epsilon=0.5)
    >>> plan.least_samples
    405
    >>> plan.reason
    'n=101 cannot bound ε/σ=2.083 at α=0.001 (scope smoothed): use n ≥ 405'
    """

    epsilon: float
    epsilon_engine: float
    sigma: float
    shift: float
    alpha: float
    scope: Scope
    samples: int
    least_samples: int | None
    lower_rank: int | None
    upper_rank: int | None
    frames: int = 1
    least_collective_samples: int | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Event → what it may spend of ``alpha``; they add up to it (bounds/alpha.py)."""
        return frame_shares(self.alpha, self.scope)

    @property
    def reason(self) -> str | None:
        """Why ``samples`` are too few, and how many would do; None if they suffice."""
        return None if self.lower_rank else too_few_samples(self.samples, self.shift, self.alpha, self.scope)


def plan(
    epsilon: float, alpha: float, *, sigma: float, downscale: int, samples: int, scope: Scope, frames: int = 1
) -> Plan:
    """The plan for ``frames`` that share ``alpha``. Raises ParameterError for values out of range."""
    engine = check_epsilon(epsilon) / downscale
    shift, share = engine / sigma, equal_share(alpha, frames)
    lower, upper = scope_ranks(samples, shift, share, scope)
    least = scope_least_samples(shift, share, scope)
    together = least_useful_samples(frames, shift, alpha, scope) if frames > 1 else None
    return Plan(epsilon, engine, sigma, shift, share, scope, samples, least, lower, upper, frames, together)
