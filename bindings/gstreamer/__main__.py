"""``eval "$(python -m bindings.gstreamer)"``: lets GStreamer find the element and the packages of this Python."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from runtime import DependencyError
from runtime.commands import Parser, answered

HERE = Path(__file__).parent
_SYSTEM = "/usr/bin/python3"
_ASK = "import gi, os, sys; print('%d.%d' % sys.version_info[:2]); print(os.path.dirname(os.path.dirname(gi.__file__)))"


def environment() -> dict[str, str]:
    """GST_PLUGIN_PATH and PYTHONPATH, before what they are now; GStreamer's loader looks into ``python`` there.

    In an active virtual environment the loader's Python takes that one's packages and no longer sees the system's,
    where gi is. Raises DependencyError where there is no gi, or one for another Python.
    """
    packages = [str(HERE.parents[1]), str(Path(np.__file__).parents[1])]
    if find_spec("gi") is None:
        packages.append(_system_packages())
    paths = {"GST_PLUGIN_PATH": [str(HERE)], "PYTHONPATH": list(dict.fromkeys(packages))}
    return {name: os.pathsep.join([*new, *filter(None, [os.environ.get(name)])]) for name, new in paths.items()}


def _system_packages() -> str:
    """Where the system's Python has gi."""
    install = "install GStreamer's bindings for Python (Debian: python3-gst-1.0)"
    try:
        done = subprocess.run([_SYSTEM, "-I", "-c", _ASK], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise DependencyError(f"neither this Python nor {_SYSTEM} has gi: {install}") from None
    version, folder = done.stdout.splitlines()
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if version != ours:
        raise DependencyError(
            f"GStreamer runs elements in Python {version}, and this is {ours}: install the package for "
            "that Python and use it"
        )
    return folder


def run(options: argparse.Namespace) -> int:
    """Print the shell commands that set them."""
    for name, value in environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command; see :func:`runtime.commands.exits.answered`."""
    parser = Parser("python -m bindings.gstreamer", description=__doc__)
    parser.set_defaults(run=run)
    return answered(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
