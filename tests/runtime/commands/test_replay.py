"""``replay``: every value of a log is made again, so none can be altered unseen."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runtime.__main__ import main
from runtime.results.differences import differences
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tile_bundle, tiny_bundle


def test_a_precision_is_replayed_in_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model", int8=True)
    Image.fromarray(photograph()[:40, :60]).save("picture.png")
    options = ["--model", "model", "--public-seed", "7", "--samples", "40"]
    assert main(["certify", "picture.png", *options, "--precision", "int8", "--json", "log.json"]) == 0
    assert main(["replay", "log.json", "picture.png", "--model", "model"]) == 0
    assert main(["replay", "log.json", "picture.png", "--model", "model", "--precision", "fp32"]) == 2
    assert "give the right one with --model and --precision" in capsys.readouterr().err


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
    free = {
        *(("version",), ("fps",), ("inputs", 0, "path"), ("inputs", 1, "path")),
        *(
            ("inputs", i, "certificate", "engine", key)
            for i in (0, 1)
            for key in log["inputs"][i]["certificate"]["engine"]
        ),
        *(("inputs", 1, "certificate", "conversion", "assumed", i) for i in (0, 1)),
        *(("inputs", i, "certificate", "reading", "decoder") for i in (0, 1)),
    }
    assert free <= set(leaves(log))
    for path in leaves(log):
        forged = copy.deepcopy(log)
        place = forged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = altered(place[path[-1]])
        assert differences(log, forged) == ([] if path in free else [path]), path


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


def test_older_records(log: dict[str, Any]) -> None:
    """Without ``reading``, or a key of it, and with frames counted as they were certified."""
    for entry in log["inputs"]:
        del entry["certificate"]["reading"]["orientation"]
    assert replay(log) == 0
    for entry in log["inputs"]:
        del entry["certificate"]["reading"]
    assert replay(log) == 0


def test_an_older_record_of_a_turned_picture_is_explained(
    log: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    turned = Image.Exif()
    turned[274] = 3
    Image.open("picture.png").save("picture.png", exif=turned)
    del log["inputs"][0]["certificate"]["reading"]
    assert replay(log) == 2
    assert "made before files were turned and converted, and now it is turned by 180°" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["engine", "path", "version", "fps", "assumed"])
def test_a_model_may_have_any_name(name: str) -> None:
    """What is not compared is a place in the log and no word: metrics bear the name of the model."""
    made = {"version": "1", "frames": [{"metrics": {name: 1.0}}], "pooled_metrics": {name: {"mean": 1.0}}}
    forged = copy.deepcopy(made)
    forged["frames"][0]["metrics"][name] = 2.0  # type: ignore[index]
    forged["pooled_metrics"][name]["mean"] = 2.0  # type: ignore[index,call-overload]
    assert differences(made, forged) == [("frames", 0, "metrics", name), ("pooled_metrics", name, "mean")]
    assert differences({"version": 1}, {"version": 2}, ("frames", 0)) == [("frames", 0, "version")]


def test_help_says_what_is_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["replay", "--help"])
    out = capsys.readouterr().out
    for word in ("version and fps", "path", "certificate.engine", "certificate.conversion.assumed"):
        assert word in out


RULE = ("inputs", 0, "certificate", "stopping", "rule")
SHARED = (
    "noise",
    "epsilon",
    "samples",
    "scope",
    "conversion",
    "public_seed",
    "secret_sha256",
    "model_sha256",
    "engine",
)
EVERY = [
    *(("inputs",), ("frames",), ("frames", 0, "certificate"), ("inputs", 0, "certificate")),
    *(("inputs", 0, key) for key in ("path", "subsample", "joint_alpha")),
    *(("inputs", 0, "certificate", key) for key in SHARED),
    *(("frames", 0, key) for key in ("frame", "input")),
    *(("frames", 0, "certificate", key) for key in ("frame_sha256", "scores_sha256")),
]
RULES = {
    "gate": [RULE[:-1], RULE, *((*RULE, key) for key in ("kind", "at_least", "pool"))],
    "compare": [RULE[:-1], RULE, *((*RULE, key) for key in ("kind", "pool")), ("decision",), ("decision", "alpha")],
    "certify": [RULE, *((*RULE, key) for key in ("kind", "tolerance"))],
}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """A log of each command."""
    folder = tmp_path_factory.mktemp("records")
    tiny_bundle(folder / "model")
    Image.fromarray(photograph()[:40, :60]).save(folder / "picture.png")
    picture, made = str(folder / "picture.png"), {}
    for command, arguments in (
        ("gate", [picture, "--at-least", "1"]),
        ("compare", [picture, picture]),
        ("certify", [picture, "--tolerance", "50"]),
    ):
        noise = ["--model", str(folder / "model"), "--public-seed", "7"]
        assert main([command, *arguments, *noise, "--quiet", "--json", str(folder / "log.json")]) in (0, 3)
        made[command] = json.loads((folder / "log.json").read_text())
    return made


def refused(record: Any, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    (folder / "log.json").write_text(json.dumps(record))
    capsys.readouterr()
    assert main(["replay", str(folder / "log.json"), "picture.png"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "is not a log of `biqa certify, gate or compare --json`: " in err
    return err


@pytest.mark.parametrize(
    ("command", "path"), [(command, path) for command, rules in RULES.items() for path in (*EVERY, *rules)]
)
def test_what_a_record_lacks_is_told(
    command: str,
    path: tuple[Any, ...],
    records: dict[str, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for wrong in (None, [1.5], True):
        record = copy.deepcopy(records[command])
        place: Any = record
        for key in path[:-1]:
            place = place[key]
        if wrong is None:
            del place[path[-1]]
        else:
            place[path[-1]] = wrong
        assert str(path[-1]) in refused(record, tmp_path, capsys) or path == ("decision",)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("inputs", 0, "subsample"), 0),
        (("frames", 0, "input"), 1),
        (("frames", 0, "input"), -1),
        (("inputs", 0, "certificate", "scope"), "all"),
        (("inputs", 0, "certificate", "noise"), "secret"),
        (("inputs", 0, "joint_alpha"), 10**400),
        (("inputs", 0, "certificate", "epsilon"), float("nan")),
        (("inputs",), []),
    ],
)
def test_what_no_log_holds_is_told(
    path: tuple[Any, ...],
    value: Any,
    records: dict[str, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = copy.deepcopy(records["certify"])
    place: Any = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    refused(record, tmp_path, capsys)


def test_tiles_are_certified_and_replayed_in_the_same_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tile_bundle(tmp_path / "tiles", tile=8)
    frame = photograph()[:60, :76]
    Image.fromarray(frame).save("picture.png")
    Image.fromarray(frame // 2).save("darker.png")
    write_clip(tmp_path / "clip.mp4", frames=2)
    options = ["--model", "tiles", "--public-seed", "7", "--samples", "120"]
    words = ["--levels", "0.5", "--patch", "5x7"]
    assert main(["certify", "picture.png", "clip.mp4", *options, *words, "--json", "log.json"]) == 0
    assert "(0.5 grey levels, 5×7 patch, α=0.001, n=120, smoothed)" in capsys.readouterr().out
    log = json.loads(Path("log.json").read_text())
    assert log["inputs"][0]["certificate"]["tampering"] == {"levels": 0.5, "patch": [5, 7]}
    assert "bounded together" in log["inputs"][1]["pooled_bounds"]["mean"]["why"]
    replayed = ["replay", "log.json", "picture.png", "clip.mp4", "--model", "tiles"]
    assert main(replayed) == 0
    together = ["clip.mp4", *options, "--levels", "0.5"]
    assert main(["certify", *together, "--bound", "collective", "--json", "clip.json"]) == 0
    bounds = json.loads(Path("clip.json").read_text())["inputs"][0]["pooled_bounds"]
    assert [bounds[pool]["bound"] for pool in ("mean", "harmonic_mean")] == ["collective", "frame-by-frame"]
    assert main(["replay", "clip.json", "clip.mp4", "--model", "tiles"]) == 0
    for place in ("map", "tile_bound"):
        changed = copy.deepcopy(log)
        changed["frames"][0]["certificate"][place]["alpha"] *= 2
        Path("log.json").write_text(json.dumps(changed))
        assert main(replayed) == 1
    for tampering in ({}, {"levels": 1, "epsilon": 1}, {"patch": [5]}, {"levels": "1"}):
        changed = copy.deepcopy(log)
        changed["inputs"][0]["certificate"]["tampering"] = tampering
        Path("log.json").write_text(json.dumps(changed))
        assert main(replayed) == 2
    capsys.readouterr()
    for asked in (["--levels", "0.5"], ["--epsilon", "0.05"], ["--patch", "4x4"]):
        assert main(["gate", "picture.png", "--at-least", "1", *options, *asked, "--json", "gate.json"]) in (0, 3)
        assert main(["replay", "gate.json", "picture.png", "--model", "tiles"]) == 0
        compared = main(["compare", "picture.png", "darker.png", *options, *asked, "--json", "both.json"])
        assert compared in (0, 3)
        assert main(["replay", "both.json", "picture.png", "darker.png", "--model", "tiles"]) == 0
    assert main(["certify", "picture.png", *options, "--tolerance", "30", "--json", "stopped.json"]) == 0
    assert main(["replay", "stopped.json", "picture.png", "--model", "tiles"]) == 0


def test_words_of_tiles_take_a_model_of_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    Image.fromarray(photograph()[:40, :60]).save("picture.png")
    assert main(["certify", "picture.png", "--model", "model", "--levels", "1"]) == 2
    assert "biqa build --tile" in capsys.readouterr().err
    for wrong in ("64", "0x4", "4x-1", "axb"):
        with pytest.raises(SystemExit):
            main(["certify", "picture.png", "--model", "model", "--patch", wrong])
        assert "64x64" in capsys.readouterr().err
