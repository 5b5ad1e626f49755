"""``compare A B``: which of two files certainly scores higher? Scripts read the exit status."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from ..bounds.alpha import COMPARED, equal_share
from ..results.log import build_log, to_json
from .options import add_decision_options, open_certifier, open_frames
from .outputs import check_outputs, decided_log, described, write_outputs
from .pages import Pages, add_page_options
from .progress import progress_bar

EXIT = {"a": 0, "b": 1, "undecided": 3}

_EXAMPLES = """examples:
  biqa compare enhanced.png original.png
  biqa compare new-encoder.mp4 old-encoder.mp4 --subsample 5 --json compare.json
  biqa compare new-encoder.mp4 old-encoder.mp4 --report compare.html

A scores higher if its certified lower bound is above the certified upper bound of B. That stays true if the frames of
both were changed within epsilon. Each file has half of alpha.
Samples are drawn until the answer is certain, at most --samples for each frame. Of videos the pooled scores are
compared: the frames of a video share its alpha, and each look at the scores reads the video again.

exit status: 0 A scores higher, 1 B does, 3 undecided, 2 an error."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="which of two files certainly scores higher? It takes as few samples as it can",
        description="Which of two files certainly scores higher? Samples are drawn until that is certain.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", type=Path, metavar="A", help="still or video file")
    parser.add_argument("b", type=Path, metavar="B", help="the other one")
    add_decision_options(parser)
    add_page_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    pages = Pages(options, files=2)
    check_outputs(options.json, *pages.names, inputs=[options.a, options.b, options.model, options.secret_file])
    started = time.monotonic()
    paths = options.a, options.b
    with progress_bar(options.quiet) as bar, open_certifier(options, bar) as certifier:
        clips = [open_frames(certifier, path, equal_share(certifier.alpha, COMPARED), options) for path in paths]
        bar.begin(f"{options.a.name}, {options.b.name}", sum(map(len, clips)), certifier.samples)
        made = certifier.compare(*clips, pool=options.pool, bound=options.bound)
    sides = made.a, made.b
    logs = [
        decided_log(path, options.subsample, clip, side, options.bound)
        for path, clip, side in zip(paths, clips, sides, strict=True)
    ]
    log = build_log(logs, time.monotonic() - started, made.to_dict())
    write_outputs({options.json: to_json(log)})
    for index, (clip, one) in enumerate(zip(clips, logs, strict=True)):
        pages.take(index, clip, one)
    pages.write(log, options.json)
    if not options.quiet and options.json != "-":
        for path, side in zip(paths, sides, strict=True):
            print(f"{path}: {described(side)}, α={made.share:g}")
    answer = {"a": f"{options.a} scores higher", "b": f"{options.b} scores higher"}.get(made.decision, "undecided")
    print(f"{certifier.sampler.name}: {answer}", file=sys.stderr)
    return EXIT[made.decision]
