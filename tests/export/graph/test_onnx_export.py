"""onnx_export.py, canonical.py, parity.py: the exported graph is the network, at any size, in canonical bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import export
from export.checks.photographs import PHOTOGRAPHS, noisy, photograph, unit
from export.graph.canonical import canonical
from export.graph.onnx_export import export_graph
from runtime.bundle.manifest import MODEL, InputContract
from runtime.bundle.store import Bundle
from runtime.errors import ExportError

Built = tuple[Bundle, list[str]]
SUPPORT = Path(__file__).parents[2] / "support"


def test_scores_at_any_size_and_batch(outsider: Built, weights: dict[str, Path]) -> None:
    bundle, _ = outsider
    metric = export.load_metric(f"{SUPPORT / 'outsider.py'}:Sharpness", weights["metric"])
    denoiser = export.load_denoiser(f"{SUPPORT / 'outsider.py'}:smoother", weights["denoiser"])
    assert denoiser is not None
    fused = export.Fused(metric.module, denoiser.module)
    session = onnxruntime.InferenceSession(bundle.read(MODEL), providers=["CPUExecutionProvider"])
    contract = bundle.manifest.input
    smallest = (contract.minimum_height, contract.minimum_width)
    for count, height, width in [(1, 64, 64), (5, 63, 64), (2, 65, 31), (3, 130, 201), (1, *smallest), (2, 480, 300)]:
        samples = noisy("coffee", contract, height, width, 7, count)
        scores = session.run(["score"], {"lattice": samples, "unit": unit(contract)})[0]
        wanted = fused(torch.from_numpy(samples), torch.from_numpy(unit(contract))).numpy()
        assert scores.shape == (count,)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, wanted, atol=1e-6)


def test_the_unit_is_an_input(outsider: Built) -> None:
    """10-bit code values with their unit score as the 8-bit ones do, up to rounding."""
    bundle, _ = outsider
    scores = onnxruntime.InferenceSession(bundle.read(MODEL), providers=["CPUExecutionProvider"])
    samples = noisy("rocket", bundle.manifest.input, 40, 50, 0, 1)
    eight = scores.run(None, {"lattice": samples, "unit": unit(bundle.manifest.input)})[0]
    four_times = scores.run(None, {"lattice": samples * 4, "unit": unit(bundle.manifest.input) / 4})[0]
    np.testing.assert_allclose(eight, four_times, atol=1e-6)


def test_canonical_form(outsider: Built) -> None:
    data = outsider[0].read(MODEL)
    model = onnx.load_from_string(data)
    assert canonical(model) == data
    assert [i.name for i in model.graph.input] == ["lattice", "unit"]
    assert [o.name for o in model.graph.output] == ["score"]
    assert [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", "", "height", "width"]
    assert {o.domain: o.version for o in model.opset_import} == {"": 20}
    assert [n.name for n in model.graph.node] == [f"{n.op_type}_{i}" for i, n in enumerate(model.graph.node)]
    names = [t.name for t in model.graph.initializer]
    assert names == sorted(names)
    assert "metric.head.weight" in names
    assert not model.metadata_props
    assert not any(n.metadata_props or n.doc_string for n in model.graph.node)


class _Ramp(torch.nn.Module):
    """Its export is of one height only."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image * torch.linspace(0, 1, image.shape[2])[:, None]).mean((1, 2, 3))


def test_a_size_that_the_exporter_freezes_is_named() -> None:
    with pytest.raises(ExportError, match=r"conflicts .*static shape of 263 .*--size HEIGHTxWIDTH"):
        export_graph(export.Fused(_Ramp(), None), InputContract(sigma=0.12, downscale=1))


def test_names_and_order_do_not_reach_the_bytes(outsider: Built) -> None:
    data = outsider[0].read(MODEL)
    model = onnx.load_from_string(data)
    kept = {"", "lattice", "unit", "score"}
    for node in model.graph.node:
        node.name, node.doc_string = f"x_{node.name}", "/home/someone/metric.py:12"
        for names in (node.input, node.output):
            names[:] = [n if n in kept or n.startswith(("metric.", "denoiser.")) else f"x_{n}" for n in names]
    for tensor in model.graph.initializer:
        if not tensor.name.startswith(("metric.", "denoiser.")):
            tensor.name = f"x_{tensor.name}"
    tensors = list(reversed(model.graph.initializer))
    model.graph.ClearField("initializer")
    model.graph.initializer.extend(tensors)
    assert canonical(model) == data


def test_no_local_path_in_the_bundle(outsider: Built) -> None:
    bundle, _ = outsider
    data = bundle.read(MODEL) + (bundle.path / "manifest.json").read_bytes()
    for trace in (str(SUPPORT), str(Path.home()), "site-packages", '.py", line', "stack_trace", "pkg.torch"):
        assert trace.encode() not in data


def test_constant_folding_leaves_little(outsider: Built) -> None:
    """Batch norm is in its convolution, padding and shape arithmetic are small, nothing trains."""
    operators = export.summarise(outsider[0].read(MODEL)).operators
    assert operators["Conv"] == 4
    assert operators["SpaceToDepth"] == 1
    assert not {"Gather", "Transpose", "BatchNormalization", "Constant", "CastLike", "Identity", "Dropout"} & set(
        operators
    )


def test_photographs_are_real_and_mirrored_where_small() -> None:
    contract = InputContract(sigma=0.12, downscale=4)
    for name in PHOTOGRAPHS:
        assert photograph(name).shape[2] == 3
        assert photograph(name).std() > 30
    samples = noisy("chelsea", contract, 300, 200, 0, 2)
    assert samples.shape == (2, 3, 300, 200)
    assert np.array_equal(samples, np.rint(samples))
    assert not np.array_equal(samples[0], samples[1])
    assert np.array_equal(noisy("chelsea", contract, 300, 200, 1, 1)[0], samples[1])
