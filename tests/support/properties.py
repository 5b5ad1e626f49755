"""Properties that hold for every input, tried on drawn ones: hypothesis, the same draws in every run.

``steady`` decorates a property. ``make torture`` tries more draws: it sets BIQA_EXAMPLES before it imports them.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("BIQA_EXAMPLES", "25"))

steady = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
