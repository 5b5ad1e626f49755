"""``certify INPUT…``: pictures and videos in, certified scores out."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from ..bounds.pooling import pool
from ..certifier import Certifier
from ..errors import ConversionError, FrameError, VideoError
from ..results.certificate import Certificate
from ..results.log import InputLog, build_log, first_number, frame_entry, pooled_metrics, to_csv, to_json
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
  python -m runtime certify photo.png
  python -m runtime certify photo.png --tolerance 2
  python -m runtime certify clip.mp4 --subsample 5 --json clip.json
  head -c 32 /dev/urandom > secret
  python -m runtime certify clip.mp4 --secret-file secret --json clip.json

The frames of one file are claimed jointly: each gets alpha divided by their number. Several files are claimed each
for itself; the error of all of them together is the sum, joint_alpha at the top of the log.

A file that cannot be read among several is told in one line and left out; the others are certified and written, and
the log names it under "failed". The input - is a picture from standard input.

exit status: 0 done, 4 some files failed and the others are written, 2 an error told in one line, and then no file is
written."""

SOME_FAILED = 4


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "certify",
        help="score pictures and videos, each score with its certified interval",
        description="Score pictures and videos, each score with its certified interval.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="picture or video file, or - for a picture from standard input",
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
    certificates = [certificate for one in logs for _, certificate in one.frames]
    print(final_line(certificates), file=sys.stderr)
    return SOME_FAILED if failed else 0


def _certify(
    certifier: Certifier, path: Path, bar: Bar, index: int, first: int, options: argparse.Namespace
) -> InputLog:
    frames = open_frames(certifier, path, certifier.alpha, options)
    log = InputLog(str(path), options.subsample, certifier.alpha)
    bar.begin(path.name, len(frames), certifier.samples)
    certificates = certifier.stream(frames, jointly=len(frames), tolerance=options.tolerance)
    for number, certificate in zip(frames.numbers, certificates, strict=True):
        log.frames.append((number, certificate))
        if options.ndjson:
            entry = frame_entry(first + number, index, number, certificate)
            print(json.dumps({"type": "frame", **entry}, allow_nan=False), flush=True)
    if options.ndjson:
        pooled = pooled_metrics([certificate for _, certificate in log.frames])
        print(json.dumps({"type": "input", "path": log.path, "pooled_metrics": pooled}, allow_nan=False), flush=True)
    return log


def table(logs: list[InputLog]) -> str:
    """A line a file: its score or mean score, the interval and what it means."""
    rows = [(log.path, [certificate for _, certificate in log.frames], log.joint_alpha) for log in logs]
    if len(logs) > 1:
        together = [certificate for _, certificates, _ in rows for certificate in certificates]
        rows.append((f"all {len(logs)} files", together, min(1.0, sum(alpha for _, _, alpha in rows))))
    lines = []
    for name, certificates, alpha in rows:
        first, count = certificates[0], len(certificates)
        what = "" if count == 1 else f"mean of {count} frames, "
        how = f"{what}ε={first.epsilon:g}, α={alpha:g}, {_samples(certificates)}, {first.scope}"
        lines.append(f"{name}: {_mean(certificates, 4)}  ({how})")
    return "\n".join(lines)


def _samples(certificates: list[Certificate]) -> str:
    """ "n=501", or of stopped ones their number or, of several frames, its mean: "n=56 of 501"."""
    asked = certificates[0].samples
    drawn = sum(certificate.drawn for certificate in certificates) / len(certificates)
    return f"n={asked}" if drawn == asked else f"n={drawn:.4g} of {asked}"


def final_line(certificates: list[Certificate]) -> str:
    """``<model> score: 76.668905 [75.900000, 77.400000]``: the mean over all frames, for tools that read one line."""
    return f"{certificates[0].provenance.model} score: {_mean(certificates, 6)}"


def _mean(certificates: list[Certificate], decimals: int) -> str:
    """The mean score and its interval."""
    mean = {side: pool([getattr(c, side) for c in certificates])["mean"] for side in ("score", "lower", "upper")}
    return f"{mean['score']:.{decimals}f} {printed_interval(mean['lower'], mean['upper'], decimals)}"
