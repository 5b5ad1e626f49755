"""Names of files inside a bundle: the same file on every system, inside the bundle, and never a program or a pickle."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 200
"""Characters: longer ones do not unpack everywhere."""

MOST_FILES = 1000

_PLAIN = re.compile(r"[^\x00-\x1f\x7f\"*:<>?\\|]+")
_DEVICES = re.compile(r"(?i)(aux|con|nul|prn|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)")
_RUNS = frozenset(
    (
        ".bat", ".bin", ".cmd", ".com", ".dll", ".dylib", ".exe", ".joblib", ".js", ".npy", ".npz", ".pickle", ".pkl",
        ".ps1", ".pt", ".pth", ".py", ".pyc", ".sh", ".so",
    )
)  # fmt: skip


def why_not(name: object) -> str | None:
    """Why a name is none for a file of a bundle; None where it is one."""
    if not isinstance(name, str) or not name:
        return "is not a plain relative path"
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or not _PLAIN.fullmatch(name):
        return "is not a plain relative path"
    if len(name) > LONGEST or unicodedata.normalize("NFC", name) != name:
        return f"is not a plain relative path: over {LONGEST} characters, or not in Unicode's form C"
    if any(part.endswith((".", " ")) or part.startswith(" ") or _DEVICES.match(part) for part in path.parts):
        return "is not a plain relative path: Windows takes it for a device, or for another name"
    if path.suffix.lower() in _RUNS:
        return "is a program or a pickle by its name: a bundle holds graphs, compiled plans and text"
    return None


def clashing(names: Iterable[str]) -> str | None:
    """The first name that a system without upper and lower case takes for another, or for a folder of another."""
    seen: dict[str, str] = {}
    listed = list(names)
    for name in listed:
        folded = unicodedata.normalize("NFC", name.casefold())
        if folded in seen:
            return name
        seen[folded] = name
    for name in listed:
        if any(unicodedata.normalize("NFC", str(folder).casefold()) in seen for folder in PurePosixPath(name).parents):
            return name
    return None
