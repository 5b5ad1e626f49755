"""The bundle of tiles that ships: found by its name, the committed weights, small, and its commands work at once."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import export
from export.networks.catalogue import TILE_CARD, TILE_METRIC
from runtime.__main__ import main
from runtime.bundle.manifest import Defaults
from runtime.bundle.store import SHIPPED, open_bundle
from tests.support.clips import photograph

MOST = 2.5e6
"""Bytes that it may take of the package."""


def test_it_verifies_from_the_catalogue_alone() -> None:
    bundle = open_bundle("tiles")
    parity = export.verify(bundle)
    assert parity is not None
    assert max(parity.score_difference, bundle.manifest.parity["fp32"].score_difference) < 1e-3
    assert (bundle.manifest.input.tile, bundle.manifest.score.range) == (64, (0.0, 100.0))


def test_it_is_small_and_has_its_card() -> None:
    files = list((SHIPPED / "tiles").iterdir())
    assert sum(file.stat().st_size for file in files) <= MOST
    assert (SHIPPED / "tiles" / "MODEL_CARD.md").read_bytes() == TILE_CARD.read_bytes()


@pytest.mark.long
def test_it_is_the_committed_weights_built(tmp_path: Path) -> None:
    shipped = open_bundle("tiles")
    for package, made_with in shipped.manifest.made_with.items():
        if version(package) != made_with:
            pytest.skip(f"the shipped graph was made with {package} {made_with}, here is {version(package)}")
    defaults = Defaults(epsilon=0.5, alpha=0.001, samples=501)
    rebuilt = export.build(
        TILE_METRIC, sigma=0.25, tile=64, half_weights=True, defaults=defaults, name="tiles", out=tmp_path / "tiles"
    )
    assert rebuilt.digest == shipped.digest
    assert rebuilt.manifest.to_json() == shipped.manifest.to_json()


def test_the_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.ascontiguousarray(photograph()[:160, :200])).save("photo.png")
    log = ["--samples", "101", "--json", "log.json"]
    for asked, said in (
        ([], {"epsilon": 0.5}),
        (["--levels", "0.5"], {"levels": 0.5}),
        (["--levels", "0.5", "--patch", "64x64"], {"levels": 0.5, "patch": [64, 64]}),
    ):
        assert main(["certify", "photo.png", "--model", "tiles", *asked, *log]) == 0
        made = json.loads(Path("log.json").read_text())
        certificate = {**made["inputs"][0]["certificate"], **made["frames"][0]["certificate"]}
        assert certificate["tampering"] == said
        assert len(certificate["map"]["median"]) == 4
    gate = ["gate", "photo.png", "--at-least", "1", "--model", "tiles", "--levels", "0.5", "--samples", "101"]
    assert main(gate) == 0
    assert "pass" in capsys.readouterr().out
