"""``certify INPUT…``: pictures and videos in, certified scores out."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

from ..certificate import Certificate
from ..certifier import Certifier
from ..drawing import Picture
from ..errors import ParameterError
from ..inputs import Input
from ..keys import read_secret
from ..log import InputLog, build_log, frame_entry, pooled_metrics, to_csv, to_json, write_whole
from ..planes import MATRICES, RANGES
from ..pooling import pool
from ..ranks import SCOPES

MOST_SAMPLES = 10**9
"""More of them are a slip of the keyboard: the scores of one frame alone would take over 4 GB."""

_EXAMPLES = """examples:
  python -m runtime certify photo.png
  python -m runtime certify photo.png --tolerance 2
  python -m runtime certify clip.mp4 --subsample 5 --json clip.json
  head -c 32 /dev/urandom > secret
  python -m runtime certify clip.mp4 --secret-file secret --json clip.json

The frames of one file are claimed jointly: each gets alpha divided by their number. Several files are claimed each
for itself; the error of all of them together is the sum, joint_alpha at the top of the log."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "certify",
        help="score pictures and videos, each score with its certified interval",
        description="Score pictures and videos, each score with its certified interval.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="picture or video file")
    add_model_options(parser)
    add_claim_options(parser)
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="W",
        help="stop drawing samples for a frame once upper - lower is no more than W",
    )
    parser.add_argument("--json", metavar="F", help="write the log in libvmaf's shape; - for standard output")
    parser.add_argument("--csv", metavar="F", help="write a row a frame; - for standard output")
    parser.add_argument(
        "--ndjson", action="store_true", help="a JSON object a line on standard output as frames finish"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no table; the last line stays")
    parser.set_defaults(run=run)


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose and place the engine."""
    parser.add_argument("--model", type=Path, help="bundle (directory or .zip); default the one that ships")
    parser.add_argument("--device", default="cpu", help="cpu (default); never replaced silently")
    parser.add_argument("--threads", type=int, help="CPU threads of the engine; default all cores")


def add_claim_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is claimed, of which frames, with which noise."""
    parser.add_argument("--epsilon", type=float, help="L2 radius on the source RGB frame, values in [0,1]")
    parser.add_argument("--alpha", type=float, help="error of all the frames of a file together")
    parser.add_argument("--samples", type=int, help="noisy copies a frame, at most")
    parser.add_argument(
        "--scope", choices=SCOPES, default="smoothed", help="what the interval covers; default smoothed"
    )
    parser.add_argument(
        "--subsample", type=int, default=1, metavar="N", help="certify every N-th frame; prefer an odd N"
    )
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", type=Path, help="at least 16 random bytes, kept to replay the certificates")
    secret.add_argument("--public-seed", type=int, help="predictable noise, for tests only; marked in the record")
    parser.add_argument("--matrix", choices=MATRICES, help="override the video's colour matrix")
    parser.add_argument("--range", choices=RANGES, help="override the video's range")


def run(options: argparse.Namespace) -> int:
    check_outputs(options.json, options.csv, ndjson=options.ndjson)
    started = time.monotonic()
    logs: list[InputLog] = []
    with (
        progress_bar(options.quiet) as bar,
        open_certifier(options, bar) as certifier,
    ):
        for path in options.inputs:
            with Input(path, subsample=options.subsample, matrix=options.matrix, range=options.range) as source:
                logs.append(_certify(certifier, source, bar, len(logs), sum(len(log.frames) for log in logs), options))
    log = build_log(logs, time.monotonic() - started)
    outputs = {options.json: to_json(log), options.csv: to_csv(log)}
    write_outputs(outputs)
    if not options.quiet and not options.ndjson and "-" not in outputs:
        print(_table(logs))
    certificates = [certificate for one in logs for _, certificate in one.frames]
    print(final_line(certificates), file=sys.stderr)
    return 0


def open_certifier(options: argparse.Namespace, bar: Bar) -> Certifier:
    """The certifier that the options of ``add_model_options`` and ``add_claim_options`` ask for."""
    if options.samples is not None and options.samples > MOST_SAMPLES:
        raise ParameterError(f"samples is at most {MOST_SAMPLES}, not {options.samples}")
    secret = read_secret(options.secret_file) if options.secret_file else None
    return Certifier(
        options.model, device=options.device, epsilon=options.epsilon, alpha=options.alpha,
        samples=options.samples, scope=options.scope, secret=secret, public_seed=options.public_seed,
        threads=options.threads, progress=bar.drawn,
    )  # fmt: skip


def refuse_too_few(certifier: Certifier, path: Path, alpha: float, jointly: int) -> None:
    """Raise ParameterError, before any frame is scored, where α shared by M frames leaves no bound."""
    if reason := certifier.plan(alpha=alpha / jointly).reason:
        share = f"; alpha {alpha:g} is shared by {jointly} frames" if jointly > 1 else ""
        raise ParameterError(f"{path}: {reason}{share}")


def _certify(
    certifier: Certifier, source: Input, bar: Bar, index: int, before: int, options: argparse.Namespace
) -> InputLog:
    jointly = source.count
    refuse_too_few(certifier, source.path, certifier.alpha, jointly)
    log = InputLog(str(source.path), source.subsample, certifier.alpha)
    bar.begin(source.path.name, jointly, certifier.samples)
    numbers: list[int] = []

    def frames() -> Iterator[Picture]:
        for number, frame in source:
            numbers.append(number)
            yield frame

    for certificate in certifier.stream(frames(), jointly=jointly, tolerance=options.tolerance):
        log.frames.append((numbers[-1], certificate))
        if options.ndjson:
            entry = frame_entry(before + len(numbers) - 1, index, numbers[-1], certificate)
            print(json.dumps({"type": "frame", **entry}, allow_nan=False), flush=True)
    if options.ndjson:
        pooled = pooled_metrics([certificate for _, certificate in log.frames])
        print(json.dumps({"type": "input", "path": log.path, "pooled_metrics": pooled}, allow_nan=False), flush=True)
    return log


def check_outputs(*names: str | None, ndjson: bool = False) -> None:
    """Refuse outputs that cannot be written before any time is spent."""
    places = [name if name == "-" else os.path.abspath(name) for name in names if name is not None]
    if len(places) != len(set(places)) or ("-" in places and ndjson):
        raise ParameterError("two outputs go to the same place: give --json, --csv and --ndjson different ones")
    for name in names:
        if name is not None and name != "-":
            _check_output(name)


def _check_output(name: str) -> None:
    path = Path(name)
    if not path.parent.is_dir():
        raise ParameterError(f"{name}: its folder does not exist: make it first")
    if path.is_dir():
        raise ParameterError(f'{name!r} is a directory: give the name of a file, or "-" for standard output')
    if path.is_symlink() or (path.exists() and not path.is_file()):  # a link would be replaced: /dev/stdout is one
        raise ParameterError(
            f'{name} is a link or not a regular file: give the name of one, or "-" for standard output'
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ParameterError(f"{name}: its folder {path.parent} is not writable: choose another one")


def write_outputs(outputs: Mapping[str | None, str]) -> None:
    """Each text to its file or, for "-", to standard output; None is nowhere."""
    for name, text in outputs.items():
        if name == "-":
            sys.stdout.write(text)
        elif name is not None:
            write_whole(Path(name), text)


def printed_interval(lower: float, upper: float, decimals: int) -> str:
    """Rounded outwards, so that what is printed is certified too."""
    return f"[{_rounded(lower, decimals, ROUND_FLOOR)}, {_rounded(upper, decimals, ROUND_CEILING)}]"


def _rounded(value: float, decimals: int, way: str) -> str:
    return str(Decimal(value).quantize(Decimal(1).scaleb(-decimals), way)) if math.isfinite(value) else str(value)


def _table(logs: list[InputLog]) -> str:
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


class Bar:
    """Progress in samples on standard error, only on a terminal and with tqdm installed."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None

    def begin(self, name: str, frames: int, samples: int) -> None:
        """Start the bar of one file."""
        self.close()
        if self._shown:
            from tqdm import tqdm

            self._bar = tqdm(total=frames * samples, desc=name, unit="sample", leave=False)

    def drawn(self, count: int) -> None:
        """``count`` more samples are done."""
        if self._bar is not None:
            self._bar.update(count)

    def close(self) -> None:
        """Take the bar off the screen."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Bar]:
    """A bar that is cleared whatever happens."""
    bar = Bar(not quiet and sys.stderr.isatty() and _has_tqdm())
    try:
        yield bar
    finally:
        bar.close()


def _has_tqdm() -> bool:
    from importlib.util import find_spec

    return find_spec("tqdm") is not None
