"""``python -m runtime certify | gate | compare | plan | replay | doctor``."""

from __future__ import annotations

import argparse
import sys

from .commands import certify, compare, doctor, gate, plan, replay
from .errors import BiqaError
from .version import __version__


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m runtime", description="Blind image quality scores with certified intervals."
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in (certify, gate, compare, plan, replay, doctor):
        command.add(subparsers)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Exit status 0 done, 1 a negative finding, 2 an error told in one line, 3 undecided, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except BiqaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: nothing was written", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
