"""Manifests, logs and YUV4MPEG2 streams with random changes: taken, or refused with an error of ours."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bindings.ffmpeg.pipe import Pipe
from runtime import BiqaError
from runtime.bundle.manifest import Manifest
from runtime.results.log import read_log
from tests.support.tiny import tile_bundle, tiny_bundle

from .case import SAFE, Case

HOSTILE = (
    None,
    True,
    -1,
    0,
    0.5,
    2**70,
    -(2**70),
    1e308,
    float("nan"),
    float("inf"),
    "",
    "../../etc/passwd",
    "\0",
    "ß" * 300,
    "0" * 64,
    [],
    {},
    [[]],
    {"a": 1},
)
"""Put in the place of any value."""


def changed(tree: Any, rng: np.random.Generator) -> Any:
    """A JSON tree with one value replaced, removed, doubled or renamed, at a random place."""
    tree = json.loads(json.dumps(tree))
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    walk(tree)
    node, key = places[rng.integers(len(places))]
    action = rng.integers(4)
    if action == 0:
        del node[key]
    elif action == 1 and isinstance(node, dict):
        node[str(key) + "_"] = node.pop(key)
    elif action == 2 and isinstance(node, list):
        node.append(node[key])
    else:
        node[key] = HOSTILE[rng.integers(len(HOSTILE))]
    return tree


def scrambled(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes changed, removed or added."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(made)))
        action = rng.integers(3)
        if action == 0:
            made[at] = int(rng.integers(256))
        elif action == 1:
            del made[at : at + int(rng.integers(1, 40))]
        else:
            made[at:at] = rng.bytes(int(rng.integers(1, 8)))
        if not made:
            break
    return bytes(made)


@cache
def manifests() -> tuple[Any, ...]:
    """One of frames, one of tiles."""
    with tempfile.TemporaryDirectory() as folder:
        bundles = tiny_bundle(Path(folder) / "one"), tile_bundle(Path(folder) / "tiles")
        return tuple(json.loads(bundle.manifest.to_json()) for bundle in bundles)


@cache
def logs() -> tuple[Any, ...]:
    """Of a picture, of a gate and of a comparison."""
    from runtime.__main__ import main
    from tests.support.pictures import saved

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = str(tiny_bundle(folder / "model", samples=61).path)
        picture, made = folder / "picture.png", []
        picture.write_bytes(saved(format="PNG"))
        for words in (["certify"], ["gate", "--at-least", "10"], ["compare", str(picture)]):
            command = [*words, str(picture), "--model", model, "--json", str(folder / "log.json"), "--quiet"]
            main(command)
            made.append(json.loads((folder / "log.json").read_text()))
        return tuple(made)


def stream() -> bytes:
    """Three frames."""
    frames = b"".join(b"FRAME\n" + bytes(range(96)) for _ in range(3))
    return b"YUV4MPEG2 W8 H8 F25:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n" + frames


def _refused_or_taken(name: str, use: Callable[[], object]) -> str:
    try:
        use()
    except BiqaError as error:
        return SAFE if str(error).strip() and "\n" not in str(error).strip() else f"{name}: no clear line: {error!r}"
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"
    return SAFE


def _manifests(tries: int, rng: np.random.Generator) -> Iterator[str]:
    for index in range(tries):
        tree = manifests()[index % 2]
        text = (
            json.dumps(changed(tree, rng)) if index % 3 else scrambled(json.dumps(tree).encode(), rng).decode("latin1")
        )
        yield _refused_or_taken("manifest", lambda text=text: Manifest.from_json(text))  # type: ignore[misc]


def _logs(tries: int, rng: np.random.Generator) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.json"
        for index in range(tries):
            tree = logs()[index % 3]
            data = json.dumps(changed(tree, rng)).encode() if index % 3 else scrambled(json.dumps(tree).encode(), rng)
            path.write_bytes(data)
            yield _refused_or_taken("log", lambda: read_log(path))


def _streams(tries: int, rng: np.random.Generator) -> Iterator[str]:
    whole = stream()
    for _ in range(tries):
        data = scrambled(whole, rng) if rng.random() < 0.5 else scrambled(whole[:62], rng) + whole[62:]
        yield _refused_or_taken("stream", lambda data=data: list(Pipe(io.BytesIO(data))))  # type: ignore[misc]


CASES = [
    Case("changed manifests", 20_000, 300, _manifests),
    Case("changed logs", 20_000, 200, _logs),
    Case("changed YUV4MPEG2 streams", 20_000, 300, _streams),
]
