"""Which engine fits: every way a plan can be the wrong one is refused before TensorRT sees a byte of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.bundle.manifest import PlanKey, Profile
from runtime.bundle.plans import Target, find_plan, plan_name, read_plan
from runtime.bundle.store import Bundle, file_entry, write_bundle
from runtime.errors import BundleError, DeviceError, ParameterError
from tests.support.tiny import tiny_bundle

VERSION = "1.7.1.116"
TARGET = Target("tensorrt-rtx", VERSION, "sm89", "GPU A")
NAME = plan_name("sm89", "tensorrt-rtx", VERSION, "fp32")
PLAN = b"a plan, as far as anyone here can tell"
PROFILE = Profile(8, (32, 32), (540, 960), (1080, 1920))


def with_engines(path: Path, *changes: dict[str, Any]) -> Bundle:
    """The tiny bundle with an engine a set of changes; ``name`` and ``data`` change the file."""
    bundle = tiny_bundle(path)
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    engines = {}
    for change in changes:
        name = change.pop("name", NAME)
        contents[name] = change.pop("data", PLAN)
        engines[name] = replace(PlanKey(bundle.digest, "fp32", TARGET.flavour, VERSION, "sm89", PROFILE), **change)
    files = {name: file_entry(data) for name, data in contents.items()}
    return write_bundle(path, replace(bundle.manifest, files=files, engines=engines), contents)


def find(bundle: Bundle, target: Target = TARGET, precision: str = "fp32", **shape: int) -> str:
    return find_plan(bundle, target, precision, **{"height": 540, "width": 960, **shape})


def test_the_plan_that_fits(tmp_path: Path) -> None:
    bundle = with_engines(tmp_path / "b", {})
    assert find(bundle) == find(bundle, batch=8) == find(bundle, height=32, width=1920) == NAME
    assert read_plan(bundle, NAME, TARGET) == PLAN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_sha256": "0" * 64}, "stale, compiled from another model.onnx"),
        ({"precision": "fp16"}, "it is fp16"),
        ({"flavour": "tensorrt"}, "it is for tensorrt"),
        ({"version": "1.6.1.120"}, "for version 1.6.1.120"),
        ({"sm": "sm120"}, "for sm120"),
        ({"hardware": "same-gpu"}, "sm89 on None only"),
        ({"hardware": "same-gpu", "gpu": "GPU B"}, "sm89 on GPU B only"),
        ({"version": "2.0.0.1", "version_compatible": True}, "for version 2.0.0.1"),
        ({"version": "1.8.0.1", "version_compatible": True}, "for version 1.8.0.1"),
        ({"profile": Profile(8, (32, 32), (64, 64), (128, 128))}, "takes 32×32 to 128×128, others take --sizes"),
        ({"profile": Profile(4, (32, 32), (64, 64), (2000, 2000))}, "takes batches of 4, not 8"),
    ],
)
def test_every_other_plan_is_refused_with_its_reason(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    bundle = with_engines(tmp_path / "b", change)
    with pytest.raises(DeviceError) as refused:
        find(bundle, batch=8)
    assert said in str(refused.value)
    command = f"`biqa compile {bundle.path} --target tensorrt-rtx --sm 89 --precision fp32`"
    assert command in str(refused.value)


def test_wider_keys(tmp_path: Path) -> None:
    old = {"version": "1.5.0.114", "version_compatible": True}
    assert find(with_engines(tmp_path / "a", old)) == NAME
    assert find(with_engines(tmp_path / "b", {"hardware": "ampere+", "sm": "sm80"})) == NAME
    assert find(with_engines(tmp_path / "c", {"hardware": "same-gpu", "gpu": "GPU A"})) == NAME
    turing = replace(TARGET, sm="sm75")
    with pytest.raises(DeviceError, match="GPUs from sm80"):
        find(with_engines(tmp_path / "d", {"hardware": "ampere+", "sm": "sm80"}), turing)


def test_the_plan_tuned_nearest_is_taken(tmp_path: Path) -> None:
    small = {"name": "engines/small.plan", "profile": replace(PROFILE, optimum=(270, 480))}
    bundle = with_engines(tmp_path / "b", {}, small)
    assert find(bundle, height=270, width=500) == "engines/small.plan"
    assert find(bundle, height=1080, width=1920) == NAME


def test_no_engine_and_no_graph(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    with pytest.raises(DeviceError, match=r"it holds no engine.*biqa compile"):
        find(bundle)
    with pytest.raises(DeviceError, match="--target tensorrt --precision fp32"):
        find(bundle, Target("tensorrt", "11.4.0", "sm90"))
    with pytest.raises(BundleError, match=r"no model.fp16.onnx: build it again with --fp16 added"):
        find(bundle, precision="fp16")
    with pytest.raises(ParameterError, match="fp32 or fp16, not 'int4'"):
        find(bundle, precision="int4")


@pytest.mark.parametrize("data", [PLAN[:-1], PLAN + b"!", b"A" + PLAN[1:], b""])
def test_damaged_plans_are_not_opened(tmp_path: Path, data: bytes) -> None:
    bundle = with_engines(tmp_path / "b", {})
    (bundle.path / NAME).write_bytes(data)
    with pytest.raises(BundleError, match=r"size or SHA-256 differs.*compiled again with `biqa compile"):
        read_plan(bundle, NAME, TARGET)
    (bundle.path / NAME).unlink()
    with pytest.raises(BundleError, match="biqa compile"):
        read_plan(bundle, NAME, TARGET)


def test_a_file_without_a_key_is_no_engine(tmp_path: Path) -> None:
    bundle = with_engines(tmp_path / "b", {})
    bare = replace(bundle, manifest=replace(bundle.manifest, engines={}))
    with pytest.raises(DeviceError, match="holds no engine"):
        find(bare)
    with pytest.raises(BundleError, match="not opened"):
        read_plan(bare, NAME, TARGET)
