"""One clip through every host, with one secret: the same frames, the same noise, the same certificates, bit for bit.

``frame_sha256`` is of the RGB frame that the lattice is summed from, and ``scores_sha256`` of every noisy score, whose
noise is keyed by the lattice: where both agree, so does the lattice.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.cabi import CallError
from tests.support.clips import write_clip
from tests.support.hosts import HOSTS, Host, pyav
from tests.support.tiny import tile_bundle, tiny_bundle

TAGGED = {"colorspace": 1, "color_range": 1, "color_trc": 1}
CLIPS: dict[str, tuple[str, dict[str, Any]]] = {
    "tagged": ("clip.mp4", {"tags": TAGGED}),
    "untagged": ("clip.mp4", {}),
    "full range": ("clip.mp4", {"tags": {"colorspace": 5, "color_range": 2}}),
    "10 bits": ("clip.mp4", {"tags": TAGGED, "pix_fmt": "yuv420p10le"}),
    "4:2:2": ("clip.mkv", {"codec": "ffv1", "pix_fmt": "yuv422p"}),
    "4:4:4": ("clip.mp4", {"tags": TAGGED, "pix_fmt": "yuv444p"}),
    "topleft chroma": ("clip.mp4", {"tags": TAGGED, "options": {"chroma_sample_location": "topleft"}}),
    "times that vary": ("clip.mp4", {"pts": [0, 1, 5, 6]}),
}


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("host", [host for host in HOSTS if host.run is not pyav], ids=lambda host: host.name)
def test_same_certificates(tmp_path: Path, host: Host, clip: str) -> None:
    if reason := host.lacks():
        pytest.skip(reason)
    name, options = CLIPS[clip]
    path = write_clip(tmp_path / name, frames=4, **options)
    tiny_bundle(tmp_path / "model", samples=61)
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    expected = pyav(path, tmp_path / "model", tmp_path / "secret", True)
    made = host.run(path, tmp_path / "model", tmp_path / "secret", True)
    assert (made.message, expected.message) == ("", "")
    assert len(expected.records) == 4
    assert len({record["frame_sha256"] for record in expected.records}) == 4
    for ours, theirs in zip(made.records, expected.records, strict=True):
        assert without_engine(ours) == without_engine(theirs)


@pytest.mark.parametrize("tampering", [{}, {"levels": 0.25, "patch": (12, 8)}], ids=["L2", "levels and patch"])
@pytest.mark.parametrize("host", [host for host in HOSTS if host.run is not pyav], ids=lambda host: host.name)
def test_same_certificates_of_tiles(tmp_path: Path, host: Host, tampering: dict[str, Any]) -> None:
    """A model of tiles: the bounds, the map and the claim too."""
    if reason := host.lacks():
        pytest.skip(reason)
    path = write_clip(tmp_path / "clip.mp4", frames=2, tags=TAGGED)
    tile_bundle(tmp_path / "model", samples=61)
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    expected = pyav(path, tmp_path / "model", tmp_path / "secret", True, tampering)
    made = host.run(path, tmp_path / "model", tmp_path / "secret", True, tampering)
    assert (made.message, expected.message) == ("", "")
    said = [record["tampering"] for record in expected.records]
    assert said == [{"levels": 0.25, "patch": [12, 8]} if tampering else {"epsilon": 0.1}] * 2
    in_json = json.loads(json.dumps(expected.records))  # with lists for tuples
    assert [without_engine(record) for record in made.records] == [without_engine(record) for record in in_json]


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_levels_take_tiles(tmp_path: Path, host: Host) -> None:
    if reason := host.lacks():
        pytest.skip(reason)
    path = write_clip(tmp_path / "clip.mp4", frames=1, tags=TAGGED)
    tiny_bundle(tmp_path / "model")
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    try:
        said = host.run(path, tmp_path / "model", tmp_path / "secret", True, {"levels": 1.0}).message
    except CallError as error:
        said = str(error)
    assert "levels and patch take a model that scores tiles" in said


def without_engine(record: dict[str, Any]) -> dict[str, Any]:
    """VapourSynth's Python may have another onnxruntime; all else, the scores too, must agree."""
    return {key: value for key, value in record.items() if key != "engine"}
