"""``certify INPUT…``: files in, a certified score for each frame out."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..certifier import Certifier
from ..errors import ConversionError, FrameError, VideoError
from ..results.certificate import Certificate
from ..results.log import (
    InputLog,
    build_log,
    first_number,
    frame_entry,
    mean_over,
    pooled_metrics,
    to_csv,
    to_json,
)
from ..results.pooled import ONE_FRAME
from .options import (
    add_claim_options,
    add_file_options,
    add_log_options,
    add_model_options,
    open_certifier,
    open_frames,
)
from .outputs import check_outputs, printed_interval, write_outputs
from .progress import Bar, progress_bar

_EXAMPLES = """examples:
  biqa certify photo.png
  biqa certify photo.png --tolerance 2
  biqa certify clip.mp4 --subsample 5 --json clip.json
  biqa certify photo.png --model tiles --levels 1 --patch 64x64
  head -c 32 /dev/urandom > secret
  biqa certify clip.mp4 --secret-file secret --json clip.json

The frames of one file are claimed together: each gets alpha divided by their number. Of several files each has an
alpha of its own. The error of all files together is the sum, joint_alpha at the top of the log.

A file among several that cannot be read is named in one line and left out. The others are certified and written, and
the log names it under "failed". The input - is a still from standard input.

exit status: 0 done, 4 some files failed and the others are written, 2 an error: one line says which, and no file is
written."""

SOME_FAILED = 4


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "certify",
        help="score the frames of stills and videos, each score with its certified interval",
        description="Score the frames of stills and videos, each score with its certified interval.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="still or video file, or - for a still from standard input",
    )
    add_model_options(parser)
    add_claim_options(parser)
    add_file_options(parser)
    add_log_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    inputs = [*options.inputs, options.model, options.secret_file]
    check_outputs(options.json, options.csv, inputs=inputs, ndjson=options.ndjson)
    started = time.monotonic()
    logs: list[InputLog] = []
    failed: list[dict[str, str]] = []
    with (
        progress_bar(options.quiet) as bar,
        open_certifier(options, bar) as certifier,
    ):
        for path in options.inputs:
            try:
                logs.append(_certify(certifier, path, bar, len(logs), first_number(logs), options))
            except (VideoError, FrameError, ConversionError) as error:
                if len(options.inputs) == 1:
                    raise
                failed.append({"path": str(path), "error": str(error)})
                print(f"error: {error}", file=sys.stderr)
                if options.ndjson:
                    print(json.dumps({"type": "failed", **failed[-1]}), flush=True)
    if not logs:
        raise VideoError(f"none of the {len(failed)} files could be certified")
    log = build_log(logs, time.monotonic() - started, failed=failed)
    outputs = {options.json: to_json(log), options.csv: to_csv(log)}
    write_outputs(outputs)
    if not options.quiet and not options.ndjson and "-" not in outputs:
        print(table(logs))
    print(final_line(logs), file=sys.stderr)
    return SOME_FAILED if failed else 0


def _certify(
    certifier: Certifier, path: Path, bar: Bar, index: int, first: int, options: argparse.Namespace
) -> InputLog:
    frames = open_frames(certifier, path, certifier.alpha, options)
    log = InputLog(str(path), options.subsample, certifier.alpha, bound=options.bound)
    alone = options.tolerance is not None
    bar.begin(path.name, len(frames), certifier.clip_samples(len(frames), bound=options.bound, alone=alone))
    certificates = certifier.stream(frames, jointly=len(frames), tolerance=options.tolerance, bound=options.bound)
    for number, certificate in zip(frames.numbers, certificates, strict=True):
        log.frames.append((number, certificate))
        if options.ndjson:
            entry = frame_entry(first + number, index, number, certificate)
            print(json.dumps({"type": "frame", **entry}, allow_nan=False), flush=True)
    if options.ndjson:
        pooled = pooled_metrics(log.pools())
        print(json.dumps({"type": "input", "path": log.path, "pooled_metrics": pooled}, allow_nan=False), flush=True)
    return log


def table(logs: Sequence[InputLog]) -> str:
    """A line a file: its score or mean score, the interval and what it means."""
    lines = []
    for log in logs:
        mean = log.pools()["mean"]
        how = _how(log.certificates, mean.alpha, "" if mean.bound == ONE_FRAME else f", {mean.bound}")
        lines.append(f"{log.path}: {_interval(mean.score, mean.lower, mean.upper, 4)}  ({how})")
    if len(logs) > 1:
        together = [certificate for log in logs for certificate in log.certificates]
        how = _how(together, min(1.0, math.fsum(log.alpha for log in logs)), "")
        lines.append(f"all {len(logs)} files: {_interval(*mean_over(logs), 4)}  ({how})")
    return "\n".join(lines)


def _how(certificates: Sequence[Certificate], alpha: float, bound: str) -> str:
    first, count = certificates[0], len(certificates)
    what = "" if count == 1 else f"mean of {count} frames, "
    return f"{what}{first.tampering_label}, α={alpha:g}, {_samples(certificates)}, {first.scope}{bound}"


def _samples(certificates: Sequence[Certificate]) -> str:
    """ "n=501", or of stopped ones their number or, of several frames, its mean: "n=56 of 501"."""
    asked = sum(certificate.samples for certificate in certificates) / len(certificates)
    drawn = sum(certificate.drawn for certificate in certificates) / len(certificates)
    return f"n={asked:.4g}" if drawn == asked else f"n={drawn:.4g} of {asked:.4g}"


def final_line(logs: Sequence[InputLog]) -> str:
    """``<model> score: 76.668905 [75.900000, 77.400000]``: the mean over all frames, for tools that read one line."""
    return f"{logs[0].certificates[0].provenance.model} score: {_interval(*mean_over(logs), 6)}"


def _interval(score: float, lower: float, upper: float, decimals: int) -> str:
    return f"{score:.{decimals}f} {printed_interval(lower, upper, decimals)}"
