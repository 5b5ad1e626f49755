"""What the commands share: options, the certifier they ask for, and the frames of a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..bounds.alpha import SCOPES
from ..bounds.pooling import POOLS
from ..certifier import Certifier
from ..errors import ParameterError
from ..files.file_frames import FileFrames
from ..frames.planes import MATRICES, RANGES
from ..noise.keys import read_secret
from ..results import tampering
from ..results.pooled import BOUNDS
from .interrupts import later_interrupt
from .progress import Bar

MOST_SAMPLES = 10**9
"""More of them are a slip of the keyboard: the scores of one frame alone would take over 4 GB."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose and place the engine."""
    parser.add_argument(
        "--model", type=Path, help="bundle (directory or .zip), or the name of one that ships: default, tiles"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda; another one is never used in its place")
    parser.add_argument(
        "--precision",
        metavar="P",
        help="graph that is certified: fp32 (default) or int8 on a CPU; fp32 or fp16 on a GPU "
        "(default fp16 where the bundle has it)",
    )
    parser.add_argument(
        "--trusted-key",
        metavar="K",
        action="append",
        help="take the model only if this key signed it: 64 hex digits or a file of them; repeatable",
    )
    parser.add_argument("--threads", type=int, help="CPU threads of the engine; default all cores")


def add_level_option(parser: argparse.ArgumentParser) -> None:
    """Which of the model's noise levels."""
    parser.add_argument(
        "--sigma", type=float, metavar="S", help="noise level of the model; default the best for epsilon (biqa plan)"
    )


def add_claim_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is claimed, of which frames, with which noise."""
    add_level_option(parser)
    parser.add_argument(
        "--epsilon", type=float, help="L2 radius on the source RGB frame, values in [0,1]; default the model's"
    )
    parser.add_argument(
        "--levels",
        type=float,
        metavar="L",
        help="with a model of tiles, in place of epsilon: every code value may have changed by L grey levels",
    )
    parser.add_argument(
        "--patch",
        type=patch_size,
        metavar="WIDTHxHEIGHT",
        help="with a model of tiles, in place of epsilon: a rectangle of pixels may hold anything; with --levels, "
        "these are allowed everywhere else",
    )
    parser.add_argument(
        "--alpha",
        type=float,
        help="error of the claim of a file, all its frames together; default the model's",
    )
    parser.add_argument("--samples", type=int, help="noisy copies of a frame, at most; default the model's")
    parser.add_argument(
        "--scope", choices=SCOPES, default="smoothed", help="what the interval covers; default smoothed"
    )
    parser.add_argument(
        "--subsample", type=int, default=1, metavar="N", help="certify every N-th frame; prefer an odd N"
    )
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--secret-file", type=Path, help="at least 16 random bytes, kept to replay the certificates")
    secret.add_argument("--public-seed", type=int, help="predictable noise, for tests only; marked in the record")
    parser.add_argument(
        "--share-noise", action="store_true", help="the frames of a file share their noise, so their scores vary less"
    )
    parser.add_argument(
        "--bound",
        choices=BOUNDS,
        help="of a video's mean: collective lets the sampling errors of its frames cancel; default where it can be had",
    )
    parser.add_argument("--matrix", choices=MATRICES, help="override the video's colour matrix")
    parser.add_argument("--range", choices=RANGES, help="override the video's range")


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how files are read."""
    parser.add_argument(
        "--background", metavar="C", help="what lies under transparent pixels: white, black, grey or #rrggbb"
    )
    parser.add_argument("--stream", type=int, metavar="N", help="which video of a file, from 0; default as ffmpeg's")


def patch_size(text: str) -> tuple[int, int]:
    """``WIDTHxHEIGHT`` in pixels."""
    try:
        return tampering.patch_size(text)
    except ParameterError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def open_certifier(options: argparse.Namespace, bar: Bar) -> Certifier:
    """The certifier that the options of ``add_model_options`` and ``add_claim_options`` ask for."""
    if options.samples is not None and options.samples > MOST_SAMPLES:
        raise ParameterError(f"samples is at most {MOST_SAMPLES}, not {options.samples}")
    secret = read_secret(options.secret_file) if options.secret_file else None
    with later_interrupt():
        return Certifier(
            options.model, sigma=options.sigma, device=options.device, precision=options.precision,
            epsilon=options.epsilon, alpha=options.alpha,
            levels=options.levels, patch=options.patch, samples=options.samples, scope=options.scope, secret=secret,
            public_seed=options.public_seed, threads=options.threads, share_noise=options.share_noise,
            progress=bar.drawn, trusted_keys=options.trusted_key,
        )  # fmt: skip


def add_log_options(parser: argparse.ArgumentParser, needs: str = "") -> None:
    """The options that stop a frame early and say where its certificate goes. ``needs``: what some of them take."""
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="W",
        help=f"stop drawing samples of a frame as soon as upper - lower is W or less{needs}",
    )
    parser.add_argument("--json", metavar="F", help="write the log, shaped as libvmaf's; - for standard output")
    parser.add_argument("--csv", metavar="F", help="write a row for each frame; - for standard output")
    parser.add_argument(
        "--ndjson", action="store_true", help=f"write a line of JSON to standard output as each frame finishes{needs}"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no table; the last line stays")


def add_decision_options(parser: argparse.ArgumentParser) -> None:
    """What ``gate`` and ``compare`` share."""
    parser.add_argument("--pool", choices=POOLS, default="mean", help="how a video's scores become one; default mean")
    add_model_options(parser)
    add_claim_options(parser)
    add_file_options(parser)
    parser.add_argument("--json", metavar="F", help="write the log, which replay reads; - for standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table; the last line stays")


def open_frames(certifier: Certifier, path: Path, alpha: float, options: argparse.Namespace) -> FileFrames:
    """The frames of a file, refused where α shared by them leaves no bound."""
    frames = FileFrames(
        path, subsample=options.subsample, matrix=options.matrix, range=options.range,
        background=options.background, stream=options.stream,
    )  # fmt: skip
    if frames.notes and not options.quiet:
        print(f"{path}: {'; '.join(frames.notes)}", file=sys.stderr)
    certifier.refuse_too_few(path, frames=len(frames), alpha=alpha)
    return frames


def recorded_frames(entry: Mapping[str, Any], path: Path) -> FileFrames:
    """The frames of a file, read as those of a log's input were. ``entry``: of ``inputs``."""
    conversion, reading = entry["certificate"]["conversion"] or {}, entry["certificate"].get("reading") or {}
    video = conversion and reading.get("stream")
    return FileFrames(
        path, subsample=entry["subsample"], matrix=conversion.get("matrix"), range=conversion.get("range"),
        background=reading.get("background"), stream=int(str(video).split()[0]) if video else None,
    )  # fmt: skip
