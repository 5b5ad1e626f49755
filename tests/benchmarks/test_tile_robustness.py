"""tile_robustness.py: what is handed in keeps to what was asked for, and what left its interval is counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import tile_robustness as robustness
from tests.support.clips import photograph


def brightness(pictures: Any) -> Any:
    return 100 * pictures.mean((1, 2, 3))


def frame() -> np.ndarray:
    return np.ascontiguousarray(photograph()[:128, :160])


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("way", [1, -1])
def test_grey_levels_are_kept_and_climb(steps: int, way: int) -> None:
    picture = robustness.on_domain(frame(), 2)
    pattern = robustness.signs(brightness, picture, 2 / 255, way, steps)
    attacked = robustness.moved_by(frame(), pattern, 2, 2)
    assert np.abs(attacked.astype(int) - frame()).max() == 2
    moved = brightness(robustness.on_domain(attacked, 2)[None]) - brightness(picture[None])
    assert moved.item() * way == pytest.approx(200 / 255, abs=0.1)  # less where values end at 0 or 255


@pytest.mark.parametrize("way", [1, -1])
def test_a_rectangle_is_filled_and_nothing_else(way: int) -> None:
    attacked = robustness.filled(brightness, frame(), (32, 64), way, 2)
    inside = np.s_[32 : 32 + robustness.PATCH, 64 : 64 + robustness.PATCH]
    assert (attacked[inside] == (255 if way > 0 else 0)).all()
    attacked[inside] = frame()[inside]
    assert (attacked == frame()).all()


def test_scores_outside_are_counted() -> None:
    asked = "1 grey level"
    trials = [[asked, "FGSM", score, 5.0] for score in (39.9, 40.0, 50.1, float("nan"))]
    made = robustness.summary([{"score": 45.0, "intervals": {asked: [40.0, 50.0]}, "trials": trials}], 100.0)
    assert made[asked]["half_width"] == 5
    assert made[asked]["attacks"]["FGSM"]["outside"] == 3
    assert made[asked]["attacks"]["FGSM"]["bare"] == 5
    assert "4 trials: 3 left the certified interval" in robustness.page({"frames": 1, "tamperings": made})
