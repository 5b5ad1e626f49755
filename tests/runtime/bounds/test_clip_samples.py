"""How many draws a frame a clip takes: planned, not chosen after the scores."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.bounds.alpha import equal_share
from runtime.bounds.clip_samples import LEAST, STEP, clip_samples, normal_width
from runtime.bounds.collective import Units, certify_mean, least_useful_samples
from runtime.bounds.ranks import scope_least_samples, scope_ranks

SHIFT, ALPHA = 0.4167, 1e-3


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
@pytest.mark.parametrize("frames", [2, 30, 300])
def test_the_plan_is_as_narrow_as_frame_by_frame(frames: int, scope: str) -> None:
    planned = clip_samples(frames, SHIFT, ALPHA, scope, 501)
    assert planned == 501 or planned % STEP == 0
    assert planned >= LEAST
    assert planned >= (least_useful_samples(frames, SHIFT, ALPHA, scope) or 0)
    assert scope_least_samples(SHIFT, equal_share(ALPHA, frames), scope) <= planned  # type: ignore[operator]
    rng = np.random.default_rng(1)
    widths = {}
    for samples in (planned, 501):
        scores = np.sort(50 + rng.normal(size=(max(frames, 60), samples)), axis=1)
        if samples == planned:
            made = certify_mean(
                [scores[:frames]], [Units(frames, samples, SHIFT)], ALPHA, bottom=0, top=100, scope=scope
            )
            widths["collective"] = made.upper - made.lower
        if samples == 501:
            lower, upper = scope_ranks(501, SHIFT, equal_share(ALPHA, frames), scope)
            widths["frame by frame"] = float((scores[:, upper - 1] - scores[:, lower - 1]).mean())
    assert widths["collective"] < 1.15 * widths["frame by frame"]


def test_many_frames_take_few_samples() -> None:
    assert clip_samples(30, SHIFT, ALPHA, "smoothed", 501) <= 80
    assert clip_samples(300, SHIFT, ALPHA, "smoothed", 501) == LEAST
    assert clip_samples(1, SHIFT, ALPHA, "smoothed", 501) == 501
    assert clip_samples(30, SHIFT, ALPHA, "smoothed", 48) == 48


def test_where_nothing_is_bounded_nothing_is_saved() -> None:
    assert clip_samples(30, 4.0, ALPHA, "smoothed", 501) == 501


def test_the_model_of_normal_scores() -> None:
    """Its width is what simulated scores have: half of upper − lower, in deviations."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(20):
        scores = 50 + rng.normal(size=(30, 64)) + rng.normal(0, 5, (30, 1))
        made = certify_mean([scores], [Units(30, 64, SHIFT)], ALPHA, bottom=0, top=100)
        found.append((made.upper - made.lower) / 2)
    assert normal_width(30, 64, SHIFT, ALPHA, "smoothed") == pytest.approx(np.mean(found), rel=0.08)
