"""The bundle that ships is the committed weights, built: same bytes in the same environment, same scores in any."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import export
from export.networks.catalogue import MODEL_CARD
from runtime.bundle.store import DEFAULT_BUNDLE, Bundle, open_bundle
from runtime.frames.lattice import to_lattice
from runtime.samplers.onnx import OnnxSampler


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export.build(out=tmp_path_factory.mktemp("default") / "bundle", int8=True)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("int8", 0.5)])
def test_same_scores(rebuilt: Bundle, precision: str, tolerance: float) -> None:
    """The ranges of int8 are measured with this machine's arithmetic, so that its codes may differ by one."""
    import skimage.data

    picture = to_lattice(np.asarray(skimage.data.rocket()), downscale=2)
    shipped, ours = (
        OnnxSampler(bundle, precision=precision).scores(picture, bytes(16), 0, 4) for bundle in (open_bundle(), rebuilt)
    )
    assert ours == pytest.approx(shipped, abs=tolerance)
    assert np.ptp(shipped) > 1e-2  # they are scores of noisy copies, not a constant


def test_same_weights_and_contract(rebuilt: Bundle) -> None:
    shipped, ours = open_bundle().manifest, rebuilt.manifest
    assert (ours.metric, ours.denoiser) == (shipped.metric, shipped.denoiser)
    assert (ours.input, ours.score, ours.defaults) == (shipped.input, shipped.score, shipped.defaults)


def test_same_graph(rebuilt: Bundle) -> None:
    for package, made_with in open_bundle().manifest.made_with.items():
        if version(package) != made_with:
            pytest.skip(f"the shipped graph was made with {package} {made_with}, here is {version(package)}")
    assert rebuilt.digest == open_bundle().digest


def test_card_is_the_one_beside_the_weights() -> None:
    assert (DEFAULT_BUNDLE / "MODEL_CARD.md").read_bytes() == Path(MODEL_CARD).read_bytes()
