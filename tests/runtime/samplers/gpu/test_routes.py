"""device="cuda": which route is taken, what is said where none is open, and how each engine is driven."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime import BundleError, Certifier, DependencyError, DeviceError, ParameterError
from runtime.__main__ import main
from runtime.bundle.plans import Target, plan_name
from runtime.bundle.store import write_bundle
from runtime.samplers.gpu import onnx_cuda, routes
from runtime.samplers.gpu.nvidia import Gpu
from tests.support.gpu_bundle import PLAN, VERSION, gpu_bundle

GPU = Gpu("GPU A", "sm89", "580.65", "13.1")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A machine with the parts that are named, and no others."""

    def make(*parts: str) -> None:
        def gpus() -> list[Gpu]:
            if "gpu" not in parts:
                raise DeviceError("no NVIDIA driver is here")
            return [GPU]

        def flavour(name: str) -> Any:
            if name not in parts:
                raise DependencyError(f"{name} cannot be used, it is not installed")
            return SimpleNamespace(__version__=VERSION)

        def onnxruntime() -> Any:
            if "onnxruntime-gpu" not in parts:
                raise DependencyError("onnxruntime-gpu is not installed")

        monkeypatch.setattr(routes, "find_gpus", gpus)
        monkeypatch.setattr(routes, "load_flavour", flavour)
        monkeypatch.setattr(routes, "load_onnxruntime", onnxruntime)
        monkeypatch.setattr(routes, "find_spec", lambda name: ModuleSpec(name, None) if name in parts else None)

    return make


ALL = ("gpu", "pycuda", "tensorrt", "tensorrt-rtx", "onnxruntime-gpu")


def test_a_plan_that_fits_comes_first(machine: Callable[..., None], tmp_path: Path) -> None:
    machine(*ALL)
    route = routes.find_route(gpu_bundle(tmp_path / "b", "fp32"))
    assert (route.provider, route.plan, route.missing) == ("tensorrt-rtx", PLAN, ())
    assert route.target == Target("tensorrt-rtx", VERSION, "sm89", "GPU A")


def test_without_a_plan_onnx_runtime(machine: Callable[..., None], tmp_path: Path) -> None:
    machine(*ALL)
    for bundle in (gpu_bundle(tmp_path / "a"), gpu_bundle(tmp_path / "b", "fp32", sm="sm120")):
        route = routes.find_route(bundle)
        assert (route.provider, route.plan, route.missing) == ("CUDAExecutionProvider", None, ())
    machine("gpu", "pycuda", "onnxruntime-gpu")
    assert routes.find_route(gpu_bundle(tmp_path / "c", "fp32")).provider == "CUDAExecutionProvider"


def test_the_precision_is_the_bundles_not_the_machines(machine: Callable[..., None], tmp_path: Path) -> None:
    """A plan in fp32 is no reason to certify fp32 where the bundle has fp16."""
    machine(*ALL)
    bundle = gpu_bundle(tmp_path / "b", "fp32", fp16=True)
    assert (routes.find_route(bundle).precision, routes.find_route(bundle).provider) == ("fp16", onnx_cuda.PROVIDER)
    assert routes.find_route(bundle, "fp32").plan == PLAN
    both = gpu_bundle(tmp_path / "c", "fp32", "fp16", fp16=True)
    assert routes.find_route(both).plan == plan_name("sm89", "tensorrt-rtx", VERSION, "fp16")
    with pytest.raises(BundleError, match=r"no model.fp16.onnx: build it again with --fp16 added to its `biqa build"):
        routes.find_route(gpu_bundle(tmp_path / "d"), "fp16")
    for other, there in (("int4", "$"), ("int8", "; int8 is for device 'cpu'$")):
        with pytest.raises(ParameterError, match=f"precision on device 'cuda' is fp32 or fp16, not '{other}'{there}"):
            routes.find_route(bundle, other)


def test_every_missing_piece_is_named(machine: Callable[..., None], tmp_path: Path) -> None:
    machine()
    with pytest.raises(DeviceError) as refused:
        Certifier(gpu_bundle(tmp_path / "b", kernels=False).path, device="cuda")
    said = str(refused.value).replace(str(tmp_path / "b"), "BUNDLE")
    for piece in (
        "nothing is run elsewhere", "no NVIDIA driver", "PyCUDA is not installed: pip install",
        "`biqa compile BUNDLE --target cuda`", "tensorrt cannot be used", "tensorrt-rtx cannot be used",
        "onnxruntime-gpu is not installed", "BUNDLE has no lattice kernel",
    ):  # fmt: skip
        assert piece in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("parts", "kernels", "said"),
    [
        (("pycuda", "onnxruntime-gpu"), True, "Missing: (1) no NVIDIA driver is here"),
        (("gpu", "onnxruntime-gpu"), True, "Missing: (1) PyCUDA is not installed"),
        (("gpu", "pycuda", "onnxruntime-gpu"), False, "has no lattice kernel for sm89: add the GPU kernels with"),
        (("gpu", "pycuda"), True, "Missing: (1) no engine can be used"),
        (("gpu", "pycuda", "tensorrt-rtx"), True, "--target tensorrt-rtx --sm 89 --precision fp32"),
        (("pycuda", "tensorrt-rtx"), True, "tensorrt-rtx 1.7.1.116 is installed, and takes an engine"),
    ],
)
def test_one_missing_piece(
    machine: Callable[..., None], tmp_path: Path, parts: tuple[str, ...], kernels: bool, said: str
) -> None:
    machine(*parts)
    bundle = gpu_bundle(tmp_path / "b", kernels=kernels)
    with pytest.raises(DeviceError) as refused:
        Certifier(bundle.path, device="cuda")
    assert said in str(refused.value)
    assert said.removeprefix("Missing: (1) ") in " ".join(routes.find_route(bundle).missing)


def test_kernels_of_a_newer_cuda(machine: Callable[..., None], tmp_path: Path) -> None:
    machine("gpu", "pycuda", "onnxruntime-gpu")
    bundle = gpu_bundle(tmp_path / "b")
    for compiler, said in (
        ("13.9", ()),
        ("14.0", ("the bundle's kernels were compiled for CUDA 14.0, this driver runs CUDA up to 13.1",)),
    ):
        manifest = replace(bundle.manifest, made_with={"nvrtc": compiler})
        newer = write_bundle(bundle.path, manifest, {name: bundle.read(name) for name in manifest.files})
        missing = routes.find_route(newer).missing
        assert len(missing) == len(said)
        assert all(piece.startswith(start) for piece, start in zip(missing, said, strict=True))


def test_the_command_line_says_it_in_one_line(
    machine: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine("pycuda")
    assert main(["certify", "picture.png", "--device", "cuda", "--json", str(tmp_path / "log.json")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(
        "error: device 'cuda' cannot be used, and nothing is run elsewhere instead. Missing: (1) no "
    )
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_each_device_does_not_have(machine: Callable[..., None], tmp_path: Path) -> None:
    machine(*ALL)
    path = gpu_bundle(tmp_path / "b", fp16=True).path
    with pytest.raises(ParameterError, match="threads are those of device 'cpu'"):
        Certifier(path, device="cuda", threads=2)
    with pytest.raises(ParameterError, match="precision on device 'cpu' is fp32 or int8, not 'fp16'"):
        Certifier(path, precision="fp16")
    Certifier(path, precision="fp32").close()
    with pytest.raises(ParameterError, match="precision"):
        Certifier(sampler=lambda images: images.mean((1, 2, 3)), sigma=0.1, precision="fp16")


def test_the_route_found_is_the_one_opened(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(*ALL)
    opened: list[tuple[Any, ...]] = []
    monkeypatch.setattr(routes, "open_tensorrt", lambda *given: opened.append(given))
    monkeypatch.setattr(routes, "open_onnx_cuda", lambda *given: opened.append(given))
    with_plan, without = gpu_bundle(tmp_path / "a", "fp32"), gpu_bundle(tmp_path / "b")
    routes.open_route(with_plan)
    routes.open_route(without)
    assert opened == [
        (with_plan, "fp32", PLAN, Target("tensorrt-rtx", VERSION, "sm89", "GPU A")),
        (without, "fp32", {"gpu": "GPU A", "sm": "sm89"}),
    ]


def test_doctor_names_the_route(
    machine: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = gpu_bundle(tmp_path / "b", "fp32")
    machine(*ALL)
    assert main(["doctor", "--all", "--model", str(bundle.path)]) == 0
    said = capsys.readouterr().out
    assert "device cuda    ready: tensorrt-rtx" in said
    assert f"engines        {PLAN}" in said
    machine("gpu", "onnxruntime-gpu")
    assert main(["doctor", "--all", "--model", str(bundle.path)]) == 0
    assert "device cuda    not ready: PyCUDA is not installed" in capsys.readouterr().out
    assert main(["doctor", "--model", str(bundle.path)]) == 0
    assert "not ready: PyCUDA is not installed; biqa doctor --all lists what it takes\n" in capsys.readouterr().out
