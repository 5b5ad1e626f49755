"""The pooled score of a clip: which bound it has, what it is worth, and that it is made again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import CallableSampler, Certifier, ParameterError, Pooled
from runtime.__main__ import main
from runtime.bounds.alpha import side_share
from runtime.bounds.collective import Units, side_again, side_limits
from runtime.results.pooled import FRAME_BY_FRAME, ONE_FRAME, TOGETHER
from runtime.results.pooled import pooled as pool_frames
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tiny_bundle

SIDE = 24
FRAMES = [np.ascontiguousarray(photograph()[8 * i : 8 * i + SIDE, 5 * i : 5 * i + SIDE]) for i in range(12)]


def brightness(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear but for its ends, so that what an attack can do is known."""
    return np.clip(100 * images.reshape(len(images), -1).mean(1), 0, 100)


def make(samples: int | None = 64, **arguments: object) -> Certifier:
    sampler = CallableSampler(brightness, 0.25, score_range=(0.0, 100.0))
    return Certifier(sampler=sampler, epsilon=0.1, samples=samples, public_seed=5, **arguments)  # type: ignore[arg-type]


def pooled(certifier: Certifier, frames: list[NDArray[np.uint8]], **wish: str) -> Pooled:
    return certifier.gate(frames, at_least=-1, **wish).pooled


def test_a_mean_is_bounded_collectively_and_others_frame_by_frame() -> None:
    with make() as certifier:
        for pool, bound in (("mean", TOGETHER), ("harmonic_mean", TOGETHER), ("min", FRAME_BY_FRAME)):
            made = pooled(certifier, FRAMES, pool=pool)
            assert made.bound == bound
            assert made.lower < made.score < made.upper
            assert (made.why is None) == (made.evidence is not None) == (bound == TOGETHER)
        assert pooled(certifier, FRAMES[:1]).bound == ONE_FRAME


def test_errors_cancel() -> None:
    """Narrower than frame by frame from the same draws."""
    with make() as certifier:
        frames = list(certifier.stream(FRAMES, jointly=len(FRAMES)))
    together = pool_frames("mean", frames, 1e-3)
    width = np.mean([c.upper for c in frames]) - np.mean([c.lower for c in frames])
    assert together.upper - together.lower < 0.75 * width


def test_the_interval_contains_what_an_attack_makes_of_the_mean() -> None:
    """Every frame brightened as far as ε goes, which is the worst for a mean of pixels; its true mean is known."""
    with make(samples=256) as certifier:
        made = pooled(certifier, FRAMES, bound=TOGETHER)
    pixels = SIDE * SIDE * 3
    moved = 100 * 0.1 / np.sqrt(pixels)
    truth = 100 * np.mean([frame.mean() / 255 for frame in FRAMES])
    assert made.lower < truth - moved
    assert truth + moved < made.upper


def test_equal_frames_are_one_unit() -> None:
    """They draw the same noise: a still shown M times is bounded as the still is, not better."""
    with make() as certifier:
        alone = certifier.certify(FRAMES[0])
        still, mixed = (
            pool_frames("mean", list(certifier.stream(frames, jointly=len(frames))), 1e-3)
            for frames in ([FRAMES[0]] * 5, [*[FRAMES[0]] * 5, FRAMES[1]])
        )
    assert len({c.scores_sha256 for c in still}) == 1
    assert still.evidence is not None
    assert [unit.count for unit in still.evidence.units] == [1]
    assert still.lower <= alone.lower
    assert alone.upper <= still.upper
    assert mixed.evidence is not None
    assert [unit.count for unit in mixed.evidence.units] == [2]


def test_a_recorded_bound_is_made_again_without_a_solver() -> None:
    with make() as certifier:
        certificates = list(certifier.stream(FRAMES, jointly=len(FRAMES)))
    made = pool_frames("mean", certificates, 1e-3, bound=TOGETHER).evidence
    assert made is not None
    unit = made.units[0]
    side = made.upper_side
    limits = side_limits((Units(len(FRAMES), 64, unit.shift, unit.distance),), side_share(made.alpha))
    assert limits.largest == side.largest
    ordered = np.sort(np.stack([c.scores for c in certificates]).astype(np.float64), axis=1)
    weights = [np.full(len(FRAMES), 1 / len(FRAMES))]
    assert side_again([ordered], 100.0, limits, weights, side.multipliers) == side.value


def test_why_it_is_frame_by_frame() -> None:
    wish = {"sigma": 0.25, "samples": 64, "public_seed": 5}
    with Certifier(sampler=brightness, **wish) as certifier:
        assert "states no range" in str(pooled(certifier, FRAMES).why)
        with pytest.raises(ParameterError, match=r"no collective bound here: the model states no range of scores"):
            pooled(certifier, FRAMES, bound=TOGETHER)
    with make(share_noise=True) as certifier:
        made = pooled(certifier, FRAMES)
        assert (made.bound, "share their noise" in str(made.why)) == (FRAME_BY_FRAME, True)
    with make() as certifier:
        assert pooled(certifier, FRAMES, bound=FRAME_BY_FRAME).why == "it was asked for"
        with pytest.raises(ParameterError, match="a min has no collective bound"):
            pooled(certifier, FRAMES, pool="min", bound=TOGETHER)
        with pytest.raises(ParameterError, match="bound is one of collective, frame-by-frame"):
            pooled(certifier, FRAMES, bound="wide")


def test_a_score_out_of_its_range_is_no_ground_for_a_collective_bound() -> None:
    sampler = CallableSampler(lambda images: 200 * images.reshape(len(images), -1).mean(1), 0.25, score_range=(0, 50))
    with Certifier(sampler=sampler, samples=64, public_seed=5) as certifier:
        made = pooled(certifier, FRAMES)
    assert made.bound == FRAME_BY_FRAME
    assert "left the range that the model states, 0 to 50" in str(made.why)


def test_clips_take_fewer_samples_where_nobody_asks() -> None:
    with make(samples=None) as certifier:
        assert certifier.samples == 501
        planned = certifier.clip_samples(len(FRAMES))
        assert 64 <= planned < 250
        assert {c.samples for c in certifier.stream(FRAMES, jointly=len(FRAMES))} == {planned}
        assert certifier.plan(frames=len(FRAMES)).samples == planned
        assert certifier.clip_samples(len(FRAMES), bound=FRAME_BY_FRAME) == 501
        assert certifier.clip_samples(len(FRAMES), alone=True) == 501
        assert certifier.clip_samples(1) == 501
    with make(samples=77) as certifier:
        assert certifier.clip_samples(len(FRAMES)) == 77


@pytest.mark.parametrize("bound", [TOGETHER, FRAME_BY_FRAME])
@pytest.mark.parametrize("command", ["certify", "gate", "compare"])
def test_the_log_says_which_and_replays(
    command: str,
    bound: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    write_clip(tmp_path / "a.mp4", frames=4)
    write_clip(tmp_path / "b.mp4", frames=3)
    files = ["a.mp4", "b.mp4"] if command == "compare" else ["a.mp4"]
    options = ["--at-least", "10"] if command == "gate" else []
    seed = ["--model", "model", "--public-seed", "7", "--samples", "80"]
    assert main([command, *files, *options, *seed, "--bound", bound, "--json", "log.json"]) in (0, 1, 3)
    log = json.loads(Path("log.json").read_text())
    for entry in log["inputs"]:
        bounds = entry["pooled_bounds"]
        assert bounds["mean"]["bound"] == bounds["harmonic_mean"]["bound"] == bound
        assert bounds["min"]["bound"] == FRAME_BY_FRAME
        assert entry["joint_alpha"] == entry["alpha"] * (2 if bound == TOGETHER else 1)
        low, high = (entry["pooled_metrics"][f"tiny_cert_{end}"]["mean"] for end in ("lo", "hi"))
        if bound == TOGETHER:
            assert (bounds["mean"]["collective"]["lower"], bounds["mean"]["collective"]["upper"]) == (low, high)
    capsys.readouterr()
    assert main(["replay", "log.json", *files, "--model", "model"]) == 0
    assert "certificates identical" in capsys.readouterr().err
    log["inputs"][0]["pooled_metrics"]["tiny_cert_lo"]["mean"] += 1e-9
    Path("log.json").write_text(json.dumps(log))
    assert main(["replay", "log.json", *files, "--model", "model"]) == 1


def test_a_log_from_before_collective_bounds_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has none of the newer keys, and its pools were bounded frame by frame."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    write_clip(tmp_path / "a.mp4", frames=4)
    options = ["--model", "model", "--public-seed", "7", "--samples", "80", "--bound", FRAME_BY_FRAME]
    for command in (["certify"], ["gate", "--at-least", "10"]):
        assert main([*command, "a.mp4", *options, "--json", "log.json"]) == 0
        log = json.loads(Path("log.json").read_text())
        for entry in log["inputs"]:
            del entry["pooled_bounds"], entry["alpha"], entry["certificate"]["score_range"]
            for key in ("bound", "why"):
                entry.get("decision", {}).pop(key, None)
        for frame in log["frames"]:
            del frame["certificate"]["lattice_sha256"]
        Path("log.json").write_text(json.dumps(log))
        assert main(["replay", "log.json", "a.mp4", "--model", "model"]) == 0
