"""``explain RECORD``: what a record promises and what it does not, in plain words."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..audit.reissue import Known, UnfitRecordError, reissue
from ..errors import RecordError
from ..results.differences import differences, name_of
from ..results.explain import explain, in_text
from ..results.log import read_log
from ..version import __version__

_EXAMPLES = """examples:
  biqa certify photo.png --json photo.json
  biqa explain photo.json

Records of certify, gate and compare are explained, also of models of tiles. A record that contradicts itself is not."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "explain",
        help="what a record promises and what it does not, in plain words",
        description="What a record promises and what it does not, in plain words.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("record", type=Path, metavar="RECORD", help="log written by certify, gate or compare --json")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    log = read_log(options.record)
    try:
        again = reissue(log, Known())
        wrong = differences(log, again) if log.get("version") == __version__ else []
    except UnfitRecordError as error:
        raise RecordError(f"{options.record} contradicts itself, and is not explained: {error}") from None
    if wrong:
        raise RecordError(
            f"{options.record} contradicts itself in {name_of(wrong[0])}, and is not explained: see `biqa audit`"
        )
    print(in_text(explain(again)))
    return 0
