"""Every host refuses what is wrong, or marks what it could not know; none returns a bare certificate.

With ``probe`` the host looks at the file behind the stream; without it, it has only what reaches it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.clips import write_clip
from tests.support.hosts import HOSTS, Host, Outcome
from tests.support.tiny import tiny_bundle

FRAMES = 24


def cut(path: Path) -> None:
    """The index in front, so that the file still opens, and the last third missing."""
    data = write_clip(path, frames=FRAMES, container_options={"movflags": "faststart"}).read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    path.write_bytes(data[: len(data) * 2 // 3])


def flipped(path: Path) -> None:
    data = bytearray(write_clip(path, frames=FRAMES).read_bytes())
    start = data.find(b"mdat") + 800
    for place in np.random.default_rng(2).integers(start, len(data) - 2500, 24):
        data[place] ^= 0x55
    path.write_bytes(data)


def written(**options: Any) -> Callable[[Path], None]:
    return lambda path: void(write_clip(path, **{"frames": 4, **options}))


def void(_: object) -> None:
    """Nothing."""


@dataclass(frozen=True)
class Row:
    """``refused``: must be. ``marks``: what ``assumed`` must hold. ``records``: keys every record must have so."""

    make: Callable[[Path], None]
    name: str = "clip.mp4"
    refused: bool = False
    marks: frozenset[str] = frozenset()
    frames: int = 4
    bit_depth: int = 8
    range: str = "limited"
    size: tuple[int, int] = (96, 64)


UNTAGGED = frozenset({"matrix", "range"})
HDR = {"color_trc": 16, "colorspace": 9, "color_primaries": 9}
TABLE = {
    "cut": Row(cut, refused=True),
    "bit-flipped": Row(flipped, refused=True),
    "garbage": Row(lambda path: void(path.write_bytes(np.random.default_rng(0).bytes(5000))), refused=True),
    "empty": Row(lambda path: path.touch(), refused=True),
    "variable frame rate": Row(written(pts=[0, 1, 5, 20])),
    "10-bit": Row(written(pix_fmt="yuv420p10le"), bit_depth=10),
    "full range": Row(written(tags={"color_range": 2}), range="full", marks=frozenset({"matrix"})),
    "untagged": Row(written(), marks=UNTAGGED),
    "odd sizes": Row(written(codec="ffv1", width=51, height=37), "clip.mkv", size=(51, 37), marks=UNTAGGED),
    "HDR": Row(written(pix_fmt="yuv420p10le", tags=HDR), refused=True),
}


def outcome(host: Host, row: Row, folder: Path, probe: bool) -> Outcome:
    if reason := host.lacks():
        pytest.skip(reason)
    path = folder / row.name
    row.make(path)
    tiny_bundle(folder / "model", samples=61)
    (folder / "secret").write_bytes(bytes(range(32)))
    before = sorted(folder.iterdir())
    made = host.run(path, folder / "model", folder / "secret", probe)
    assert sorted(folder.iterdir()) == before  # no file is left behind
    return made


@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_probed(tmp_path: Path, host: Host, row: str) -> None:
    wanted = TABLE[row]
    made = outcome(host, wanted, tmp_path, probe=True)
    if wanted.refused or (host.name, row) == ("vapoursynth", "odd sizes"):  # which has no odd 4:2:0 at all
        assert made.message
        return
    assert made.message == ""
    assert len(made.records) == wanted.frames
    for record in made.records:
        conversion = record["conversion"]
        assert wanted.marks <= set(conversion["assumed"])
        assert "whole" not in conversion["assumed"]
        assert (record["bit_depth"], conversion["range"]) == (wanted.bit_depth, wanted.range)
        assert (record["width"], record["height"]) == wanted.size
        assert record["alpha"] == pytest.approx(0.001 / wanted.frames)


@pytest.mark.long
@pytest.mark.parametrize("row", TABLE)
@pytest.mark.parametrize("host", [host for host in HOSTS if not host.reads], ids=lambda host: host.name)
def test_not_probed(tmp_path: Path, host: Host, row: str) -> None:
    """Where nothing was said of the file, nothing says that it is whole, and each record tells so."""
    made = outcome(host, TABLE[row], tmp_path, probe=False)
    assert made.message or made.records
    for record in made.records:
        assert {"whole", *TABLE[row].marks} <= set(record["conversion"]["assumed"])
        if row == "HDR":
            assert "transfer" in record["conversion"]["assumed"]
