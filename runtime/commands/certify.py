"""``certify INPUT…``: files, folders and patterns in, a certified score for each frame out.

A job of many hours keeps a journal (commands/journal.py), and goes on with it after a kill, a full disk or Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from ..certifier import Certifier
from ..errors import ConversionError, FrameError, ModelError, ParameterError, RecordError, VideoError
from ..files.file_frames import STANDARD_INPUT
from ..files.listing import listed
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
from ..results.parquet import need_pyarrow, write_parquet
from ..results.pooled import ONE_FRAME
from ..version import __version__
from .journal import Journal, Known, fingerprint
from .options import (
    add_claim_options,
    add_file_options,
    add_log_options,
    add_model_options,
    open_certifier,
    open_frames,
)
from .outputs import check_outputs, printed_interval, write_outputs
from .pages import Pages, add_page_options
from .progress import Bar, progress_bar

_EXAMPLES = """examples:
  biqa certify photo.png
  biqa certify photo.png --tolerance 2
  biqa certify clip.mp4 --subsample 5 --json clip.json
  biqa certify clip.mp4 --report clip.html
  biqa certify photos/ 'clips/**/*.mp4' --csv scores.csv
  find . -name '*.mkv' | biqa certify --files-from - --parquet scores.parquet
  biqa certify photo.png --model tiles --levels 1 --patch 64x64
  head -c 32 /dev/urandom > secret
  biqa certify clip.mp4 --secret-file secret --json clip.json
  biqa certify archive/ --secret-file secret --out-dir scores
  biqa certify archive/ --secret-file secret --out-dir scores --resume

A folder stands for the stills and videos below it, told by their suffixes, in natural order; a pattern for what it
matches. The input - is a still from standard input.

The frames of one file are claimed together: each gets alpha divided by their number. Of several files each has an
alpha of its own: what is said of one file holds for that file. The error of all files together is the sum, joint_alpha
at the top of the log. For N files that are to hold all at once except with probability A, ask for --alpha A/(2N).

A file among several that cannot be read or scored is named in one line and left out. The others are certified and
written, and the log names it under "failed", the table in a row with its error.

With --journal or --out-dir each frame is kept as it finishes. After a kill, a full disk or Ctrl-C the same command with
--resume goes on: nothing is scored twice, and the log is that of a run that was never stopped. It takes the same
--secret-file; parameters, model or inputs that changed are refused.

exit status: 0 done, 4 some files failed and the others are written, 130 interrupted, 2 an error: one line says which,
and no file is written but the journal."""

SOME_FAILED = 4
NAMES = {"journal": "journal.ndjson", "json": "log.json", "csv": "log.csv"}
"""What ``--out-dir`` holds."""


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
        nargs="*",
        type=Path,
        metavar="INPUT",
        help="still or video, a folder of them, a pattern, or - for a still from standard input",
    )
    parser.add_argument(
        "--files-from",
        type=Path,
        action="append",
        default=[],
        metavar="LIST",
        help="further inputs, a line each; - for standard input",
    )
    add_model_options(parser)
    add_claim_options(parser)
    add_file_options(parser)
    add_log_options(parser)
    parser.add_argument("--parquet", metavar="F", help="write a Parquet file, a row for each frame")
    parser.add_argument("--journal", metavar="F", help="keep each frame as it finishes, a line of JSON each")
    parser.add_argument(
        "--out-dir",
        type=Path,
        metavar="DIR",
        help=f"make this folder, with {', '.join(NAMES.values())}",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the journal, where there is one")
    add_page_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    paths = listed(options.inputs, options.files_from)
    _place_outputs(options, paths)
    pages = Pages(options, len(paths))
    started = time.monotonic()
    with (
        progress_bar(options.quiet) as bar,
        open_certifier(options, bar) as certifier,
        _open_journal(options, certifier, paths) as journal,
    ):
        try:
            job = Job(options, certifier, bar, journal, pages)
            bar.plan([_size(path) for path in paths] if len(paths) > 1 else [])
            for file, path in enumerate(paths):
                job.certify(file, path, alone=len(paths) == 1)
            if journal:
                journal.finish()
        except KeyboardInterrupt:
            if journal is None:
                raise
            bar.close()
            print(
                f"interrupted: {journal.path} keeps {journal.frames} frames, and --resume goes on with them",
                file=sys.stderr,
            )
            return 130
        seconds = journal.seconds if journal else time.monotonic() - started
    if not job.logs:
        raise VideoError(f"none of the {len(job.failed)} files could be certified")
    log = build_log(job.logs, seconds, failed=job.failed)
    outputs = {options.json: to_json(log), options.csv: to_csv(log)}
    write_outputs(outputs)
    if options.parquet:
        write_parquet(log, Path(options.parquet))
    pages.write(log, options.json)
    if not options.quiet and not options.ndjson and "-" not in outputs:
        print(table(job.logs))
    print(final_line(job.logs), file=sys.stderr)
    return SOME_FAILED if job.failed else 0


class Job:
    """The files of a run: ``logs`` of those that are certified, ``failed`` with path and error of the others."""

    def __init__(
        self, options: argparse.Namespace, certifier: Certifier, bar: Bar, journal: Journal | None, pages: Pages
    ) -> None:
        self._options, self._certifier, self._bar, self._journal = options, certifier, bar, journal
        self._pages = pages
        self.logs: list[InputLog] = []
        self.failed: list[dict[str, str]] = []

    def certify(self, file: int, path: Path, *, alone: bool) -> None:
        """Certify a file, number ``file`` of the job. ``alone``: its error is the job's."""
        known = self._journal.known(file) if self._journal else Known()
        if known.failed is not None:
            self._fail(file, path, known.failed, known)
            return
        try:
            log = self._certified(file, path, known)
        except (VideoError, FrameError, ConversionError, ModelError) as error:
            if alone:
                raise
            self._fail(file, path, str(error), known)
            return
        self.logs.append(log)
        ended = {"type": "input", "path": log.path, "pooled_metrics": pooled_metrics(log.pools())}
        self._tell(ended)
        if self._journal and not known.ended:
            self._journal.end(file, {**ended, "frames": len(log.frames)})

    def _certified(self, file: int, path: Path, known: Known) -> InputLog:
        options, certifier, bar = self._options, self._certifier, self._bar
        frames = open_frames(certifier, path, certifier.alpha, options)
        log = InputLog(str(path), options.subsample, certifier.alpha, bound=options.bound)
        before = list(known.frames)
        alone = options.tolerance is not None
        bar.file(file, len(before) / len(frames))
        samples = certifier.clip_samples(len(frames), bound=options.bound, alone=alone)
        bar.begin(path.name, max(0, len(frames) - len(before)), samples)
        certificates = certifier.stream(
            frames,
            jointly=len(frames),
            tolerance=options.tolerance,
            bound=options.bound,
            recorded=known.scores,
        )
        first, index = first_number(self.logs), len(self.logs)
        for place, (number, certificate) in enumerate(zip(frames.numbers, certificates, strict=True)):
            log.frames.append((number, certificate))
            entry = frame_entry(first + number, index, number, certificate)
            self._tell({"type": "frame", **entry})
            if self._journal is None:
                continue
            if place >= len(before):
                self._journal.frame(file, entry, certificate)
            elif before[place] != (number, certificate.scores_sha256):
                raise RecordError(f"{path} frame {number} is not the frame of {self._journal.path}: begin anew")
        self._pages.take(index, frames, log)
        return log

    def _fail(self, file: int, path: Path, error: str, known: Known) -> None:
        self._bar.file(file, 1.0)
        self.failed.append({"path": str(path), "error": error})
        print(f"error: {error}", file=sys.stderr)
        self._tell({"type": "failed", **self.failed[-1]})
        if self._journal and not known.ended:
            self._journal.end(file, {"type": "failed", **self.failed[-1]})

    def _tell(self, row: dict[str, Any]) -> None:
        if self._options.ndjson:
            print(json.dumps(row, allow_nan=False), flush=True)


def _place_outputs(options: argparse.Namespace, paths: Sequence[Path]) -> None:
    """Where everything goes: names in ``--out-dir`` where no other was given. Refused before any time is spent."""
    if options.out_dir is not None:
        for kind, name in NAMES.items():
            if getattr(options, kind) is None:
                setattr(options, kind, str(options.out_dir / name))
        _make_folder(options.out_dir)
    if options.resume and options.journal is None:
        raise ParameterError(
            "--resume goes on with a journal: give the --journal or the --out-dir that the job began with"
        )
    if options.parquet:
        need_pyarrow()
    if "-" in (options.parquet, options.journal):
        raise ParameterError("--parquet and --journal take the name of a file; --ndjson writes to standard output")
    inputs = [*paths, options.model, options.secret_file]
    outputs = (options.json, options.csv, options.parquet, options.journal, options.report, options.plot)
    check_outputs(*outputs, inputs=inputs, ndjson=options.ndjson)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise ParameterError(f"the folder {folder} cannot be made: {error.strerror}: choose another place") from None


def _open_journal(
    options: argparse.Namespace, certifier: Certifier, paths: Sequence[Path]
) -> Journal | nullcontext[None]:
    if options.journal is None:
        return nullcontext()
    if STANDARD_INPUT in paths:
        raise ParameterError("a job with a journal reads its files again to go on, and standard input comes once")
    if options.secret_file is None and options.public_seed is None and not options.quiet:
        print(
            f"{options.journal}: cannot be gone on with, the secret of the noise ends with this process; give a "
            "--secret-file to be able to --resume",
            file=sys.stderr,
        )
    return Journal(Path(options.journal), _head(options, certifier, paths), resume=options.resume)


def _head(options: argparse.Namespace, certifier: Certifier, paths: Sequence[Path]) -> dict[str, Any]:
    """All that scores and bounds depend on, and the inputs."""
    sampler, noise = certifier.sampler, certifier.noise
    claim = {
        "epsilon": None if certifier.tampering else certifier.epsilon,
        "tampering": certifier.tampering.to_dict() if certifier.tampering else None,
        "alpha": certifier.alpha,
        "scope": certifier.scope,
        "samples": certifier.samples,
        "samples_asked": options.samples,
        **{name: getattr(options, name) for name in ("tolerance", "bound", "share_noise", "subsample")},
    }
    reading = {name: getattr(options, name) for name in ("matrix", "range", "background", "stream")}
    model = {
        "name": sampler.name,
        "sha256": sampler.digest,
        "sigma": sampler.sigma,
        "downscale": sampler.downscale,
        **{name: getattr(sampler, name, None) for name in ("score_range", "higher_is_better", "tile")},
        "aggregate": str(getattr(sampler, "aggregate", None)),
        "threads": options.threads,
    }
    return {
        "version": __version__,
        "claim": claim,
        "reading": reading,
        "model": model,
        "engine": dict(sampler.engine),
        "noise": noise.kind,
        "secret_sha256": noise.commitment,
        "public_seed": noise.public_seed,
        "inputs": [fingerprint(path) for path in paths],
    }


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


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
