"""robustness.py counts what it should: broken certificates, movement, and the ratio of the large radius."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import robustness


def frame(scores: list[float], moved: float) -> dict[str, Any]:
    """Every trial at ε = 0.1 against the interval [40, 50]."""
    radii = [f"{e:g}" for e in (*robustness.CERTIFIED, *robustness.BEYOND)]
    return {
        "intervals": {"0.1": [40.0, 50.0]},
        "trials": [["0.1", "random direction", score] for score in scores],
        "moved": {e: {"none": moved, "family": 1.0} for e in radii},
    }


def test_a_score_outside_its_interval_is_a_broken_certificate() -> None:
    made = robustness.summary([frame([39.9, 40.0, 50.0, 50.1], 8.0), frame([45.0, 45.0], 4.0)])
    assert (made["trials"], made["broken"], made["broken_frames"]) == (6, 2, 1)
    assert made["by_attack"] == {"random direction": {"trials": 6, "broken": 2}}
    assert made["expected_at_most"] == pytest.approx(robustness.ALPHA * 6, abs=0.05)
    assert made["movement"]["0.1"] == {
        "none": 6.0, "MS": None, "DMS": None, "DMS-IQA": None, "family": 1.0, "half_width": 5.0,
    }  # fmt: skip
    assert made["movement"]["0.2"]["half_width"] is None


def test_a_score_that_is_no_number_is_broken_too() -> None:
    assert robustness.summary([frame([float("nan")], 1.0)])["broken"] == 1


def test_ratio_is_taken_frame_by_frame() -> None:
    made = robustness.against_large([frame([], 8.0), frame([], 4.0)], [2.0, 4.0])
    assert (made["half_width"], made["ratio_mean"], made["ratio_largest"]) == (3.0, 2.5, 4.0)
    assert made["frames_over_ten"] == 0
    assert robustness.against_large([frame([], 8.0), frame([], 4.0)], [0.8, 0.5])["frames_over_ten"] == 1


def test_small_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="smaller than 256×256"):
        robustness.centre(np.zeros((255, 300, 3), np.uint8))
    assert robustness.centre(np.zeros((257, 300, 3), np.uint8)).shape == (256, 256, 3)
