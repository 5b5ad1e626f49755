"""What the commands share: options, the certifier they ask for, progress, outputs and printed intervals."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

from ..bundle import MANIFEST
from ..certifier import Certifier
from ..decisions import Pooled
from ..errors import ParameterError
from ..inputs import FileFrames
from ..keys import NOISES, read_secret
from ..log import InputLog, write_whole
from ..planes import MATRICES, RANGES
from ..pooling import POOLS
from ..ranks import SCOPES

MOST_SAMPLES = 10**9
"""More of them are a slip of the keyboard: the scores of one frame alone would take over 4 GB."""


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """The options that choose and place the engine."""
    parser.add_argument("--model", type=Path, help="bundle (directory or .zip); default the one that ships")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda; never replaced silently")
    parser.add_argument(
        "--precision",
        metavar="P",
        help="graph that is certified: fp32 (default) or int8 on a CPU; fp32 or fp16 on a GPU, fp16 where there is one",
    )
    parser.add_argument("--threads", type=int, help="CPU threads of the engine; default all cores")


def add_claim_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is claimed, of which frames, with which noise."""
    parser.add_argument(
        "--epsilon", type=float, help="L2 radius on the source RGB frame, values in [0,1]; default the model's"
    )
    parser.add_argument("--alpha", type=float, help="error of all the frames of a file together; default the model's")
    parser.add_argument("--samples", type=int, help="noisy copies a frame, at most; default the model's")
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
        "--noise",
        choices=NOISES,
        default=NOISES[0],
        help="per-video: the frames of a file share theirs, which steadies scores; default per-frame",
    )
    parser.add_argument("--matrix", choices=MATRICES, help="override the video's colour matrix")
    parser.add_argument("--range", choices=RANGES, help="override the video's range")


def open_certifier(options: argparse.Namespace, bar: Bar) -> Certifier:
    """The certifier that the options of ``add_model_options`` and ``add_claim_options`` ask for."""
    if options.samples is not None and options.samples > MOST_SAMPLES:
        raise ParameterError(f"samples is at most {MOST_SAMPLES}, not {options.samples}")
    secret = read_secret(options.secret_file) if options.secret_file else None
    return Certifier(
        options.model, device=options.device, precision=options.precision, epsilon=options.epsilon, alpha=options.alpha,
        samples=options.samples, scope=options.scope, secret=secret, public_seed=options.public_seed,
        threads=options.threads, noise=options.noise, progress=bar.drawn,
    )  # fmt: skip


def refuse_too_few(certifier: Certifier, path: Path, alpha: float, jointly: int) -> None:
    """Raise ParameterError, before any frame is scored, where α shared by M frames leaves no bound."""
    if reason := certifier.plan(alpha=alpha / jointly).reason:
        share = f"; alpha {alpha:g} is shared by {jointly} frames" if jointly > 1 else ""
        raise ParameterError(f"{path}: {reason}{share}")


def add_log_options(parser: argparse.ArgumentParser, needs: str = "") -> None:
    """The options that end a frame early and say where its certificate goes. ``needs``: what some of them take."""
    parser.add_argument(
        "--tolerance",
        type=float,
        metavar="W",
        help=f"stop drawing samples for a frame once upper - lower is no more than W{needs}",
    )
    parser.add_argument("--json", metavar="F", help="write the log in libvmaf's shape; - for standard output")
    parser.add_argument("--csv", metavar="F", help="write a row a frame; - for standard output")
    parser.add_argument(
        "--ndjson", action="store_true", help=f"a JSON object a line on standard output as frames finish{needs}"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress and no table; the last line stays")


def check_outputs(*names: str | None, inputs: Sequence[Path | None], ndjson: bool = False) -> None:
    """Refuse outputs that cannot be written, or that would replace one of the ``inputs``, before any time is spent."""
    places = [name if name == "-" else os.path.abspath(name) for name in names if name is not None]
    if len(places) != len(set(places)) or ("-" in places and ndjson):
        raise ParameterError("two outputs go to the same place: give --json, --csv and --ndjson different ones")
    for name in names:
        if name is not None and name != "-":
            _check_output(name)
            if any(path is not None and _replaces(name, path) for path in inputs):
                raise ParameterError(f"{name} is an input, which the output would replace: give another name")


def _replaces(name: str, path: Path) -> bool:
    """Is the output an input, or a file of a bundle that is one?"""
    if os.path.isfile(path / MANIFEST):
        return os.path.realpath(path) == os.path.dirname(os.path.realpath(name))
    return os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name)


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


def add_decision_options(parser: argparse.ArgumentParser) -> None:
    """What ``gate`` and ``compare`` share."""
    parser.add_argument("--pool", choices=POOLS, default="mean", help="of the frames of a video; default mean")
    add_model_options(parser)
    add_claim_options(parser)
    parser.add_argument("--json", metavar="F", help="write the log, which replay reads; - for standard output")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table; the last line stays")


def open_frames(certifier: Certifier, path: Path, alpha: float, options: argparse.Namespace) -> FileFrames:
    """The frames of a file, refused where α shared by them leaves no bound."""
    frames = FileFrames(path, subsample=options.subsample, matrix=options.matrix, range=options.range)
    refuse_too_few(certifier, path, alpha, len(frames))
    return frames


def decided_log(path: Path, subsample: int, alpha: float, frames: FileFrames, pooled: Pooled) -> InputLog:
    """The certificates of a file at the look that decided."""
    return InputLog(str(path), subsample, alpha, list(zip(frames.numbers, pooled.certificates, strict=True)))


def described(pooled: Pooled) -> str:
    """ "61.2043 [60.1, 62.3]  (mean of 30 frames, 960 of 15030 samples, ε=0.1, smoothed)", bounds rounded outwards."""
    first, count = pooled.certificates[0], len(pooled.certificates)
    what = "" if count == 1 else f"{pooled.pool} of {count} frames, "
    interval = printed_interval(pooled.lower, pooled.upper, 4)
    how = f"{what}{pooled.drawn} of {pooled.samples} samples, {first.scope}, ε={first.epsilon:g}"
    return f"{pooled.score:.4f} {interval}  {how}"
