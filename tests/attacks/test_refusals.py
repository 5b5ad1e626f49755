"""Every attack is refused with an error of ours, whose message says what was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import BiqaError, BundleError, Certifier, ModelError
from runtime.bundle.manifest import MODEL
from runtime.bundle.store import file_entry, open_bundle, write_bundle
from runtime.samplers import trial
from tests.attacks import containers, graphs
from tests.support.tiny import tiny_bundle

FRAME = np.full((32, 32, 3), 100, np.uint8)


@pytest.mark.parametrize("name", containers.ATTACKS)
def test_a_false_bundle_is_refused(name: str, tmp_path: Path) -> None:
    make, message = containers.ATTACKS[name]
    path = make(tmp_path)
    with pytest.raises(BiqaError, match=message):
        _use(path)


def _use(path: Path) -> None:
    open_bundle(path).verify()
    with Certifier(path, public_seed=1, samples=16) as certifier:
        certifier.certify(FRAME)


def _bundle_of(tmp_path: Path, data: bytes) -> Path:
    honest = tiny_bundle(tmp_path / "b")
    return write_bundle(honest.path, replace(honest.manifest, files={MODEL: file_entry(data)}), {MODEL: data}).path


@pytest.mark.parametrize("name", graphs.FORBIDDEN)
def test_a_graph_that_is_no_plain_function_is_refused(name: str, tmp_path: Path) -> None:
    make, message = graphs.FORBIDDEN[name]
    with pytest.raises(BundleError, match=message):
        Certifier(_bundle_of(tmp_path, make()))


@pytest.mark.parametrize("name", graphs.COSTLY)
def test_a_graph_without_measure_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 1.0)
    make, message = graphs.COSTLY[name]
    with pytest.raises(ModelError, match=message):
        Certifier(_bundle_of(tmp_path, make()))


def test_honest_ones_open(tmp_path: Path) -> None:
    """In both forms: what is refused above is not refused for being unusual."""
    for name in ("bundle", "bundle.zip"):
        _use(tiny_bundle(tmp_path / name).path)
