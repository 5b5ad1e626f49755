"""A monotone curve from a model's points to a user's own scale of opinions.

For a non-decreasing c, P(c(X) ≤ c(t)) ≥ P(X ≤ t): quantiles commute with it. So if an interval [l, u] holds a median,
or any score, [c(l), c(u)] holds what c makes of it, with the same error. Nothing is drawn or bounded again.

- ``logistic``: c(x) = low + (high − low)/(1 + exp(−(x − centre)/slope)), with low < high and slope > 0, the four
  parameters that video quality tests are fitted with (ITU-T J.149);
- ``isotonic``: linear between knots that rise in x and do not fall in y, level beyond the ends.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit

KINDS = ("logistic", "isotonic")


@dataclass(frozen=True)
class Calibration:
    """``values``: low, high, centre, slope of a logistic; y of the knots. ``knots``: their x; empty for a logistic.

    ``rows``: scores with opinions that it was fitted to, ``sha256`` of that file. ``deviation``: root mean square of
    what is left, in units of the opinions.
    """

    kind: str
    values: tuple[float, ...]
    knots: tuple[float, ...]
    rows: int
    sha256: str
    deviation: float

    def __call__(self, score: float) -> float:
        """The score on the user's scale; an infinite bound stays one."""
        if not math.isfinite(score):
            return score
        if self.kind == "logistic":
            low, high, centre, slope = self.values
            return float(low + (high - low) * expit((score - centre) / slope))
        return float(np.interp(score, self.knots, self.values))

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {**asdict(self), "values": list(self.values), "knots": list(self.knots)}


def parse_calibration(tree: Mapping[str, Any]) -> Calibration | None:
    """A calibration as :meth:`Calibration.to_dict` gives it; None for anything that is none."""
    try:
        made = Calibration(**{**tree, "values": tuple(tree["values"]), "knots": tuple(tree["knots"])})
    except (TypeError, KeyError):
        return None
    return made if _is_monotone(made) else None


def _is_monotone(made: Calibration) -> bool:
    numbers = (*made.values, *made.knots, made.deviation)
    if not all(type(n) in (int, float) and abs(n) <= sys.float_info.max for n in numbers):
        return False
    if type(made.rows) is not int or made.rows < 1 or not isinstance(made.sha256, str) or len(made.sha256) != 64:
        return False
    if made.kind == "logistic":
        return len(made.values) == 4 and not made.knots and made.values[0] < made.values[1] and made.values[3] > 0
    return (
        made.kind == "isotonic"
        and len(made.knots) == len(made.values) >= 2
        and all(low < high for low, high in pairwise(made.knots))
        and all(low <= high for low, high in pairwise(made.values))
    )
