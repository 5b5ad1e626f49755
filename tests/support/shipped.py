"""docs/hashes.md: every file of the wheel that is data or C code, with its SHA-256. ``make hashes`` prints it."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

HEAD = """\
# Hashes of what ships

SHA-256 of every file in the wheel that is not Python: models, weights, kernels, C sources, the page. Written by
`make hashes`; a test compares them with the tree. The wheel's own `RECORD` has those of its Python files. To compare
an installed package: `sha256sum` in its folder.

| file | bytes | SHA-256 |
| --- | --- | --- |
"""


def shipped() -> list[Path]:
    """What ``package-data`` of pyproject.toml names, in order of names."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    found = {path for package, globs in data.items() for glob in globs for path in (ROOT / package).glob(glob)}
    return sorted(path for path in found if path.is_file())


def page() -> str:
    """The Markdown."""
    rows = []
    for path in shipped():
        content = path.read_bytes()
        rows.append(f"| {path.relative_to(ROOT)} | {len(content)} | `{hashlib.sha256(content).hexdigest()}` |\n")
    return HEAD + "".join(rows)
