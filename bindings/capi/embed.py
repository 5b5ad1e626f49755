"""``python embed.py``: the variables of the Makefile for embedding this very Python, a line each.

Needs its header and its shared library, or exits with status 1 and one message on standard error.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path


def variables() -> dict[str, str]:
    """PYTHON_EXECUTABLE, PYTHON_INCLUDE, PYTHON_LIBDIR and PYTHON_LIBRARY. Raises FileNotFoundError."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    include = Path(sysconfig.get_path("include"))
    libdir = Path(sysconfig.get_config_var("LIBDIR") or "/nonexistent")
    library = sysconfig.get_config_var("LDLIBRARY") or ""
    if not (include / "Python.h").is_file():
        raise FileNotFoundError(f"{sys.executable}: there is no {include}/Python.h: apt install python{version}-dev")
    if not library.endswith(".so"):
        raise FileNotFoundError(
            f"{sys.executable} has no shared libpython to embed: take one that has (make PYTHON=/usr/bin/python3), or "
            "build it with --enable-shared (pyenv: PYTHON_CONFIGURE_OPTS=--enable-shared)"
        )
    found = [
        place for place in (libdir, libdir / str(sysconfig.get_config_var("MULTIARCH"))) if (place / library).exists()
    ]
    if not found:
        raise FileNotFoundError(f"{sys.executable}: there is no {libdir}/{library}: apt install libpython{version}-dev")
    return {
        "PYTHON_EXECUTABLE": sys.executable,
        "PYTHON_INCLUDE": str(include),
        "PYTHON_LIBDIR": str(found[0]),
        "PYTHON_LIBRARY": library.removeprefix("lib").removesuffix(".so"),
    }


if __name__ == "__main__":
    try:
        for name, value in variables().items():
            print(f"{name} := {value}")
    except FileNotFoundError as error:
        sys.exit(str(error))
