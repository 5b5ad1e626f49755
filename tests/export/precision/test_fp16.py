"""layers.py, fp16.py, fp16_check.py: what becomes fp16, what it costs, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import export
from export.checks.photographs import noisy, unit
from export.graph.canonical import canonical
from export.graph.onnx_export import check_graph, export_graph
from export.precision.fp16 import halved, to_fp16
from export.precision.fp16_check import FP16_TOLERANCE, fp16_parity
from export.precision.fp16_emulation import emulated
from export.precision.layers import half_types, layers, sensitive
from runtime.bundle.manifest import GRAPHS, MODEL, InputContract, ScoreContract
from runtime.bundle.store import Bundle, open_bundle
from runtime.errors import ExportError
from tests.support.tiny import SINGLE_BUNDLE

Built = tuple[Bundle, list[str]]
METRIC = f"{Path(__file__).parents[2] / 'support' / 'outsider.py'}:Sharpness"
UNKNOWN = ScoreContract(None, None, higher_is_better=True)


@pytest.fixture(scope="module")
def default() -> bytes:
    return open_bundle(SINGLE_BUNDLE).read(MODEL)


@pytest.fixture(scope="module")
def overflowing(faulty: Callable[[str], str]) -> tuple[bytes, InputContract]:
    contract = InputContract(0.12, 1, 8, 16, 24, height=16, width=24, batch=4)
    return export_graph(export.Fused(export.load_metric(faulty("Overflowing")).module, None), contract), contract


def operators(model: onnx.ModelProto, names: set[str]) -> set[str]:
    return {node.op_type for node in model.graph.node if node.name in names}


def test_layers_of_the_default_model(default: bytes) -> None:
    model = onnx.load_from_string(default)
    kept = sensitive(model)
    wide, half = operators(model, kept), operators(model, set(layers(model)) - kept)
    assert {"ReduceMean", "Pow", "Sqrt", "Concat", "Gemm", "Sigmoid"} <= wide
    assert {"Conv", "ConvTranspose", "Relu", "Pad", "SpaceToDepth", "DepthToSpace", "Slice"} <= half
    assert not wide & {"Conv", "ConvTranspose", "Relu"}
    products = [n.name for n in model.graph.node if n.op_type == "Mul" and "lattice" in n.input]
    assert set(products) <= kept
    assert not any(name in layers(model) for name in ("Shape_0", "Mod_5"))


def test_casts_stand_only_where_the_types_meet(default: bytes) -> None:
    model = onnx.load_from_string(to_fp16(default))
    makers = {node.output[0]: node for node in model.graph.node}
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert len(casts) == 9  # the picture, and the maps at eight depths of which statistics are taken
    assert all(makers[cast.input[0]].op_type == "Clip" for cast in casts)


def test_form_of_the_variant(default: bytes) -> None:
    half = to_fp16(default)
    assert half == to_fp16(default)
    assert canonical(onnx.load_from_string(half)) == half
    assert len(half) < 0.55 * len(default)
    check_graph(half, open_bundle(SINGLE_BUNDLE).manifest.input)
    graph = onnx.load_from_string(half).graph
    ends = {value.name: value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
    assert ends == dict.fromkeys(("lattice", "unit", "score"), TensorProto.FLOAT)
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert stored["metric.head.weight"] == TensorProto.FLOAT
    assert stored["denoiser.stem.weight.fp16"] == TensorProto.FLOAT16
    assert "denoiser.stem.weight" not in stored


def test_types_come_from_the_schemas() -> None:
    def types(operator: str, inputs: int) -> tuple[list[bool], list[bool]] | None:
        return half_types(helper.make_node(operator, [f"i{n}" for n in range(inputs)], ["o"]), 20)

    assert types("Conv", 3) == ([True, True, True], [True])
    assert types("Resize", 3) == ([True, False, False], [True])
    assert types("Concat", 3) == ([True, True, True], [True])
    assert types("Where", 3) == ([False, True, True], [True])
    assert types("Pad", 2) == ([True, False], [True])
    assert types("Cast", 1) is None
    assert types("Shape", 1) is None


def mean_graph(*nodes: onnx.NodeProto, **constants: float) -> onnx.ModelProto:
    """lattice · unit, clamped, then ``nodes`` from ``image`` to ``last``, then its mean as the score."""
    nodes = (
        helper.make_node("Mul", ["lattice", "unit"], ["scaled"], "scale"),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["image"], "clamp"),
        *nodes,
        helper.make_node("ReduceMean", ["last", "axes"], ["score"], "mean", keepdims=0),
    )
    values = {"zero": 0.0, "one": 1.0, **constants}
    tensors = [numpy_helper.from_array(np.float32(value), name) for name, value in values.items()]
    lattice = helper.make_tensor_value_info("lattice", TensorProto.FLOAT, ["n", 3, "h", "w"])
    lattice_unit = helper.make_tensor_value_info("unit", TensorProto.FLOAT, [1])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])
    tensors.append(numpy_helper.from_array(np.array([1, 2, 3]), "axes"))
    graph = helper.make_graph(list(nodes), "g", [lattice, lattice_unit], [score], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_constants_that_fp16_cannot_hold_keep_their_layer() -> None:
    model = mean_graph(
        helper.make_node("Relu", ["image"], ["a"], "relu"),
        helper.make_node("Max", ["a", "tiny"], ["b"], "vanishes"),
        helper.make_node("Min", ["b", "huge"], ["c"], "overflows"),
        helper.make_node("Max", ["c", "half"], ["last"], "fits"),
        tiny=1e-8,
        huge=1e6,
        half=0.5,
    )
    assert sensitive(model) == {"scale", "clamp", "mean", "vanishes", "overflows"}


def test_arithmetic_that_feeds_a_statistic_stays() -> None:
    model = mean_graph(
        helper.make_node("Relu", ["image"], ["a"], "relu"),
        helper.make_node("Sub", ["a", "one"], ["b"], "difference"),
        helper.make_node("Mul", ["b", "b"], ["last"], "square"),
    )
    assert sensitive(model) == {"scale", "clamp", "mean", "difference", "square"}


def test_shared_constants_and_16_bit_lattices() -> None:
    """The zero of the clamp is needed in both types, and lattice values of 262,140 meet no fp16."""
    model = mean_graph(helper.make_node("Clip", ["image", "zero", "half"], ["last"], "clip"), half=0.5)
    session = onnxruntime.InferenceSession(to_fp16(model.SerializeToString()), providers=["CPUExecutionProvider"])
    contract = InputContract(0.12, 2)
    samples = noisy("coffee", contract, 40, 56, 0, 2)
    (eight,) = session.run(None, {"lattice": samples, "unit": unit(contract)})
    (sixteen,) = session.run(None, {"lattice": samples * 257, "unit": unit(contract) / 257})
    np.testing.assert_allclose(sixteen, eight, atol=1e-6)
    assert 0.1 < eight.min() < 0.5


def test_keep(default: bytes) -> None:
    name = next(n for n, node in layers(onnx.load_from_string(default)).items() if node.op_type == "Conv")
    kept = next(node for node in halved(default, [name]).graph.node if node.name == name)
    assert kept.input[1] == "denoiser.stem.weight"
    with pytest.raises(ExportError, match="Conv_9999: no layer of the graph has this name"):
        to_fp16(default, ["Conv_9999"])
    model = onnx.load_from_string(default)
    with pytest.raises(ExportError, match="no use for an fp16 variant"):
        to_fp16(default, set(layers(model)) - sensitive(model))


def test_parity_of_a_third_party_pair(outsider: Built) -> None:
    bundle = outsider[0]
    data, manifest = bundle.read(MODEL), bundle.manifest
    parity = fp16_parity(data, to_fp16(data), manifest.input, manifest.score)
    assert (parity.reference, parity.pictures) == (MODEL, 4)
    assert 0 < parity.interval_difference <= parity.score_difference < FP16_TOLERANCE


def test_a_graph_that_overflows_is_refused_by_layer(overflowing: tuple[bytes, InputContract]) -> None:
    """A layer kept in fp32 hands its large values on: each that cannot take them is named in turn."""
    data, contract = overflowing
    keep: list[str] = []
    for layer in (r"Conv_4 \(metric.further\)", "Relu_5", r"Conv_6 \(metric.down\)"):
        said = rf"no numbers at 24×16, .*: {layer} overflows: .* 2.62e\+05 .*--keep-fp32 \w+, or build without"
        with pytest.raises(ExportError, match=said) as refused:
            fp16_parity(data, to_fp16(data, keep), contract, UNKNOWN, keep)
        keep.append(str(refused.value).split("--keep-fp32 ")[1].split(",")[0])
    assert fp16_parity(data, to_fp16(data, keep), contract, UNKNOWN, keep).score_difference < 1e-3


def test_emulation_rounds_every_layer() -> None:
    """Exactly what NumPy's float16 gives, where ONNX Runtime's own run of the fp16 graph rounds nothing."""
    model = mean_graph(
        helper.make_node("Mul", ["image", "large"], ["a"], "up"),
        helper.make_node("Mul", ["a", "small"], ["last"], "down"),
        large=60000.0,
        small=1.6666667e-05,
    )
    # The products feed a mean and would stay in fp32: a Relu keeps them apart.
    model.graph.node[-1].input[0] = "kept_apart"
    model.graph.node.insert(4, helper.make_node("Relu", ["last"], ["kept_apart"], "relu"))
    contract = InputContract(0.12, 1)
    samples = noisy("coffee", contract, 8, 8, 0, 1)
    image = np.clip(samples * unit(contract), 0, 1)
    half = (image.astype(np.float16) * np.float16(60000)) * np.float16(1.6666667e-05)
    assert half.dtype == np.float16
    data = emulated(onnx.load_from_string(to_fp16(model.SerializeToString()))).SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"lattice": samples, "unit": unit(contract)})
    assert found[0] == pytest.approx(half.astype(np.float64).mean(), rel=1e-6)
    assert abs(half.astype(np.float64).mean() - image.mean()) > 1e-5


def test_a_graph_that_drifts_is_refused_by_layer(overflowing: tuple[bytes, InputContract]) -> None:
    """The same pictures through a graph with one weight altered: finite, but another function."""
    data, contract = overflowing
    half = onnx.load_from_string(to_fp16(data, sorted(layers(onnx.load_from_string(data)))[:1]))
    weight = next(t for t in half.graph.initializer if t.name.startswith("metric.up.weight"))
    altered = (numpy_helper.to_array(weight) * 0).astype(numpy_helper.to_array(weight).dtype)
    weight.CopyFrom(numpy_helper.from_array(altered, weight.name))
    with pytest.raises(ExportError, match=r"moves scores by 100.0% of their range at 24×16, at most 1.0% is allowed"):
        fp16_parity(data, half.SerializeToString(), contract, UNKNOWN)


def test_build_refuses_before_it_writes(faulty: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="fp16 gives scores that are no numbers"):
        export.build(
            faulty("Overflowing"), "none", size=(16, 24), batch=4, downscale=1, fp16=True, out=tmp_path / "bundle"
        )
    assert list(tmp_path.iterdir()) == []


def test_build_and_verify_with_fp16(weights: dict[str, Path], tmp_path: Path) -> None:
    lines: list[str] = []
    metric = export.load_metric(METRIC, weights["metric"]).module
    bundle = export.build(
        metric, "none", size=(24, 32), batch=2, downscale=1, fp16=True, out=tmp_path / "b.zip", report=lines.append
    )
    assert set(bundle.manifest.files) == {MODEL, GRAPHS["fp16"]}
    assert set(bundle.manifest.parity) == {"fp32", "fp16"}
    assert bundle.manifest.parity["fp16"].reference == MODEL
    assert any(line.startswith("fp16: ") for line in lines)
    lines.clear()
    export.verify(bundle, metric=metric, report=lines.append)
    assert any(line.startswith("fp16: score") for line in lines)
