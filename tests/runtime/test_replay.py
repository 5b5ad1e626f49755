"""``replay``: every value of a log is made again, so none can be altered unseen."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from clips import photograph, write_clip
from PIL import Image
from tiny import tiny_bundle

from runtime.__main__ import main
from runtime.commands.replay import NOT_COMPARED, differences


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The log of a picture and a clip."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    Image.fromarray(photograph()[:40, :60]).save("picture.png")
    write_clip(tmp_path / "clip.mp4", frames=2)
    options = ["--model", "model", "--public-seed", "7", "--samples", "40", "--json", "log.json"]
    assert main(["certify", "picture.png", "clip.mp4", *options]) == 0
    capsys.readouterr()
    made: dict[str, Any] = json.loads(Path("log.json").read_text())
    return made


def replay(record: dict[str, Any]) -> int:
    Path("altered.json").write_text(json.dumps(record))
    return main(["replay", "altered.json", "picture.png", "clip.mp4", "--model", "model"])


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [leaf for key, value in tree.items() for leaf in leaves(value, (*path, key))]
    if isinstance(tree, list):
        return [leaf for index, value in enumerate(tree) for leaf in leaves(value, (*path, index))]
    return [path]


def altered(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return "0" + value[1:] + "x" if isinstance(value, str) else 0


def test_untouched(log: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(log) == 0
    assert capsys.readouterr().err.strip().endswith("3 of 3 certificates identical")


def test_no_value_can_be_altered_unseen(log: dict[str, Any]) -> None:
    """Each leaf in turn: compared against a second log, as ``replay`` compares with the one that it makes."""
    for path in leaves(log):
        forged = copy.deepcopy(log)
        place = forged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = altered(place[path[-1]])
        expected = not NOT_COMPARED & {key for key in path if isinstance(key, str)}
        assert bool(differences(log, forged)) == expected, path


@pytest.mark.parametrize(
    "path",
    [
        ("frames", 1, "metrics", "tiny"),
        ("frames", 1, "certificate", "upper"),
        ("inputs", 1, "pooled_metrics", "tiny_cert_hi", "mean"),
        ("inputs", 0, "certificate", "claim"),
        ("inputs", 0, "certificate", "sigma"),
        ("pooled_metrics", "tiny", "mean"),
        ("joint_alpha",),
    ],
)
def test_forged_logs_are_found(log: dict[str, Any], path: tuple[Any, ...], capsys: pytest.CaptureFixture[str]) -> None:
    place: Any = log
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = altered(place[path[-1]])
    assert replay(log) == 1
    assert str(path[-1]) in capsys.readouterr().out
