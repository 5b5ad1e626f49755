"""What a certificate at (ε, α) takes, before any frame is scored."""

from __future__ import annotations

from dataclasses import dataclass

from ..bounds.alpha import Scope, frame_shares
from ..bounds.ranks import scope_least_samples, scope_ranks
from .certificate import check_epsilon
from .claims import too_few_samples


@dataclass(frozen=True)
class Plan:
    """``epsilon`` on the source frame, ``epsilon_engine`` = ε/k, ``shift`` = ε/(kσ).

    ``least_samples``: the least n from which on the bound is finite, None if there is none.
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

    @property
    def shares(self) -> dict[str, float]:
        """Event → what it may spend of ``alpha``; they add up to it (bounds/alpha.py)."""
        return frame_shares(self.alpha, self.scope)

    @property
    def reason(self) -> str | None:
        """Why ``samples`` are too few, and how many would do; None if they suffice."""
        return None if self.lower_rank else too_few_samples(self.samples, self.shift, self.alpha, self.scope)


def plan(epsilon: float, alpha: float, *, sigma: float, downscale: int, samples: int, scope: Scope) -> Plan:
    """The plan for one frame. Raises ParameterError for values out of range."""
    engine = check_epsilon(epsilon) / downscale
    shift = engine / sigma
    lower, upper = scope_ranks(samples, shift, alpha, scope)
    least = scope_least_samples(shift, alpha, scope)
    return Plan(epsilon, engine, sigma, shift, alpha, scope, samples, least, lower, upper)
