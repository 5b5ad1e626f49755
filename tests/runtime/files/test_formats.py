"""The page about files is what the table says, and the table is what Pillow can be asked for."""

from __future__ import annotations

from pathlib import Path

from runtime.files.formats import FORMATS, NO_STILLS, page
from runtime.files.pillow import load_pillow

ROOT = Path(__file__).parents[3]


def test_the_page_is_printed_from_the_table() -> None:
    assert (ROOT / "docs" / "formats.md").read_text() == page(), "run make formats"


def test_every_format_has_a_reader() -> None:
    known = {
        *load_pillow().OPEN,
        "MPO",
        "JXL",
    }  # an MPO is opened as a JPEG; the reader of JPEG XL is for the user to add
    assert set(FORMATS) <= known
    assert not NO_STILLS & set(FORMATS)
