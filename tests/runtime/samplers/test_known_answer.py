"""The known answer at opening: the shipped one holds, and whatever differs from it is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.checks.known_answer import known_answers
from runtime import BundleError, Certifier, ModelError
from runtime.bundle.manifest import MANIFEST, MODEL
from runtime.bundle.store import Bundle, open_bundle, write_bundle
from runtime.noise.draw import philox4x64
from runtime.samplers import OnnxSampler, known_answer
from runtime.samplers.known_answer import check_known_answer
from tests.support.tiny import tile_bundle, tiny_bundle


def _with_answers(bundle: Bundle) -> Bundle:
    contents = {name: bundle.read(name) for name in bundle.manifest.files}
    answers = known_answers(contents, bundle.manifest.input, bundle.manifest.score)
    return write_bundle(bundle.path, replace(bundle.manifest, known_answers=answers), contents)


def _alter(bundle: Bundle, *where: str, value: Any) -> Path:
    tree = place = json.loads((bundle.path / MANIFEST).read_text())
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    (bundle.path / MANIFEST).write_text(json.dumps(tree))
    return bundle.path


@pytest.mark.parametrize(("sigma", "precision"), [(0.03, "fp32"), (0.06, "int8"), (0.25, "fp32"), (0.5, "int8")])
def test_the_shipped_bundle_answers(sigma: float, precision: str) -> None:
    bundle = open_bundle().at(sigma)
    sampler = OnnxSampler(bundle, precision=precision)
    assert check_known_answer(sampler, bundle, precision)
    sampler.close()


def test_answers_of_frames_and_of_tiles(tmp_path: Path) -> None:
    for bundle in (tiny_bundle(tmp_path / "b", int8=True), tile_bundle(tmp_path / "t")):
        answering = _with_answers(bundle)
        assert len(answering.manifest.known_answers) == len(answering.manifest.files)
        with Certifier(answering.path) as certifier:
            assert check_known_answer(certifier.sampler, answering, "fp32")


def test_a_bundle_without_one_is_not_called_checked(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    with Certifier(bundle.path) as certifier:
        assert not check_known_answer(certifier.sampler, bundle, "fp32")


@pytest.mark.parametrize("sigma", [0.0119, 0.119, 0.1200001])
def test_another_sigma_is_found(sigma: float, tmp_path: Path) -> None:
    """Also where the answer's own σ is altered with it: the table is that of one σ."""
    bundle = _with_answers(tiny_bundle(tmp_path / "b"))
    path = _alter(bundle, "input", "sigma", value=sigma)
    with pytest.raises(
        BundleError, match=r"was built as model.onnx for sigma 0.12, and the manifest states .* altered"
    ):
        Certifier(path)
    _alter(bundle, "known_answers", bundle.digest, "sigma", value=sigma)
    with pytest.raises(ModelError, match="the noise table is not that of sigma"):
        Certifier(path)


def test_swapped_variants_are_found(tmp_path: Path) -> None:
    bundle = _with_answers(tiny_bundle(tmp_path / "b", int8=True))
    tree = json.loads((bundle.path / MANIFEST).read_text())
    files = tree["files"]
    files["model.onnx"], files["model.int8.onnx"] = files["model.int8.onnx"], files["model.onnx"]
    (bundle.path / MANIFEST).write_text(json.dumps(tree))
    shutil.move(bundle.path / MODEL, bundle.path / "x")
    shutil.move(bundle.path / "model.int8.onnx", bundle.path / MODEL)
    shutil.move(bundle.path / "x", bundle.path / "model.int8.onnx")
    with pytest.raises(BundleError, match=r"was built as model.int8.onnx"):
        Certifier(bundle.path)


def test_an_engine_that_computes_something_else_is_refused(tmp_path: Path) -> None:
    bundle = _with_answers(tiny_bundle(tmp_path / "b"))
    scores = list(bundle.manifest.known_answers[bundle.digest].scores)
    path = _alter(bundle, "known_answers", bundle.digest, "scores", value=[scores[0], scores[1] + 0.2])
    with pytest.raises(ModelError, match=r"nothing is certified\. Check the versions of ONNX Runtime, driver"):
        Certifier(path)


@pytest.mark.parametrize("scores", [[np.nan, np.nan], [1.0], []])
def test_an_engine_that_answers_nonsense_is_refused(
    scores: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = _with_answers(tiny_bundle(tmp_path / "b"))
    monkeypatch.setattr(OnnxSampler, "scores", lambda *_: np.array(scores, np.float32))
    with pytest.raises(ModelError, match="nothing is certified"):
        Certifier(bundle.path)


def test_a_broken_generator_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = _with_answers(tiny_bundle(tmp_path / "b"))
    monkeypatch.setattr(known_answer, "philox4x64", lambda *a: tuple(w ^ np.uint64(1) for w in philox4x64(*a)))
    with pytest.raises(ModelError, match="not those of Philox4x64-10: nothing is certified"):
        Certifier(bundle.path)


def test_broken_noise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = _with_answers(tiny_bundle(tmp_path / "b"))

    def drawn(table: Any, key: bytes, start: int, out: Any) -> None:
        out[:] = 1

    monkeypatch.setattr(known_answer, "draw_noise", drawn)
    with pytest.raises(ModelError, match="the noise that is drawn is not that of the bundle"):
        Certifier(bundle.path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("scores", None), ("scores", ["1"]), ("tolerance", 0), ("tolerance", -1), ("graph", "x"), ("table_sha256", "0")],
)
def test_an_answer_that_is_none_is_refused(key: str, value: object, tmp_path: Path) -> None:
    bundle = _with_answers(tiny_bundle(tmp_path / "b"))
    with pytest.raises(BundleError, match="known_answers"):
        open_bundle(_alter(bundle, "known_answers", bundle.digest, key, value=value))
