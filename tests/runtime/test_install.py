"""The line that installs an extra: from an installed distribution and from a checkout, the same packages."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from runtime import install
from runtime.install import packages, pip_install

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

REQUIRED = [
    "numpy>=2.0",
    'av>=17; extra == "video"',
    'pillow>=11; extra == "video"',
    'cuda-bindings>=13; sys_platform != "darwin" and extra == "kernels"',
    'tensorrt-rtx-cu13-libs>=1.7; extra == "rtx"',
    'pycuda>=2025.1; extra == "tensorrt"',
    'stochastic-biqa[kernels]; extra == "tensorrt"',
    'stochastic-biqa[rtx]; extra == "tensorrt"',
]


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    install._extras.cache_clear()
    yield
    install._extras.cache_clear()


def test_the_installed_distribution_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: REQUIRED)
    assert pip_install("video") == "pip install 'av>=17' 'pillow>=11'"
    assert pip_install("video", "pillow") == "pip install 'pillow>=11'"
    assert packages("kernels") == ("cuda-bindings>=13",)
    assert packages("tensorrt") == ("pycuda>=2025.1", "cuda-bindings>=13", "tensorrt-rtx-cu13-libs>=1.7")
    with pytest.raises(KeyError):
        packages("nothing")


def test_else_the_checkout_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert pip_install("video") == "pip install " + " ".join(f"'{package}'" for package in EXTRAS["video"])
    for extra in EXTRAS:
        assert packages(extra)
        assert not any("stochastic-biqa" in package or ";" in package for package in packages(extra))
    assert {"pycuda>=2025.1", "tensorrt-rtx-cu13-libs>=1.7"} < set(packages("tensorrt"))


def test_no_advice_names_what_is_not_on_an_index() -> None:
    """A package of our own with an extra is on no index."""
    for package in ("runtime", "export", "training", "bindings"):
        for path in (ROOT / package).rglob("*.[pch]*"):
            if path.suffix in (".py", ".c", ".h"):
                assert "pip install 'stochastic-biqa" not in path.read_text().replace("``pip install", ""), path
