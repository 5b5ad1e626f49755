"""A file or a folder that is there whole or not at all: written beside its place under another name, then moved to it.

A kill at any moment leaves what was there before, or all of what is new; what was half-written is hidden and has the
name of its place in its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import ParameterError

__all__ = ["whole_file", "whole_folder", "whole_place", "write_text"]


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """An open binary file that takes the place of ``path`` at the end of the block. Raises OSError.

    Where the block raises, ``path`` is as it was.
    """
    with whole_place(path) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def whole_place(path: Path) -> Iterator[Path]:
    """An empty file, to be written by its name, that takes the place of ``path`` at the end of the block."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(partial)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(partial)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder that takes the place of ``path`` at the end of the block. Raises OSError.

    Where the block raises, ``path`` is as it was.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        fresh.mkdir()
        yield fresh
        fresh.chmod(0o755)
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(fresh, path)
        except BaseException:
            if old.exists():
                os.replace(old, path)
            raise


def write_text(path: Path, text: str) -> None:
    """An output of a command, UTF-8. Raises ParameterError where it cannot be written."""
    try:
        with whole_file(path) as file:
            file.write(text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise ParameterError(f"{path} cannot be written: {error.strerror}: choose another place") from None
