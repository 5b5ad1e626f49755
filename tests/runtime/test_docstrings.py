"""Every public name has an example in its docstring, or in the package's, and what it prints is what it says."""

from __future__ import annotations

import doctest
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import runtime
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tile_bundle, tiny_bundle

NAMED_ONLY = ("__version__", "FileFrames", "Frame")
"""No docstring of their own to hold an example, or one that is shared with the file readers: the package's has it."""

EXEMPLIFIED = [name for name in runtime.__all__ if name not in NAMED_ONLY]


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What an example may take for granted.

    ``frame``: uint8 96×128×3. ``photo``, ``video``: paths of a still and of a clip. ``model``: path of a bundle whose
    score is the mean brightness. ``certifier``: of that bundle. ``tiled``: of the same in 16×16 tiles.
    """
    folder = tmp_path_factory.mktemp("examples")
    frame = photograph()[100:196, 200:328].copy()
    Image.fromarray(frame).save(folder / "photo.png")
    write_clip(folder / "video.mp4", frames=2)
    model = tiny_bundle(folder / "tiny").path
    tiles = tile_bundle(folder / "tiles").path
    with runtime.Certifier(model) as certifier, runtime.Certifier(tiles) as tiled:
        yield {
            "frame": frame,
            "photo": folder / "photo.png",
            "video": folder / "video.mp4",
            "model": model,
            "certifier": certifier,
            "tiled": tiled,
        }


def check(name: str, docstring: str, given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Run the examples of a docstring; what failed is the message."""
    text = docstring.replace("…", "...") if "Traceback" in docstring else docstring
    test = doctest.DocTestParser().get_doctest(text, dict(given), name, None, 0)
    assert test.examples, f"{name} has no example"
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", EXEMPLIFIED)
def test_every_public_name_has_an_example_that_runs(
    name: str, given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    check(name, inspect.getdoc(getattr(runtime, name)) or "", given, capsys)


def test_the_examples_of_the_package_run(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    check("runtime", runtime.__doc__ or "", given, capsys)
    for name in NAMED_ONLY:
        assert name in (runtime.__doc__ or ""), name


def test_an_example_that_is_wrong_fails(given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match="Expected"):
        check("wrong", ">>> frame.shape\n(1, 1, 3)\n", given, capsys)
    with pytest.raises(AssertionError, match="no example"):
        check("none", "No example.", given, capsys)


def test_examples_take_public_names() -> None:
    """But for :func:`read_log`, which shows how a RecordError comes about."""
    assert sys.modules["runtime"].__file__ is not None
    source = Path(sys.modules["runtime"].__file__).parent
    lines = [line.strip() for path in source.rglob("*.py") for line in path.read_text().splitlines()]
    taken = {line for line in lines if line.startswith((">>> from runtime", ">>> import runtime."))}
    assert taken <= {">>> from runtime.results.log import read_log"}
