"""``biqa certify | gate | compare | plan | explain | report | replay | audit | commit | sign | doctor``, and others.

``python -m runtime`` is the same.
"""

from __future__ import annotations

import argparse
import sys

from .commands import audit, certify, commit, compare, doctor, explain, gate, plan, replay, report, sign
from .commands.exits import answered
from .commands.others import HELP, other_commands, run_other
from .commands.parser import Parser, program
from .version import __version__

_OWN = {
    "certify": certify,
    "gate": gate,
    "compare": compare,
    "plan": plan,
    "explain": explain,
    "replay": replay,
    "audit": audit,
    "commit": commit,
    "sign": sign,
    "report": report,
    "doctor": doctor,
}


def _parser(others: list[str]) -> Parser:
    parser = Parser(program("runtime"), description="Blind image quality scores with certified intervals.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for command in _OWN.values():
        command.add(subparsers)
    for name in others:
        subparsers.add_parser(name, help=HELP.get(name, "of another package"), add_help=False)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; see :func:`runtime.commands.exits.answered`."""
    words = sys.argv[1:] if arguments is None else arguments
    others = {} if words and words[0] in _OWN else other_commands()
    if words and words[0] in others:
        point = others[words[0]]
        return answered(argparse.Namespace(run=lambda _: run_other(point, words)))
    return answered(_parser(list(others)).parse_args(words))


if __name__ == "__main__":
    sys.exit(main())
