"""``eval "$(python -m bindings.gstreamer)"``: lets GStreamer find the element and the packages of this Python."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def environment() -> dict[str, str]:
    """GST_PLUGIN_PATH and PYTHONPATH, before what they are now; GStreamer's loader looks into ``python`` there."""
    packages = [str(HERE.parents[1]), str(Path(np.__file__).parents[1])]
    paths = {"GST_PLUGIN_PATH": [str(HERE)], "PYTHONPATH": list(dict.fromkeys(packages))}
    return {name: os.pathsep.join([*new, *filter(None, [os.environ.get(name)])]) for name, new in paths.items()}


def main() -> int:
    """Print the shell commands that set them."""
    for name, value in environment().items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
