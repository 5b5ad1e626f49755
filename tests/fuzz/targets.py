"""What is fuzzed: bytes → a reader that takes them, or refuses with an error of ours. Anything else is a bug."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bindings.ffmpeg.pipe import Pipe
from runtime import BiqaError
from runtime.bundle.manifest import Manifest
from runtime.files.containers import check_whole
from runtime.files.damage import check_boxes, check_gif, check_jpeg, check_png, check_webp
from runtime.files.tracks import tracks
from runtime.results.log import read_log
from tests.torture import damaged_files, hostile_text

FOLDER = tempfile.TemporaryDirectory(prefix="biqa-fuzz-")


@dataclass(frozen=True)
class Target:
    """``read`` a file of bytes; ``seeds``: what to start from."""

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]


def one(target: Target, data: bytes) -> None:
    """One input. Raises what is no BiqaError."""
    try:
        target.read(data)
    except BiqaError:
        return


def _file(data: bytes) -> Path:
    path = Path(FOLDER.name) / "file"
    path.write_bytes(data)
    return path


def _container(name: str) -> Callable[[bytes], object]:
    def read(data: bytes) -> None:
        path = _file(data)
        check_whole(path, name, len(data))
        tracks(path, name)

    return read


def _files(*names: str) -> Callable[[], list[bytes]]:
    return lambda: [damaged_files.whole(name) for name in names]


TARGETS = {
    "manifest": Target(
        lambda data: Manifest.from_json(data.decode("utf-8", "replace")),
        lambda: [json.dumps(tree).encode() for tree in hostile_text.manifests()],
    ),
    "log": Target(
        lambda data: read_log(_file(data)), lambda: [json.dumps(tree).encode() for tree in hostile_text.logs()]
    ),
    "y4m": Target(lambda data: list(Pipe(io.BytesIO(data))), lambda: [hostile_text.stream()]),
    "mp4": Target(_container("mov"), _files("h264.mp4", "hevc.mov")),
    "matroska": Target(_container("matroska"), _files("h264.mkv", "vp9.webm")),
    "avi": Target(_container("avi"), _files("mjpeg.avi")),
    "png": Target(lambda data: check_png("png", data), _files("picture.png")),
    "jpeg": Target(lambda data: check_jpeg("jpeg", data), _files("picture.jpg", "progressive.jpg")),
    "gif": Target(lambda data: check_gif("gif", data), _files("picture.gif")),
    "webp": Target(lambda data: check_webp("webp", data), _files("picture.webp")),
    "boxes": Target(lambda data: check_boxes("avif", data), _files("picture.avif")),
}
