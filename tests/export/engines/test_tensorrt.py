"""tensorrt.py, compile.py: engines in the bundle. Real builds where TensorRT-RTX is installed, which takes no GPU."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from onnx import TensorProto, helper

from export.__main__ import _parser, main
from export.engines.compile import Request, compile_bundle, finishing_command
from export.engines.options import requests_of
from export.engines.tensorrt import BATCH, MAXIMUM, OPTIMUM, Options, compile_plan, configure, make_profile
from export.precision.fp16 import to_fp16
from runtime.bundle.manifest import GRAPHS, MODEL, InputContract, Profile
from runtime.bundle.plans import Target, find_plan, plan_name, read_plan
from runtime.bundle.store import Bundle, file_entry, open_bundle, write_bundle
from runtime.errors import DependencyError, DeviceError, ExportError
from runtime.samplers.gpu.nvidia import Gpu
from runtime.samplers.gpu.tensorrt_modules import load_flavour
from tests.support.tiny import SINGLE_BUNDLE

Built = tuple[Bundle, list[str]]
GPU = Gpu("GPU A", "sm90", "580.65", "13.1")
compiling = import_module("export.engines.compile")


@pytest.fixture(scope="module")
def rtx() -> Any:
    try:
        return load_flavour("tensorrt-rtx")
    except DependencyError as error:
        pytest.skip(f"{error} (or `make test-tensorrt`)")


@pytest.fixture
def copy(outsider: Built, tmp_path: Path) -> Bundle:
    shutil.copytree(outsider[0].path, tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


@pytest.fixture(scope="module")
def two_precisions(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The default model with its fp16 variant, as ``build --fp16`` makes it past its gate."""
    shipped = open_bundle(SINGLE_BUNDLE)
    contents = {MODEL: shipped.read(MODEL), GRAPHS["fp16"]: to_fp16(shipped.read(MODEL))}
    manifest = replace(shipped.manifest, files={name: file_entry(data) for name, data in contents.items()})
    return write_bundle(tmp_path_factory.mktemp("default") / "bundle", manifest, contents)


def no_gpu() -> list[Gpu]:
    raise DeviceError("no NVIDIA driver is here")


def test_profiles() -> None:
    assert make_profile(InputContract(0.12, 2, 8, 32, 40)) == Profile(BATCH, (32, 40), OPTIMUM, MAXIMUM)
    sizes = ((64, 64), (100, 200), (300, 400))
    assert make_profile(InputContract(0.12, 2), 3, sizes) == Profile(3, *sizes)
    one_size = InputContract(0.12, 2, 8, 24, 32, height=24, width=32, batch=2)
    assert make_profile(one_size) == Profile(2, (24, 32), (24, 32), (24, 32))
    for contract, batch, wrong, said in (
        (one_size, 3, None, "an engine batch of 3: the graph takes 2"),
        (one_size, None, sizes, "takes 24 only"),
        (InputContract(0.12, 2, 8, 65, 1), None, sizes, "heights 64, 100, 300 .* takes 65 or more"),
        (InputContract(0.12, 2), None, (sizes[2], sizes[1], sizes[0]), "in rising order"),
        (InputContract(0.12, 2), -1, None, "engine batch of -1"),
    ):
        with pytest.raises(ExportError, match=said):
            make_profile(contract, batch, wrong)


def test_the_finishing_command_asks_for_the_same() -> None:
    words = "compile b --target tensorrt --precision fp16 --engine-batch 4 --sizes 32x32 540x960 1080x1920"
    words += " --hardware ampere+ --version-compatible --timing-cache t.cache"
    (request,) = requests_of(_parser().parse_args(words.split()))
    assert finishing_command(Path("b"), request) == f"biqa {words}"
    words = "compile b --target tensorrt-rtx --sm 89 --sm 120"
    (request,) = requests_of(_parser().parse_args(words.replace("120", "12.0").split()))
    assert request == Request("tensorrt-rtx", sms=["sm89", "sm120"])
    assert finishing_command(Path("b"), request) == f"biqa {words}"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "tensorrt", "--sm", "89"], "--sm is for --target tensorrt-rtx"),
        (["--target", "tensorrt-rtx", "--hardware", "ampere+"], "--hardware is for --target tensorrt"),
        (["--target", "tensorrt-rtx", "--timing-cache", "x"], "--timing-cache is for --target tensorrt"),
        (["--target", "tensorrt-rtx", "--precision", "fp16"], "has no model.fp16.onnx"),
        (["--target", "tensorrt-rtx", "--sizes", "1x1", "2x2", "3x3"], "takes 9 or more"),
    ],
)
def test_bad_options(copy: Bundle, options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copy.path / "manifest.json").read_bytes()
    assert main(["compile", str(copy.path), *options]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert (copy.path / "manifest.json").read_bytes() == before


def test_options_of_another_flavour() -> None:
    for request in (Request("tensorrt", sms=["sm89"]), Request("tensorrt-rtx", hardware="same-sm")):
        with pytest.raises(ExportError, match=r"(is|are) for --target"):
            request.check()


def test_build_without_a_compiler_finishes_the_bundle_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(flavour: str) -> Any:
        raise DependencyError(f"{flavour} cannot be used, it is not installed")

    monkeypatch.setattr(compiling, "load_flavour", missing)
    out = tmp_path / "b"
    faulty = Path(__file__).parents[2] / "support" / "faulty.py"
    command = ["build", "--metric", f"{faulty}:Mean", "--denoiser", "none"]
    command += ["--batch", "1", "--size", "16x16", "--out", str(out), "--target", "tensorrt", "--target", "onnx"]
    assert main(command) == 0
    out_text, err = capsys.readouterr()
    assert out_text.strip() == str(out)
    assert "not ready for tensorrt yet: tensorrt cannot be used" in err
    assert err.rstrip().endswith(f"biqa compile {out} --target tensorrt")
    assert open_bundle(out).manifest.engines == {}
    assert main(["compile", str(out), "--target", "tensorrt"]) == 2
    assert "error: tensorrt cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "fp16", "--target", "tensorrt"], "--precision fp16 takes --fp16"),
        (["--keep-fp32", "Conv_1"], "--keep-fp32 is for --fp16"),
        (["--precision", "fp32"], "--precision is for --target tensorrt or tensorrt-rtx"),
        (["--sm", "89", "--target", "onnx"], "--sm is for --target tensorrt-rtx"),
    ],
)
def test_build_refuses_options_without_a_use(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", *options, "--out", str(tmp_path / "b")]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_rtx_engines_of_the_default_model(
    rtx: Any, two_precisions: Bundle, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "find_gpus", no_gpu)
    lines: list[str] = []
    request = Request("tensorrt-rtx", [precision], ["sm89", "sm120"])
    bundle = compile_bundle(two_precisions, request, out=tmp_path / "b", report=lines.append)
    bundle.verify()
    assert bundle.digest == two_precisions.digest
    names = [plan_name(sm, "tensorrt-rtx", rtx.__version__, precision) for sm in ("sm89", "sm120")]
    assert sorted(bundle.manifest.engines) == sorted(names)
    graph = len(bundle.read(GRAPHS[precision]))
    for name, sm in zip(names, ("sm89", "sm120"), strict=True):
        target = Target("tensorrt-rtx", rtx.__version__, sm)
        assert find_plan(bundle, target, precision, height=540, width=960, batch=BATCH) == name
        plan = read_plan(bundle, name, target)
        assert graph < len(plan) < 4 * graph
        engine = bundle.manifest.engines[name]
        assert engine.profile == Profile(BATCH, (32, 32), OPTIMUM, MAXIMUM)
        assert (engine.hardware, engine.gpu, engine.cuda) == ("same-sm", None, None)
        assert any(line.startswith(f"{name}: ") for line in lines)


def test_rtx_keeps_what_fits_and_drops_what_is_stale(rtx: Any, copy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "find_gpus", no_gpu)
    first = compile_bundle(copy, Request("tensorrt-rtx", sms=["sm89"]), quiet=True)
    (name,) = first.manifest.engines
    second = compile_bundle(first, Request("tensorrt-rtx", sms=["sm120"], batch=2), quiet=True)
    assert len(second.manifest.engines) == 2
    assert second.read(name) == first.read(name)
    stale = replace(second.manifest.engines[name], model_sha256="0" * 64)
    manifest = replace(second.manifest, engines={**second.manifest.engines, name: stale})
    damaged = write_bundle(copy.path, manifest, {n: second.read(n) for n in manifest.files})
    third = compile_bundle(damaged, Request("tensorrt-rtx", sms=["sm120"], batch=3), quiet=True)
    assert [(e.sm, e.profile.batch) for e in third.manifest.engines.values()] == [("sm120", 3)]
    assert name not in third.manifest.files
    assert not (copy.path / name).exists()


def test_rtx_refusals_write_nothing(
    rtx: Any, two_precisions: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiling, "find_gpus", no_gpu)
    for sm, said in (("sm90", "not for sm90: for others use full"), ("sm75", "cannot build the engine for sm75: .+")):
        with pytest.raises(ExportError, match=said):
            compile_bundle(two_precisions, Request("tensorrt-rtx", sms=[sm]), out=tmp_path / "b", quiet=True)
    with pytest.raises(ExportError, match=r"does not take the graph: .+"):
        compile_plan(rtx, b"no graph", Options(Profile(1, (1, 1), (1, 1), (1, 1)), "sm89"))
    assert list(tmp_path.iterdir()) == []


def test_rtx_refuses_other_ends(rtx: Any) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "score")]
    graph = helper.make_graph([helper.make_node("Relu", ["image"], ["score"])], "g", values[:1], values[1:])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
    with pytest.raises(ExportError, match=r"inputs and outputs \['image', 'score'\], not fp32 lattice, unit, score"):
        compile_plan(rtx, data, Options(Profile(1, (8, 8), (8, 8), (8, 8)), "sm89", quiet=True))


def test_configuration(rtx: Any, two_precisions: Bundle) -> None:
    """Both flavours have one API, so the options of full TensorRT are read back from an RTX configuration."""
    logger = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(logger)
    network = builder.create_network(1 << int(rtx.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = rtx.OnnxParser(network, logger)
    assert parser.parse(two_precisions.read(GRAPHS["fp16"]))
    profile = Profile(4, (32, 40), (64, 80), (96, 160))
    config = configure(rtx, builder, network, Options(profile, "sm89"))
    assert config.num_optimization_profiles == 1
    assert not config.get_flag(rtx.BuilderFlag.TF32)
    assert config.get_compute_capability(0) == rtx.ComputeCapability.SM89
    assert not config.get_flag(rtx.BuilderFlag.VERSION_COMPATIBLE)
    full = configure(rtx, builder, network, Options(profile, version_compatible=True))
    assert full.get_flag(rtx.BuilderFlag.VERSION_COMPATIBLE)
    with pytest.raises(ExportError, match=r"does not compile engines for ampere\+"):
        configure(rtx, builder, network, Options(profile, hardware="ampere+"))
    types = {network.get_layer(i).get_output(0).dtype for i in range(network.num_layers)}
    assert {rtx.float16, rtx.float32} <= types


def test_ctrl_c_ends_a_build_at_its_next_step(rtx: Any, copy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    import tqdm

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tqdm.tqdm, "set_description", interrupted)
    monkeypatch.setattr(compiling, "find_gpus", no_gpu)
    assert main(["compile", str(copy.path), "--target", "tensorrt-rtx", "--sm", "89"]) == 130
    assert open_bundle(copy.path).manifest.engines == {}


class _Config(SimpleNamespace):
    """What compile_plan asks of a full TensorRT's configuration, noted down."""

    def clear_flag(self, flag: str) -> None:
        self.cleared = flag

    def set_flag(self, flag: str) -> None:
        self.flag = flag

    def create_timing_cache(self, data: bytes) -> Any:
        return None if data == b"another GPU's" else SimpleNamespace(serialize=lambda: data + b"timed;")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return not ignore_mismatch

    def get_timing_cache(self) -> Any:
        return self.cache

    def add_optimization_profile(self, profile: Any) -> None:
        self.profile = profile


def full_tensorrt(config: _Config) -> Any:
    """A stand-in for full TensorRT, which runs on a GPU only."""
    tensors = [SimpleNamespace(name=n, dtype="fp32", shape=(-1, 3, -1, -1)) for n in ("lattice", "unit", "score")]
    network = SimpleNamespace(
        num_inputs=2, num_outputs=1, get_input=lambda i: tensors[i], get_output=lambda i: tensors[2 + i]
    )
    profile = SimpleNamespace(set_shape=lambda *shapes: setattr(config, "shapes", shapes))
    builder = SimpleNamespace(
        create_network=lambda flags: network,
        create_builder_config=lambda: config,
        create_optimization_profile=lambda: profile,
        build_serialized_network=lambda network, config: b"plan",
    )
    return SimpleNamespace(
        __version__="11.4.0.106",
        float32="fp32",
        ILogger=type("ILogger", (), {"ERROR": 1}),
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        BuilderFlag=SimpleNamespace(TF32="tf32", VERSION_COMPATIBLE="version compatible"),
        HardwareCompatibilityLevel=SimpleNamespace(NONE=0, SAME_COMPUTE_CAPABILITY=1, AMPERE_PLUS=2),
        Builder=lambda logger: builder,
        OnnxParser=lambda network, logger: SimpleNamespace(parse=lambda data: True),
    )


def test_full_tensorrt_compiles_for_the_gpu_that_is_here(
    copy: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = _Config()
    monkeypatch.setattr(compiling, "load_flavour", lambda flavour: full_tensorrt(config))
    monkeypatch.setattr(compiling, "find_gpus", lambda: [GPU])
    cache = tmp_path / "timing.cache"
    for times in (1, 2):
        bundle = compile_bundle(copy, Request("tensorrt", batch=2, timing_cache=cache), quiet=True)
        assert cache.read_bytes() == b"timed;" * times
    (name,) = bundle.manifest.engines
    assert name == "engines/sm90-tensorrt-11.4.0.106-fp32.plan"
    assert bundle.read(name) == b"plan"
    engine = bundle.manifest.engines[name]
    assert (engine.hardware, engine.gpu, engine.driver, engine.cuda) == ("same-gpu", "GPU A", "580.65", "13.1")
    assert (config.cleared, config.hardware_compatibility_level) == ("tf32", 0)
    assert config.shapes == ("lattice", (2, 3, 9, 9), (2, 3, *OPTIMUM), (2, 3, *MAXIMUM))
    wide = compile_bundle(copy, Request("tensorrt", hardware="ampere+", version_compatible=True), quiet=True)
    assert (config.flag, config.hardware_compatibility_level) == ("version compatible", 2)
    assert wide.manifest.engines[name].version_compatible
    target = Target("tensorrt", "11.5.0.1", "sm120")
    assert find_plan(wide, target, "fp32", height=540, width=960) == name

    cache.write_bytes(b"another GPU's")
    with pytest.raises(ExportError, match="no timing cache of this GPU and TensorRT: delete it"):
        compile_bundle(copy, Request("tensorrt", timing_cache=cache), quiet=True)


def test_full_tensorrt_asks_for_a_gpu(copy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "load_flavour", lambda flavour: full_tensorrt(_Config()))
    monkeypatch.setattr(compiling, "find_gpus", no_gpu)
    with pytest.raises(DeviceError, match="no NVIDIA driver"):
        compile_bundle(copy, Request("tensorrt"), quiet=True)
    monkeypatch.setattr(compiling, "find_gpus", list)
    with pytest.raises(DeviceError, match="compiles on the GPU it will run on"):
        compile_bundle(copy, Request("tensorrt"), quiet=True)


def test_inspect_shows_engines(
    copy: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "load_flavour", lambda flavour: full_tensorrt(_Config()))
    monkeypatch.setattr(compiling, "find_gpus", lambda: [GPU])
    compile_bundle(copy, Request("tensorrt"), quiet=True)
    assert main(["inspect", str(copy.path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "engine fp32 sm90 tensorrt 11.4.0.106, same-gpu, batch 8, 9×9 to 1920×1920, tuned for 960×540" in text
    assert "compiled on GPU A" in text
