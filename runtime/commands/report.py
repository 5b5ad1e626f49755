"""``report LOG``: the page and the figure of a log that was written before."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import BiqaError, ParameterError, RecordError
from ..results.log import read_log
from .options import recorded_frames
from .outputs import check_outputs
from .pages import Pages

_EXAMPLES = """examples:
  biqa report clip.json --out clip.html
  biqa report clip.json --input clip.mp4 --out clip.html --plot clip.svg
  biqa report compare.json --input new.mp4 --input old.mp4 --out compare.html

The page shows frames where the files are given, in the order of the log. Each frame that is shown has the SHA-256 that
was certified, or it is an error. The page says nothing about whether the log is true: biqa replay does."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "report",
        help="make the page to look at, or a figure, of a log",
        description="Make the page to look at, or a figure, of a log that certify, gate or compare --json wrote.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("log", type=Path, metavar="LOG", help="log written by certify, gate or compare --json")
    parser.add_argument(
        "--input", type=Path, action="append", default=[], metavar="FILE", help="a file of the log, in its order"
    )
    parser.add_argument("--out", dest="report", metavar="F", help="write the page: out.html")
    parser.add_argument("--plot", metavar="F", help="write a figure for a paper: .svg, .pdf or .png; takes matplotlib")
    parser.add_argument("--model", type=Path, help="bundle whose card is shown, if the log was made with it")
    parser.set_defaults(run=run, no_thumbnails=False)


def run(options: argparse.Namespace) -> int:
    if options.report is None and options.plot is None:
        raise ParameterError("give --out, --plot or both: where the page and the figure go")
    log = read_log(options.log)
    if options.input and len(options.input) != len(log["inputs"]):
        raise RecordError(f"the log holds {len(log['inputs'])} files, {len(options.input)} were given")
    pages = Pages(options, len(log["inputs"]))
    check_outputs(*pages.names, inputs=[options.log, *options.input, options.model])
    for index, path in enumerate(options.input):
        pages.take_again(log, index, recorded_frames(log["inputs"][index], path))
    try:
        pages.write(log, str(options.log))
    except BiqaError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise RecordError(f"{options.log} lacks what a page shows: {type(error).__name__} {error}") from None
    return 0
