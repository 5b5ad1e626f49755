"""int8.py, int8_check.py: what becomes int8, what it computes, what it costs, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import export
from export.checks.parity import onnx_scores
from export.checks.photographs import noisy, unit
from export.graph.canonical import canonical
from export.graph.onnx_export import check_graph
from export.precision.int8 import Seen, integer_layers, observe, to_int8
from export.precision.int8_check import int8_parity, seen_values
from runtime import Certifier
from runtime.bundle.manifest import GRAPHS, MODEL, InputContract, ScoreContract
from runtime.bundle.store import open_bundle
from runtime.errors import ExportError
from runtime.samplers.vnni import EXACT_PRODUCTS, exact_products
from tests.support.tiny import SINGLE_BUNDLE

METRIC = f"{Path(__file__).parents[2] / 'support' / 'outsider.py'}:Sharpness"
CONTRACT = InputContract(0.12, 1, height=24, width=40, batch=2)
UNKNOWN = ScoreContract(None, None, higher_is_better=True)
WEIGHT = np.random.default_rng(3).normal(0, 0.4, (8, 3, 3, 3)).astype(np.float32)
DEPTHWISE = np.random.default_rng(4).normal(0, 0.3, (8, 1, 3, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def default() -> bytes:
    return open_bundle(SINGLE_BUNDLE).read(MODEL)


@pytest.fixture(scope="module")
def default_int8(default: bytes) -> bytes:
    return to_int8(default, seen_values(default, open_bundle(SINGLE_BUNDLE).manifest.input))


@pytest.fixture(scope="module")
def small() -> bytes:
    """Clamped picture → convolution, Relu → depthwise convolution, Clip(0, 6) → sum of both → space → mean."""
    nodes = [
        helper.make_node("Mul", ["lattice", "unit"], ["scaled"], "scale"),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["image"], "clamp"),
        helper.make_node("Conv", ["image", "w", "b"], ["c"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["a"], "relu"),
        helper.make_node("Conv", ["a", "d"], ["e"], "second", pads=[1, 1, 1, 1], group=8),
        helper.make_node("Clip", ["e", "zero", "six"], ["f"], "relu6"),
        helper.make_node("Add", ["a", "f"], ["g"], "sum"),
        helper.make_node("DepthToSpace", ["g"], ["s"], "space", blocksize=2, mode="CRD"),
        helper.make_node("ReduceMean", ["s", "axes"], ["score"], "mean", keepdims=0),
    ]
    values = {"zero": 0.0, "one": 1.0, "six": 6.0, "w": WEIGHT, "b": np.linspace(-0.2, 0.3, 8), "d": DEPTHWISE}
    tensors = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in values.items()]
    tensors.append(numpy_helper.from_array(np.array([1, 2, 3]), "axes"))
    ends = [
        helper.make_tensor_value_info("lattice", TensorProto.FLOAT, [2, 3, 24, 40]),
        helper.make_tensor_value_info("unit", TensorProto.FLOAT, [1]),
        helper.make_tensor_value_info("score", TensorProto.FLOAT, [2]),
    ]
    graph = helper.make_graph(nodes, "g", ends[:2], ends[2:], tensors)
    return canonical(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def operators(data: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(data).graph.node]


def test_what_becomes_int8(small: bytes, default: bytes) -> None:
    assert integer_layers(onnx.load_from_string(small)) == ["Conv_2", "Conv_4", "Add_6"]
    model = onnx.load_from_string(default)
    chosen = set(integer_layers(model))
    assert all(node.name in chosen for node in model.graph.node if node.op_type == "Conv")
    assert {node.op_type for node in model.graph.node if node.name in chosen} == {"Conv", "Add"}


def test_form(default: bytes, default_int8: bytes) -> None:
    assert canonical(onnx.load_from_string(default_int8)) == default_int8
    assert len(default_int8) < 0.35 * len(default)
    graph = check_graph(default_int8, open_bundle(SINGLE_BUNDLE).manifest.input).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert stored["metric.head.weight"] == TensorProto.FLOAT
    assert stored["denoiser.stem.weight.int8"] == TensorProto.INT8
    assert stored["denoiser.stem.weight.bias.int32"] == TensorProto.INT32
    scales = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer if tensor.name.endswith(".int8.scale")}
    assert scales["denoiser.stem.weight.int8.scale"] == (16,)
    types = [node.op_type for node in graph.node]
    assert "Relu" not in types  # saturation does it
    assert types.count("Clip") == 2  # of the noisy and of the denoised picture


def test_onnx_runtime_computes_in_integers(default_int8: bytes, tmp_path: Path) -> None:
    """All that is stated in QDQ form runs as integer kernels, none as fp32 between a decoding and a coding."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(default_int8, options, providers=["CPUExecutionProvider"])
    found = operators((tmp_path / "optimised.onnx").read_bytes())
    assert found.count("QLinearConv") == 41
    assert found.count("QLinearAdd") == 7
    assert "Conv" not in found


def reference(seen: dict[str, Seen], samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The small graph's int8 variant in NumPy, straight from its definition."""

    def coded(values: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        scale = np.float32((seen[name].high - seen[name].low) / 255)
        zero = np.rint(-seen[name].low / scale)
        return (np.clip(np.rint(values / scale) + zero, 0, 255) - zero) * scale

    def convolved(values: NDArray[np.float64], weight: NDArray[np.float32], mean: NDArray[np.float64], grouped: bool):
        steps = np.abs(weight).reshape(len(weight), -1).max(1)[:, None, None, None] / 127.0
        rounded = np.rint(weight / steps) * steps
        lost = (weight - rounded).sum((2, 3))
        bias = lost[:, 0] * mean if grouped else lost @ mean
        padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        sums = "ncxyij,cij->ncxy" if grouped else "ncxyij,ocij->noxy"
        out = np.einsum(sums, windows, rounded[:, 0] if grouped else rounded)
        return out + bias[:, None, None]

    image = coded(np.clip(samples.astype(np.float64) / 255, 0, 1), "Clip_1")
    first = convolved(image, WEIGHT, seen["Clip_1"].mean, False) + np.linspace(-0.2, 0.3, 8)[:, None, None]
    a = coded(first, "Relu_3")
    f = coded(convolved(a, DEPTHWISE, seen["Relu_3"].mean, True), "Clip_5")
    return coded(a + f, "Add_6").mean((1, 2, 3))


def test_it_is_what_the_definition_says(small: bytes) -> None:
    samples = noisy("coffee", CONTRACT, 24, 40, 0, 2)
    seen = observe(small, [samples, noisy("rocket", CONTRACT, 24, 40, 0, 2)], unit(CONTRACT))
    data = to_int8(small, seen)
    assert "Relu" not in operators(data)
    # A sum on the edge of two codes may go either way: one of 7,680 values by one step moves the mean by 1e-6.
    found = onnx_scores(data, CONTRACT)(samples)
    assert found == pytest.approx(reference(seen, samples), abs=5e-5)
    exact = onnx_scores(small, CONTRACT)(samples)
    assert 1e-6 < np.abs(found - exact).max() < 0.01


@pytest.mark.skipif(exact_products() == "1", reason="this CPU has no VNNI, or it is not known to have it")
def test_a_cpu_without_vnni_would_give_the_same_scores(default_int8: bytes) -> None:
    contract = open_bundle(SINGLE_BUNDLE).manifest.input
    samples = noisy("chelsea", contract, 64, 80, 0, 2)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(EXACT_PRODUCTS, "1")
    session = onnxruntime.InferenceSession(default_int8, options, providers=["CPUExecutionProvider"])
    (other,) = session.run(None, {"lattice": samples, "unit": unit(contract)})
    assert np.array_equal(other, onnx_scores(default_int8, contract)(samples))


def test_what_rounding_weights_takes_is_given_back(small: bytes) -> None:
    """Without the correction of the bias the score would be shifted further."""
    samples = noisy("coffee", CONTRACT, 24, 40, 0, 2)
    seen = observe(small, [samples], unit(CONTRACT))
    uncorrected = {name: replace(values, mean=0 * values.mean) for name, values in seen.items()}
    exact = onnx_scores(small, CONTRACT)(samples)
    with_, without = (onnx_scores(to_int8(small, s), CONTRACT)(samples) - exact for s in (seen, uncorrected))
    assert np.abs(with_).max() < np.abs(without).max()


def test_keep(small: bytes) -> None:
    seen = seen_values(small, CONTRACT)
    model = onnx.load_from_string(to_int8(small, seen, ["Conv_2"]))
    assert [node.op_type for node in model.graph.node].count("Relu") == 1
    kept = {tensor.name for tensor in model.graph.initializer if numpy_helper.to_array(tensor).shape == WEIGHT.shape}
    assert all(numpy_helper.to_array(t).dtype == np.float32 for t in model.graph.initializer if t.name in kept)
    with pytest.raises(ExportError, match="Conv_9: no layer of the graph has this name"):
        to_int8(small, seen, ["Conv_9"])
    with pytest.raises(ExportError, match="no use for an int8 variant"):
        to_int8(small, seen, integer_layers(onnx.load_from_string(small)))


def test_parity_of_the_default_model(default: bytes, default_int8: bytes) -> None:
    manifest = open_bundle(SINGLE_BUNDLE).manifest
    parity = int8_parity(default, default_int8, manifest.input, manifest.score)
    assert (parity.reference, parity.pictures) == (MODEL, 4)
    assert 0 < parity.interval_difference <= parity.score_difference < 2.5


def test_a_graph_that_drifts_is_refused_by_layer(small: bytes) -> None:
    """Values seen too small: the rest saturates."""
    seen = seen_values(small, CONTRACT)
    clipped = {**seen, "Relu_3": replace(seen["Relu_3"], high=seen["Relu_3"].high / 50)}
    said = (
        r"int8 moves scores by \d+\.\d% of their range at 40×24, at most 5.0% is allowed: \w+ alone .*--keep-fp32 \w+"
    )
    with pytest.raises(ExportError, match=said):
        int8_parity(small, to_int8(small, clipped), CONTRACT, UNKNOWN)


def test_build_verify_and_run(weights: dict[str, Path], tmp_path: Path) -> None:
    lines: list[str] = []
    metric = export.load_metric(METRIC, weights["metric"]).module
    bundle = export.build(
        metric, "none", size=(24, 32), batch=2, downscale=1, int8=True, out=tmp_path / "b.zip", report=lines.append
    )
    assert set(bundle.manifest.files) == {MODEL, GRAPHS["int8"]}
    assert set(bundle.manifest.parity) == {"fp32", "int8"}
    assert any(line.startswith("int8: ") for line in lines)
    lines.clear()
    export.verify(bundle, metric=metric, report=lines.append)
    assert any(line.startswith("int8: score") for line in lines)
    frame = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    with Certifier(bundle.path, precision="int8", public_seed=1, samples=50, alpha=0.1) as certifier:
        record = certifier.certify(frame).to_dict()
    assert record["engine"]["precision"] == "int8"
    assert record["model_sha256"] == bundle.manifest.files[GRAPHS["int8"]].sha256
