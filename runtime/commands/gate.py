"""``gate INPUT… --at-least T``: does the certified score reach a threshold? Scripts read the exit status."""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

from ..errors import ConversionError, FrameError, VideoError
from ..results.decisions import Gate
from ..results.log import InputLog, build_log, to_json
from .options import add_decision_options, open_certifier, open_frames
from .outputs import check_outputs, decided_log, described, write_outputs
from .pages import Pages, add_page_options
from .progress import progress_bar

SOME_FAILED = 4
EXIT = {"pass": 0, "fail": 1, "undecided": 3}

_EXAMPLES = """examples:
  biqa gate photo.png --at-least 60
  biqa gate clip.mp4 --at-least 60 --pool min --subsample 5
  biqa gate *.png --at-least 60 --json gate.json && echo all pass

pass: the certified lower bound is T or more, and so is the score of every frame within epsilon.
fail: the certified upper bound is below T, and so is the score of every frame within epsilon.
undecided: --samples samples do not decide it. More of them may.

Choose --samples before you ask. To ask again with another number is another answer, with an error of its own: for Q
answers give each of them alpha / Q. To ask again with another T, and all else the same, costs nothing.
Samples are drawn until the answer is certain: a clear case takes a tenth of them. The error is at most alpha,
wherever the drawing stops. Of a video the pooled score is meant: its frames share alpha, and each look reads the
video again. Of several files each has an alpha of its own. The error of all answers together is the sum, in the last
line.

A file among several that cannot be read is named in one line and left out. The log names it under "failed".

exit status: 0 all pass, 1 at least one fails, 4 none fails and at least one cannot be read, 3 all can be read and at
least one is undecided, 2 an error."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "gate",
        help="is the certified score at least T? It takes as few samples as it can",
        description="Is the certified score of each file at least T? Samples are drawn until that is certain.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="still or video file")
    parser.add_argument("--at-least", type=float, required=True, metavar="T", help="the score to reach")
    add_decision_options(parser)
    add_page_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    pages = Pages(options, len(options.inputs))
    check_outputs(options.json, *pages.names, inputs=[*options.inputs, options.model, options.secret_file])
    started = time.monotonic()
    logs: list[InputLog] = []
    gates: list[tuple[Path, Gate]] = []
    failed: list[dict[str, str]] = []
    with progress_bar(options.quiet) as bar, open_certifier(options, bar) as certifier:
        for path in options.inputs:
            try:
                frames = open_frames(certifier, path, certifier.alpha, options)
                bar.begin(path.name, len(frames), certifier.samples)
                gate = certifier.gate(frames, at_least=options.at_least, pool=options.pool, bound=options.bound)
            except (VideoError, FrameError, ConversionError) as error:
                if len(options.inputs) == 1:
                    raise
                failed.append({"path": str(path), "error": str(error)})
                print(f"error: {error}", file=sys.stderr)
                continue
            logs.append(decided_log(path, options.subsample, frames, gate.pooled, options.bound))
            logs[-1].decision = gate.to_dict()
            pages.take(len(logs) - 1, frames, logs[-1])
            gates.append((path, gate))
    if not gates:
        raise VideoError(f"none of the {len(failed)} files could be certified")
    log = build_log(logs, time.monotonic() - started, failed=failed)
    write_outputs({options.json: to_json(log)})
    pages.write(log, options.json)
    if not options.quiet and options.json != "-":
        for path, gate in gates:
            print(f"{path}: {gate.decision}  {described(gate.pooled)}, α={gate.alpha:g}")
    decisions = [gate.decision for _, gate in gates]
    counts = ", ".join(f"{decisions.count(name)} {name}" for name in EXIT if name in decisions)
    counts += f", {len(failed)} cannot be read" if failed else ""
    joint = min(1.0, math.fsum(gate.alpha for _, gate in gates))
    together = f"; α={joint:g} for all {len(gates)} files together" if len(gates) > 1 else ""
    print(f"{certifier.sampler.name} at least {options.at_least:g}: {counts}{together}", file=sys.stderr)
    if failed and "fail" not in decisions:
        return SOME_FAILED
    return next(EXIT[name] for name in ("fail", "undecided", "pass") if name in decisions)
