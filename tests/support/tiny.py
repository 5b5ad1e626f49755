"""A tiny bundle: 100 times the mean of the clamped picture, as an ONNX graph. Fast, and easy to predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from runtime.bundle.manifest import (
    FAMILY_SCHEMA,
    MODEL,
    Defaults,
    InputContract,
    Level,
    Manifest,
    Measured,
    Part,
    ScoreContract,
    part_name,
)
from runtime.bundle.store import DEFAULT_BUNDLE, Bundle, file_entry, write_bundle

SINGLE_BUNDLE = DEFAULT_BUNDLE.with_name("single")
"""The default before there were noise levels."""


def graph(extra: str | None = None, factor: float = 100) -> bytes:
    """``factor``: of the mean.

    ``extra``: "nan" makes every score NaN, "sixteen" fails on pictures whose sides are no multiple of 16.
    """
    nodes = [
        helper.make_node("Mul", ["lattice", "unit"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "zero", "one"], ["image"]),
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "hundred"], ["score"]),
    ]
    constants = {
        "zero": np.float32(0),
        "one": np.float32(1),
        "hundred": np.float32(factor),
        "axes": np.array([1, 2, 3]),
    }
    if extra == "nan":
        constants["hundred"] = np.float32(np.nan)
    if extra == "sixteen":
        constants["blocks"] = np.array([0, 3, -1, 16, 16])
        nodes[2] = helper.make_node("ReduceMean", ["blocked", "axes"], ["mean"], keepdims=0)
        nodes.insert(2, helper.make_node("Reshape", ["image", "blocks"], ["blocked"]))
        constants["axes"] = np.array([1, 2, 3, 4])
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [
                helper.make_tensor_value_info("lattice", TensorProto.FLOAT, ["n", 3, "h", "w"]),
                helper.make_tensor_value_info("unit", TensorProto.FLOAT, [1]),
            ],
            [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString()
    return data


def tiny_bundle(
    path: Path,
    *,
    extra: str | None = None,
    samples: int = 101,
    int8: bool = False,
    aggregate: str | None = None,
    trim: float | None = None,
    **contract: Any,
) -> Bundle:
    """A bundle of the graph at σ = 0.12, k = 2. ``int8``: with a variant of that name, 99 times the mean in fp32."""
    contents = {"model.onnx": graph(extra), **({"model.int8.onnx": graph(extra, 99)} if int8 else {})}
    given = {"sigma": 0.12, "downscale": 2, "minimum_height": 8, "minimum_width": 8, **contract}
    manifest = Manifest(
        name="tiny",
        files={name: file_entry(data) for name, data in contents.items()},
        input=InputContract(**given),
        score=ScoreContract(0.0, 100.0, True, aggregate, trim),
        metric=Part("mean", "1", "Apache-2.0", "tests"),
        denoiser=None,
        defaults=Defaults(0.1, 0.001, samples),
        parity={},
    )
    return write_bundle(path, manifest, contents)


def tile_bundle(path: Path, tile: int = 16, aggregate: str = "mean", **options: Any) -> Bundle:
    """The same for T×T tiles: each tile's score is 100 times its own mean."""
    sizes = {"tile": tile, "height": tile, "width": tile, "minimum_height": tile, "minimum_width": tile}
    return tiny_bundle(path, aggregate=aggregate, **sizes, **options)


def tiny_family(
    path: Path,
    levels: tuple[tuple[float, float, float], ...] = ((0.06, 0.7, 2.0), (0.25, 0.6, 0.5)),
    measured: bool = True,
) -> Bundle:
    """Levels of the tiny graph: σ, SROCC, and the spread of its scores that the manifest states. At σ the factor of the
    mean is 100 − σ, so that each is a function of its own; its own part is the graph, what all share is empty."""
    contents, made = {part_name(MODEL, None): b""}, []
    for sigma, srocc, spread in levels:
        data = graph(factor=100 - sigma)
        contents[part_name(MODEL, sigma)] = data
        known = Measured(240, srocc, srocc, 30.0, 60.0, 20, (-2.0, 0.0, 2.0), (-2 * spread, 0.0, 2 * spread))
        made.append(Level(sigma, {MODEL: file_entry(data)}, {}, known if measured else None))
    manifest = Manifest(
        name="tiny",
        files={name: file_entry(data) for name, data in contents.items()},
        input=InputContract(sigma=levels[0][0], downscale=2, minimum_height=8, minimum_width=8),
        score=ScoreContract(0.0, 100.0, True),
        metric=Part("mean", "1", "Apache-2.0", "tests"),
        denoiser=None,
        defaults=Defaults(0.1, 0.001, 101),
        parity={},
        schema=FAMILY_SCHEMA,
        levels=tuple(made),
    )
    return write_bundle(path, manifest, contents)
