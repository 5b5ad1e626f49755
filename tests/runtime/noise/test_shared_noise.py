"""``share_noise``: one noise for all frames of a clip, which nobody can foresee, and which is replayed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Certifier, ParameterError
from runtime.__main__ import main
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tiny_bundle

PICTURE = photograph()[:24, :20]
FRAMES = [PICTURE, PICTURE ^ 1, PICTURE ^ 2]


def mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear, so that score minus frame is the noise alone."""
    return 255 * images.reshape(len(images), -1).mean(1)


def make(share_noise: bool = True) -> Certifier:
    secret = bytes(range(16))
    return Certifier(sampler=mean, sigma=0.12, epsilon=0.05, samples=60, secret=secret, share_noise=share_noise)


def noises(certifier: Certifier, frames: list[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
    made = certifier.stream(frames, jointly=len(frames))
    return [c.scores.astype(np.float64) - frame.mean() for c, frame in zip(made, frames, strict=True)]


def test_frames_share_their_noise() -> None:
    first, second, third = noises(make(), FRAMES)
    assert np.allclose(first, second, atol=1e-3)
    assert np.allclose(first, third, atol=1e-3)
    alone = noises(make(False), FRAMES)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    assert not np.allclose(first, alone[0], atol=1e-3)


def test_a_change_of_the_last_frame_changes_the_noise_of_the_first() -> None:
    """Who learns from the first frame's score and alters the last one meets other noise in both."""
    one = noises(make(), FRAMES)[0]
    assert np.array_equal(one, noises(make(), FRAMES)[0])
    for other in ([*FRAMES[:2], PICTURE ^ 4], FRAMES[:2], [FRAMES[0], FRAMES[2], FRAMES[1]]):
        assert not np.allclose(one, noises(make(), other)[0], atol=1e-3)


def test_certify_gate_and_compare() -> None:
    with make() as certifier:
        alone = certifier.certify(PICTURE)
        assert alone.to_dict()["shared_noise_frames"] == 1
        assert np.array_equal(alone.scores, next(certifier.stream([PICTURE])).scores)
        gate = certifier.gate(FRAMES, at_least=0)
        assert gate.decision == "pass"
        first, second, _ = (c.scores[:15] for c in gate.pooled.certificates)
        assert np.allclose(first - FRAMES[0].mean(), second - FRAMES[1].mean(), atol=1e-3)
        comparison = certifier.compare(FRAMES, [PICTURE // 2] * 2)
        assert comparison.decision == "a"
        assert [c.provenance.shared_noise_frames for c in comparison.b.certificates] == [2, 2]
    assert "shared_noise_frames" not in make(False).certify(PICTURE).to_dict()


def test_frames_that_come_one_by_one_are_refused() -> None:
    with pytest.raises(ParameterError, match="the whole clip before its first frame is scored"):
        next(make().stream(iter(FRAMES)))
    with pytest.raises(ParameterError, match="share_noise is True or False"):
        make("per-clip")  # type: ignore[arg-type]


class Changing:
    """A clip whose frames are others in the second reading."""

    def __init__(self, *readings: list[NDArray[np.uint8]]) -> None:
        self.readings = iter(readings)

    def __len__(self) -> int:
        return 2

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(next(self.readings))


@pytest.mark.parametrize("again", [[FRAMES[0], FRAMES[2]], [*FRAMES]])
def test_a_clip_that_changes_between_readings_is_refused(again: list[NDArray[np.uint8]]) -> None:
    with pytest.raises(ParameterError, match="changed between two readings"):
        list(make().stream(Changing(FRAMES[:2], again)))


def test_command_line_and_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    write_clip(tmp_path / "clip.mp4", frames=3)
    options = ["--model", "model", "--public-seed", "7", "--samples", "40", "--share-noise"]
    for command in (["certify"], ["gate", "--at-least", "10"]):
        assert main([*command, "clip.mp4", *options, "--json", "log.json"]) == 0
        log = json.loads(Path("log.json").read_text())
        assert log["inputs"][0]["certificate"]["shared_noise_frames"] == 3
        assert main(["replay", "log.json", "clip.mp4", "--model", "model"]) == 0
        assert "3 of 3 certificates identical" in capsys.readouterr().err
    del log["inputs"][0]["certificate"]["shared_noise_frames"]
    Path("log.json").write_text(json.dumps(log))
    assert main(["replay", "log.json", "clip.mp4", "--model", "model"]) == 1
