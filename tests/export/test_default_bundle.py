"""The bundles that ship are the committed weights, built: same bytes in the same environment, same scores in any."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest

import export
from export.family import FAMILY, build_family, level_graphs
from export.graph.onnx_export import export_graph
from export.graph.shared import folded
from export.networks.catalogue import MODEL_CARD
from export.precision.int8_check import INTERVAL_TOLERANCE, SCORE_TOLERANCE
from runtime.bundle.manifest import LEVELS, MODEL, part_name
from runtime.bundle.store import DEFAULT_BUNDLE, Bundle, open_bundle
from runtime.frames.lattice import to_lattice
from runtime.samplers.onnx import OnnxSampler
from tests.support.tiny import SINGLE_BUNDLE


def skip_in_another_environment(made_with: Mapping[str, str]) -> None:
    for package, made in made_with.items():
        if version(package) != made:
            pytest.skip(f"the shipped graph was made with {package} {made}, here is {version(package)}")


def test_same_levels() -> None:
    """The graph of each level, its values; and folded, the export of the level's own networks, bit for bit."""
    shipped = open_bundle()
    skip_in_another_environment(shipped.manifest.made_with)
    contract = shipped.manifest.input
    made = list(level_graphs(FAMILY, contract))
    assert tuple(sigma for sigma, _, _ in made) == shipped.sigmas
    for sigma, _, graph in made:
        ours, theirs = (onnx.load_from_string(data).graph for data in (graph, shipped.at(sigma).read(MODEL)))
        assert list(ours.node) == list(theirs.node)
        assert values(ours) == values(theirs)
    _, networks, graph = made[2]
    assert folded(graph) == export_graph(networks, contract)


def values(graph: onnx.GraphProto) -> dict[str, bytes]:
    """Concatenation puts what is shared last, so their order is another."""
    return {tensor.name: tensor.raw_data for tensor in graph.initializer}


def test_levels_share_their_weights() -> None:
    """Five levels take little more than one: what is shared is most of it."""
    files = open_bundle().manifest.files
    assert sum(entry.bytes for name, entry in files.items() if name.startswith(LEVELS)) < 4.5e6
    assert files[part_name(MODEL, None)].bytes > 15 * files[part_name(MODEL, 0.06)].bytes


def test_levels_pass_their_gates() -> None:
    for level in open_bundle().manifest.levels:
        assert level.parity["fp32"].score_difference < 1e-3
        assert level.parity["int8"].score_difference <= 100 * SCORE_TOLERANCE
        assert level.parity["int8"].interval_difference <= 100 * INTERVAL_TOLERANCE
        assert level.measured is not None


@pytest.mark.long
def test_the_family_again(tmp_path: Path) -> None:
    shipped, rebuilt = open_bundle(), build_family(out=tmp_path / "bundle", int8=True)
    ours, theirs = rebuilt.manifest, shipped.manifest
    assert (ours.metric, ours.denoiser, ours.input) == (theirs.metric, theirs.denoiser, theirs.input)
    assert (ours.score, ours.defaults) == (theirs.score, theirs.defaults)
    assert [level.measured for level in ours.levels] == [level.measured for level in theirs.levels]
    check_same_scores(shipped.at(0.25), rebuilt.at(0.25))


@pytest.mark.long
def test_the_single_level_again(tmp_path: Path) -> None:
    """The default before there were levels, for its old records."""
    shipped, rebuilt = open_bundle(SINGLE_BUNDLE), export.build(out=tmp_path / "bundle", int8=True)
    ours, theirs = rebuilt.manifest, shipped.manifest
    assert (ours.metric, ours.denoiser, ours.input) == (theirs.metric, theirs.denoiser, theirs.input)
    check_same_scores(shipped, rebuilt)
    skip_in_another_environment(theirs.made_with)
    assert rebuilt.digest == shipped.digest


def check_same_scores(shipped: Bundle, rebuilt: Bundle) -> None:
    """The ranges of int8 are measured with this machine's arithmetic, so that its codes may differ by one."""
    import skimage.data

    picture = to_lattice(np.asarray(skimage.data.rocket()), downscale=2)
    for precision, tolerance in (("fp32", 1e-3), ("int8", 0.5)):
        theirs, ours = (
            OnnxSampler(bundle, precision=precision).scores(picture, bytes(16), 0, 4) for bundle in (shipped, rebuilt)
        )
        assert ours == pytest.approx(theirs, abs=tolerance)
        assert np.ptp(theirs) > 1e-2  # they are scores of noisy copies, not a constant


def test_card_is_the_one_beside_the_weights() -> None:
    assert (DEFAULT_BUNDLE / "MODEL_CARD.md").read_bytes() == Path(MODEL_CARD).read_bytes()
