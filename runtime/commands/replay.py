"""``replay RECORD INPUT…``: make the certificates of a log again and compare them bit for bit."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..certifier import Certifier, Picture
from ..errors import RecordError
from ..inputs import Input
from ..keys import noise_source, read_secret
from ..log import read_log, records_of_input
from .certify import add_model_options, progress_bar

_EXAMPLES = """examples:
  python -m runtime certify clip.mp4 --secret-file secret --json clip.json
  python -m runtime replay clip.json clip.mp4 --secret-file secret

exit status: 0 all identical, 1 some differ, 2 the record cannot be replayed."""

COMPARED = ("scores_sha256", "score", "lower", "upper", "abstained", "failed_samples")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="make the certificates of a log again and compare them bit for bit",
        description="Make the certificates of a log again and compare them bit for bit.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("record", type=Path, metavar="RECORD", help="log written by certify --json")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="the files, in the order of the log")
    parser.add_argument("--secret-file", type=Path, help="the secret the record commits to")
    add_model_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    log = read_log(options.record)
    if len(options.inputs) != len(log["inputs"]):
        raise RecordError(f"the record holds {len(log['inputs'])} files, {len(options.inputs)} were given")
    different = total = 0
    for index, path in enumerate(options.inputs):
        for number, record, made in _remake(log, index, path, options):
            total += 1
            if wrong := [name for name in COMPARED if record.get(name) != made[name]]:
                different += 1
                print(f"{path} frame {number}: differs in {', '.join(wrong)}; {_explain(record, made)}")
    print(f"{total - different} of {total} certificates identical", file=sys.stderr)
    return 1 if different else 0


def _remake(
    log: Mapping[str, Any], index: int, path: Path, options: argparse.Namespace
) -> Iterator[tuple[int, dict[str, Any], dict[str, Any]]]:
    """(frame number, recorded, made again) for every frame of one file."""
    entry, records = log["inputs"][index], list(records_of_input(log, index))
    shared = entry["certificate"]
    conversion = shared["conversion"] or {}
    with (
        progress_bar(options.quiet) as bar,
        _certifier(entry, options, bar.drawn) as certifier,
        Input(
            path,
            subsample=entry["subsample"],
            matrix=conversion.get("matrix"),
            range=conversion.get("range"),
        ) as source,
    ):
        if certifier.sampler.digest != shared["model_sha256"]:
            raise RecordError(
                f"the record was made with model {shared['model_sha256'][:12]}…, this one is "
                f"{certifier.sampler.digest[:12]}…: give the right one with --model"
            )
        if source.count != len(records):
            raise RecordError(f"the record holds {len(records)} frames of this file, {path} has {source.count}")
        bar.begin(path.name, source.count, certifier.samples)
        numbers = iter([number for number, _ in records])

        def frames() -> Iterator[Picture]:
            for number, frame in source:
                if number != next(numbers):
                    raise RecordError(f"{path}: frame {number} is not in the record")
                yield frame

        certificates = certifier.stream(frames(), jointly=source.count)
        for (number, record), certificate in zip(records, certificates, strict=True):
            made = certificate.to_dict()
            if made["frame_sha256"] != record["frame_sha256"]:
                raise RecordError(f"{path} frame {number} is not the frame that was certified: its pixels differ")
            yield number, record, made


def _certifier(entry: Mapping[str, Any], options: argparse.Namespace, drawn: Any) -> Certifier:
    shared = entry["certificate"]
    if shared["noise"] == "secret":
        if options.secret_file is None:
            raise RecordError("the record was made with a secret: give the file with --secret-file")
        secret = read_secret(options.secret_file)
        if noise_source(secret).commitment != shared["secret_sha256"]:
            raise RecordError(f"{options.secret_file} is not the secret the record commits to")
    else:
        secret = None
    return Certifier(
        options.model, device=options.device, epsilon=shared["epsilon"], alpha=entry["joint_alpha"],
        samples=shared["samples"], scope=shared["scope"], secret=secret, public_seed=shared["public_seed"],
        threads=options.threads, progress=drawn,
    )  # fmt: skip


def _explain(record: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    if record["engine"] != made["engine"]:
        return f"the engine differs: recorded {record['engine']}, here {made['engine']}"
    return "the engine is the same: the record was altered, or the processor computes differently"
