"""One class of error and the same words for a precision, on every device."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import BundleError, Certifier, ParameterError
from runtime.bundle import DEVICE_PRECISIONS, GRAPHS
from runtime.bundle.precisions import check_precision
from tests.support.tiny import tiny_bundle


def test_the_graph_of_a_precision(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    assert [check_precision(bundle, "fp32", device) for device in DEVICE_PRECISIONS] == [GRAPHS["fp32"]] * 2


@pytest.mark.parametrize(
    ("device", "precision", "words"),
    [
        ("cpu", "int4", "precision on device 'cpu' is fp32 or int8, not 'int4'$"),
        ("cuda", "int4", "precision on device 'cuda' is fp32 or fp16, not 'int4'$"),
        ("cpu", "fp16", "precision on device 'cpu' is fp32 or int8, not 'fp16'; fp16 is for device 'cuda'$"),
        ("cuda", "int8", "precision on device 'cuda' is fp32 or fp16, not 'int8'; int8 is for device 'cpu'$"),
    ],
)
def test_a_precision_that_does_not_run_there(tmp_path: Path, device: str, precision: str, words: str) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    with pytest.raises(ParameterError, match=words):
        Certifier(bundle.path, device=device, precision=precision)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "int8"), ("cuda", "fp16")])
def test_a_graph_that_the_bundle_lacks(tmp_path: Path, device: str, precision: str) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    with pytest.raises(BundleError) as refused:
        Certifier(bundle.path, device=device, precision=precision)
    assert str(refused.value) == (
        f"{bundle.path} has no model.{precision}.onnx: build it again with --{precision} added to its `biqa build …`, "
        "or take fp32"
    )


def test_an_unknown_device(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="device is one of cpu, cuda, not 'tpu'"):
        Certifier(tiny_bundle(tmp_path / "b").path, device="tpu")
