"""``commit ROUND``: a secret for a round of a benchmark, and the commitment that is published before it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..audit.rounds import write_round

_EXAMPLES = """examples:
  biqa commit round.json --secret-file round.secret     # publish round.json now
  biqa certify entry.mp4 --secret-file round.secret --json entry.json
  biqa audit entry.json entry.mp4 --round round.json --secret-file round.secret     # once the secret is published

The secret goes to a new file that only its owner may read. It is never printed."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "commit",
        help="draw the secret of a benchmark's round, and write the commitment to publish before it",
        description="Draw the secret of a benchmark's round, and write the commitment to publish before it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("round", type=Path, metavar="ROUND", help="new file for the commitment, JSON, to be published")
    parser.add_argument("--secret-file", type=Path, required=True, help="new file for the secret, mode 0600")
    parser.add_argument("--name", help="of the round; default the name of its file")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    made = write_round(options.round, options.secret_file, options.name or options.round.stem)
    print(f"{options.round}: round {made.name!r} is committed to {made.commitment}")
    print(f"{options.secret_file}: its secret, for your eyes alone until the round has ended")
    return 0
