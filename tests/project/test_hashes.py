"""docs/hashes.md names every shipped file as it is in the tree."""

from __future__ import annotations

from tests.support.shipped import ROOT, page, shipped


def test_the_page_is_that_of_the_tree() -> None:
    assert (ROOT / "docs" / "hashes.md").read_text() == page(), "a shipped file changed: make hashes"


def test_models_weights_and_kernels_are_among_them() -> None:
    suffixes = {path.suffix for path in shipped()}
    assert {".onnx", ".safetensors", ".cu", ".c", ".json", ".md"} <= suffixes
    assert not any("single" in path.parts for path in shipped())  # not in the wheel
