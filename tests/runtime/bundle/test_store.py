"""The bundle format: golden bytes, round trips, and files that try to do harm."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.bounds.aggregates import Aggregate
from runtime.bundle.manifest import (
    MANIFEST,
    Defaults,
    InputContract,
    Manifest,
    Parity,
    Part,
    PlanKey,
    Profile,
    ScoreContract,
)
from runtime.bundle.store import Bundle, file_entry, open_bundle, shipped_names, write_bundle
from runtime.errors import BundleError

MODEL = b"not really a network"

GOLDEN = """{
  "defaults": {
    "alpha": 0.001,
    "epsilon": 0.1,
    "samples": 501
  },
  "denoiser": null,
  "files": {
    "model.onnx": {
      "bytes": 20,
      "sha256": "SHA256"
    }
  },
  "input": {
    "batch": null,
    "bit_depth": 8,
    "downscale": 2,
    "height": null,
    "minimum_height": 32,
    "minimum_width": 32,
    "sigma": 0.12,
    "width": null
  },
  "made_with": {
    "torch": "2.13.0"
  },
  "metric": {
    "licence": "Apache-2.0",
    "name": "m",
    "spec": "m.py:make",
    "version": "1",
    "weights_sha256": null
  },
  "name": "biqa",
  "parity": {
    "model.onnx": {
      "interval_difference": 0.0002,
      "pictures": 3,
      "reference": "pytorch fp32",
      "score_difference": 0.0001
    }
  },
  "schema": 1,
  "score": {
    "higher_is_better": true,
    "maximum": 100.0,
    "minimum": 0.0
  }
}
""".replace("SHA256", hashlib.sha256(MODEL).hexdigest())

PLAN_NAME = "engines/sm89-tensorrt-rtx-1.7.1.116-fp32.plan"
PLAN = b"not really a plan"

GOLDEN_ENGINES = """  "engines": {
    "PLAN_NAME": {
      "cuda": null,
      "driver": null,
      "flavour": "tensorrt-rtx",
      "gpu": null,
      "hardware": "same-sm",
      "model_sha256": "SHA256",
      "precision": "fp32",
      "profile": {
        "batch": 8,
        "maximum": [
          1080,
          1920
        ],
        "minimum": [
          32,
          32
        ],
        "optimum": [
          540,
          960
        ]
      },
      "sm": "sm89",
      "version": "1.7.1.116",
      "version_compatible": false
    }
  },
""".replace("PLAN_NAME", PLAN_NAME).replace("SHA256", hashlib.sha256(MODEL).hexdigest())
"""What an engine adds to the golden manifest, besides its file."""


def manifest() -> Manifest:
    return Manifest(
        name="biqa",
        files={"model.onnx": file_entry(MODEL)},
        input=InputContract(0.12, 2, 8, 32, 32),
        score=ScoreContract(0.0, 100.0, True),
        metric=Part("m", "1", "Apache-2.0", "m.py:make"),
        denoiser=None,
        defaults=Defaults(0.1, 0.001, 501),
        parity={"model.onnx": Parity("pytorch fp32", 3, 0.0001, 0.0002)},
        made_with={"torch": "2.13.0"},
    )


def make(path: Path) -> Bundle:
    return write_bundle(path, manifest(), {"model.onnx": MODEL})


def test_golden_bytes() -> None:
    assert manifest().to_json() == GOLDEN
    assert Manifest.from_json(GOLDEN) == manifest()


def engines_manifest() -> Manifest:
    profile = Profile(8, (32, 32), (540, 960), (1080, 1920))
    engine = PlanKey(file_entry(MODEL).sha256, "fp32", "tensorrt-rtx", "1.7.1.116", "sm89", profile)
    files = {**manifest().files, PLAN_NAME: file_entry(PLAN)}
    return replace(manifest(), files=files, engines={PLAN_NAME: engine})


def test_golden_bytes_of_an_engine(tmp_path: Path) -> None:
    text = engines_manifest().to_json()
    assert GOLDEN_ENGINES in text
    without = json.loads(text.replace(GOLDEN_ENGINES, ""))
    del without["files"][PLAN_NAME]
    assert without == json.loads(GOLDEN)
    assert Manifest.from_json(text) == engines_manifest()
    for name in ("bundle", "bundle.zip"):
        bundle = write_bundle(tmp_path / name, engines_manifest(), {"model.onnx": MODEL, PLAN_NAME: PLAN})
        assert bundle.manifest == engines_manifest()
        assert bundle.read(PLAN_NAME) == PLAN
        assert bundle.digest == hashlib.sha256(MODEL).hexdigest()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("flavour",), None, "an engine's key"),
        (("model_sha256",), "", "an engine's key"),
        (("model_sha256",), "abc", "an engine's key"),
        (("precision",), "fp8", "an engine's key"),
        (("flavour",), "openvino", "an engine's key"),
        (("hardware",), "any", "an engine's key"),
        (("sm",), "8.9", "an engine's key"),
        (("gpu",), 1, "an engine's key"),
        (("version_compatible",), "no", "an engine's key"),
        (("speed",), 1, "unknown keys"),
        (("profile",), None, "profile is missing"),
        (("profile", "batch"), 0, "size or count"),
        (("profile", "minimum"), [32], r"not \[height, width\]"),
        (("profile", "maximum"), "32x32", r"not \[height, width\]"),
        (("profile", "optimum"), [1, 2.5], "size or count"),
    ],
)
def test_bad_engine(path: tuple[str, ...], value: object, message: str) -> None:
    tree = json.loads(engines_manifest().to_json())
    place = tree["engines"][PLAN_NAME]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(json.dumps(tree))


@pytest.mark.parametrize("name", ["engines/unnamed.plan", "model.onnx"])
def test_an_engine_is_a_named_file_in_its_folder(name: str) -> None:
    tree = json.loads(engines_manifest().to_json())
    tree["engines"] = {name: tree["engines"][PLAN_NAME]}
    with pytest.raises(BundleError, match="engines out of range"):
        Manifest.from_json(json.dumps(tree))


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    bundle = make(tmp_path / name)
    assert bundle.manifest == manifest()
    assert bundle.read("model.onnx") == MODEL
    assert bundle.digest == hashlib.sha256(MODEL).hexdigest()
    bundle.verify()
    make(tmp_path / name)  # an existing bundle is replaced
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_zip_bytes_do_not_depend_on_the_day(tmp_path: Path) -> None:
    make(tmp_path / "a.zip")
    make(tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize("data", [b"NOT really a network", b"short", MODEL + b"more"])
def test_altered_file(tmp_path: Path, data: bytes) -> None:
    bundle = make(tmp_path / "bundle")
    (tmp_path / "bundle" / "model.onnx").write_bytes(data)
    with pytest.raises(BundleError, match="altered"):
        bundle.read("model.onnx")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "", "C:\\x", "a//b", "./a"])
def test_names_stay_inside(name: str) -> None:
    tree = json.loads(GOLDEN)
    tree["files"][name] = tree["files"]["model.onnx"]
    with pytest.raises(BundleError, match="plain relative path"):
        Manifest.from_json(json.dumps(tree))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("schema",), 3, "schema 3"),
        (("schema",), 2, "levels or schema"),
        (("schema",), None, "schema None"),
        (("input", "sigma"), 0, "sigma"),
        (("input", "downscale"), 0, "size or count"),
        (("input", "downscale"), 2.5, "size or count"),
        (("input", "colour"), "red", "unknown keys"),
        (("extra",), 1, "unknown keys"),
        (("files",), [], "files is not an object"),
        (("files",), {}, "files"),
        (("name",), "two words", "name"),
        (("metric",), None, "metric is missing"),
        (("defaults",), {"epsilon": 1}, "defaults"),
        (("defaults", "alpha"), 2, "defaults"),
        (("defaults", "alpha"), "0.001", "defaults"),
        (("defaults", "epsilon"), True, "defaults"),
        (("defaults", "epsilon"), math.inf, "defaults"),
        (("defaults", "samples"), "501", "size or count"),
        (("schema",), True, "schema True"),
        (("input", "bit_depth"), "8", "bit_depth"),
        (("input", "bit_depth"), 17, "bit_depth"),
        (("input", "batch"), 1 << 40, "size or count"),
        (("input", "sigma"), math.nan, "sigma"),
        (("files", "model.onnx", "bytes"), -2, "bytes"),
        (("files", "model.onnx", "bytes"), True, "bytes"),
        (("files", "model.onnx", "bytes"), "9", "bytes"),
        (("files", "model.onnx", "bytes"), 10**400, "bytes"),
        (("files", "model.onnx", "sha256"), "0" * 63, "sha256"),
        (("files", "model.onnx", "sha256"), "g" * 64, "sha256"),
        (("files", "model.onnx", "sha256"), None, "sha256"),
        (("score", "minimum"), "0", "score"),
        (("score", "minimum"), 100, "score"),
        (("score", "maximum"), math.inf, "score"),
        (("score", "maximum"), 10**400, "score"),
        (("score", "higher_is_better"), 1, "score"),
        (("metric", "version"), 1, "metric"),
        (("metric", "weights_sha256"), "abc", "metric"),
        (("parity", "model.onnx", "pictures"), "3", "parity"),
        (("parity", "model.onnx", "score_difference"), -1, "parity"),
        (("parity", "model.onnx", "interval_difference"), math.nan, "parity"),
        (("made_with",), ["torch"], "made_with"),
        (("made_with", "torch"), 2, "made_with"),
    ],
)
def test_bad_manifest(path: tuple[str, ...], value: object, message: str) -> None:
    tree = json.loads(GOLDEN)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(BundleError, match=message):
        Manifest.from_json(json.dumps(tree))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 200_000])
def test_not_a_manifest(text: str) -> None:
    with pytest.raises(BundleError):
        Manifest.from_json(text)


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="biqa build"):
        open_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=MANIFEST):
        open_bundle(tmp_path)
    (tmp_path / "file.zip").write_bytes(b"PK but no zip")
    with pytest.raises(BundleError, match="cannot be read"):
        open_bundle(tmp_path / "file.zip")
    (tmp_path / MANIFEST).write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="UTF-8"):
        open_bundle(tmp_path)
    (tmp_path / MANIFEST).write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(BundleError, match="larger"):
        open_bundle(tmp_path)


def test_zip_bomb_is_not_inflated(tmp_path: Path) -> None:
    """A member that inflates past its stated size is refused after that many bytes."""
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, GOLDEN)
        archive.writestr("model.onnx", bytes(50_000_000))
    with pytest.raises(BundleError, match="exhaust memory"):
        open_bundle(path).read("model.onnx")


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    """Each byte of the compressed model and of the directory flipped in turn: BundleError or the same bytes."""
    whole = make(tmp_path / "whole.zip").path.read_bytes()
    path = tmp_path / "damaged.zip"
    refused = 0
    for place in range(whole.index(b"model.onnx"), len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            assert open_bundle(path).read("model.onnx") == MODEL
        except BundleError:
            refused += 1
    assert refused > 100
    path.write_bytes(whole[:-40])
    with pytest.raises(BundleError, match="cannot be read"):
        open_bundle(path)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("mine")
    for name in ("full", "file"):
        with pytest.raises(BundleError, match="not a bundle"):
            make(tmp_path / name)
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(BundleError, match="directory"):
        make(tmp_path / "folder.zip")
    assert (tmp_path / "full" / "letter.txt").read_text() == "dear"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.zip", "full"]


def test_contents_must_match(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not the files"):
        write_bundle(tmp_path / "bundle", manifest(), {"model.onnx": b"other"})
    assert not list(tmp_path.iterdir())


def tile_manifest() -> Manifest:
    sizes = {"minimum_height": 64, "minimum_width": 64, "height": 64, "width": 64, "tile": 64}
    score = ScoreContract(0.0, 100.0, True, "trimmed_mean", 0.25)
    return replace(manifest(), input=InputContract(0.12, 2, **sizes), score=score)


def test_keys_of_tiles_are_there_for_tiles_alone() -> None:
    text = tile_manifest().to_json()
    assert '"tile": 64' in text
    assert Manifest.from_json(text) == tile_manifest()
    assert tile_manifest().score.of_tiles == Aggregate("trimmed_mean", 0.25)
    assert manifest().score.of_tiles is None
    for key in ("tile", "aggregate", "trim"):
        assert f'"{key}"' not in manifest().to_json()
    mean = replace(tile_manifest(), score=ScoreContract(0.0, 100.0, True, "mean"))
    assert '"trim"' not in mean.to_json()
    assert Manifest.from_json(mean.to_json()) == mean


@pytest.mark.parametrize(
    ("table", "changed"),
    [
        ("input", {"tile": 32}),
        ("input", {"tile": 0}),
        ("input", {"tile": None}),
        ("input", {"height": None}),
        ("score", {"aggregate": "mode"}),
        ("score", {"aggregate": None, "trim": None}),
        ("score", {"aggregate": "median"}),
        ("score", {"trim": None}),
        ("score", {"trim": 0.5}),
        ("score", {"trim": "0.2"}),
    ],
)
def test_keys_of_tiles_that_do_not_fit_are_refused(table: str, changed: dict[str, object]) -> None:
    tree = json.loads(tile_manifest().to_json())
    tree[table].update(changed)
    with pytest.raises(BundleError, match=r"input\.tile or score\.aggregate|a size or count"):
        Manifest.from_json(json.dumps(tree))


def test_a_bundle_that_ships_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "default" in shipped_names()
    assert open_bundle("default") == open_bundle()
    (tmp_path / "default").mkdir()  # a folder of that name that is no bundle
    assert open_bundle(Path("default")) == open_bundle()
    with pytest.raises(BundleError, match=r"no bundle at other: build one .*, or name one of default"):
        open_bundle("other")
    for name in ("../models/default", "nowhere/default", "./sub/default"):
        with pytest.raises(BundleError, match="no bundle at"):
            open_bundle(name)


def test_a_bundle_of_ones_own_comes_before_one_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ours = make(Path("default"))
    assert open_bundle("default") == ours != open_bundle()
