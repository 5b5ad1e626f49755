"""Markdown written by a script into a page written by people: only what stands between its two marks changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
DOCS = README.with_name("docs")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


def write_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- /name -->``. Raises ValueError without the marks."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    whole = page.read_text()
    if whole.count(start) != 1 or whole.count(end) != 1:
        raise ValueError(f"{page} needs the marks {start} and {end} once each")
    before, _, rest = whole.partition(start)
    page.write_text(f"{before}{start}\n{text}\n{end}{rest.partition(end)[2]}")
