"""``python -m runtime certify | gate | compare | plan | replay | doctor``."""

from __future__ import annotations

import argparse
import sys

from .commands import certify, compare, doctor, gate, plan, replay
from .commands.exits import answered
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
    """Run one command; see :func:`runtime.commands.exits.answered`."""
    return answered(_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
