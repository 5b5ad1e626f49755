"""``replay RECORD INPUT…``: make the certificates of a log again and compare them bit for bit."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..certifier import Certifier
from ..errors import RecordError
from ..files.file_frames import FileFrames
from ..files.listing import listed
from ..noise.keys import noise_source, read_secret
from ..results.certificate import Certificate
from ..results.differences import differences, name_of
from ..results.log import InputLog, build_log, read_log, to_json, wished_bound
from .options import add_model_options, recorded_frames
from .progress import progress_bar

_EXAMPLES = """examples:
  biqa certify clip.mp4 --secret-file secret --json clip.json
  biqa replay clip.json clip.mp4 --secret-file secret

Every value of the log is compared except these: version and fps at the top, and of each input path, certificate.engine,
certificate.level.why, certificate.conversion.assumed and certificate.reading.decoder. If a value differs, the two
engines are printed. What an older log lacks is not compared.
exit status: 0 all identical, 1 some differ, 2 the record cannot be replayed."""


_SINGLE = (
    "the default before noise levels: runtime/models/single in the repository, or `biqa build --int8 --out single`"
)
RETIRED = {"bd687d96070eca1b": _SINGLE, "914c9ab86a7452f4": _SINGLE}
"""First digits of a model's digest → how to come by it, of those that were the default once, in fp32 and in int8."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "replay",
        help="make the certificates of a log again and compare them bit for bit",
        description="Make the certificates of a log again and compare them bit for bit.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("record", type=Path, metavar="RECORD", help="log written by certify, gate or compare --json")
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="INPUT",
        help="the files, in the order of the log, or the folder that was named then; those that failed are left out",
    )
    parser.add_argument("--secret-file", type=Path, help="the secret the record commits to")
    add_model_options(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    log = read_log(options.record)
    failed = {str(one.get("path")) for one in log.get("failed", ())}
    options.inputs = [path for path in listed(options.inputs) if str(path) not in failed]
    if len(options.inputs) != len(log["inputs"]):
        raise RecordError(f"the record holds {len(log['inputs'])} files, {len(options.inputs)} were given")
    if "decision" in log:
        again, decision = _remake_comparison(log, options)
    else:
        again, decision = [_remake(log, index, path, options) for index, path in enumerate(options.inputs)], None
    made: dict[str, Any] = json.loads(to_json(build_log(again, 1, decision, log.get("failed", ()))))
    _number_as(log, made)
    pairs = enumerate(zip(log["frames"], made["frames"], strict=True))
    wrong = [[name_of(place[2:]) for place in differences(*pair, ("frames", index))] for index, pair in pairs]
    for ours, names in zip(made["frames"], wrong, strict=True):
        if names:
            print(f"{options.inputs[ours['input']]} frame {ours['frame']}: differs in {', '.join(names)}")
    around = [name_of(place) for place in differences({**log, "frames": None}, {**made, "frames": None})]
    if around:
        print(f"the log differs in {', '.join(around)}")
    if around or any(wrong):
        for theirs, ours in zip(log["inputs"], made["inputs"], strict=True):
            print(_explain(theirs["certificate"], ours["certificate"]))
    print(f"{wrong.count([])} of {len(wrong)} certificates identical", file=sys.stderr)
    return 1 if around or any(wrong) else 0


def _number_as(log: Mapping[str, Any], made: dict[str, Any]) -> None:
    """Older logs count the frames that were certified, newer ones those of the file: ``frame`` says which in both."""
    if [frame.get("frameNum") for frame in log["frames"]] == list(range(len(log["frames"]))):
        for index, frame in enumerate(made["frames"]):
            frame["frameNum"] = index


def _remake(log: Mapping[str, Any], index: int, path: Path, options: argparse.Namespace) -> InputLog:
    """The certificates of one file, made again. Raises RecordError where file or model are not the recorded ones."""
    entry = log["inputs"][index]
    recorded = _recorded(log, index)
    rule = entry["certificate"].get("stopping", {}).get("rule", {})
    alpha, bound = entry.get("alpha", entry["joint_alpha"]), wished_bound(entry)
    made = InputLog(entry["path"], entry["subsample"], alpha, bound=bound)
    with (
        progress_bar(options.quiet) as bar,
        _certifier(entry, alpha, options, bar.drawn) as certifier,
    ):
        frames = _frames(certifier, entry, path, recorded)
        bar.begin(path.name, len(frames), certifier.samples)
        if rule.get("kind") == "gate":
            gate = certifier.gate(frames, at_least=rule["at_least"], pool=rule["pool"], bound=bound)
            made.decision, made.look = gate.to_dict(), gate.pooled.look
            certificates: Iterable[Certificate] = gate.pooled.certificates
        else:
            tolerance = rule.get("tolerance")
            certificates = certifier.stream(frames, jointly=len(frames), tolerance=tolerance, bound=bound)
        made.frames = _same_frames(path, recorded, certificates, _read_otherwise(entry, frames))
    return made


def _remake_comparison(log: Mapping[str, Any], options: argparse.Namespace) -> tuple[list[InputLog], Mapping[str, Any]]:
    """The certificates of two files and which of them is higher, made again."""
    entries, alpha = log["inputs"], log["decision"]["alpha"]
    with (
        progress_bar(options.quiet) as bar,
        _certifier(entries[0], alpha, options, bar.drawn) as certifier,
    ):
        recorded = [_recorded(log, index) for index in range(len(entries))]
        clips = [_frames(certifier, *known) for known in zip(entries, options.inputs, recorded, strict=True)]
        bar.begin(", ".join(path.name for path in options.inputs), sum(map(len, clips)), certifier.samples)
        bound, pool = wished_bound(entries[0]), entries[0]["certificate"]["stopping"]["rule"]["pool"]
        comparison = certifier.compare(*clips, pool=pool, bound=bound)
    made = [
        InputLog(
            *(entry["path"], entry["subsample"], comparison.share),
            _same_frames(path, frames, side.certificates, _read_otherwise(entry, clip)),
            bound=bound,
            look=side.look,
        )
        for entry, path, frames, side, clip in zip(
            entries, options.inputs, recorded, (comparison.a, comparison.b), clips, strict=True
        )
    ]
    return made, comparison.to_dict()


def _recorded(log: Mapping[str, Any], index: int) -> list[Mapping[str, Any]]:
    return [frame for frame in log["frames"] if frame["input"] == index]


def _frames(
    certifier: Certifier, entry: Mapping[str, Any], path: Path, recorded: Sequence[Mapping[str, Any]]
) -> FileFrames:
    """The frames of a file, or RecordError where they or the model are not those of the record."""
    shared = entry["certificate"]
    if certifier.sampler.digest != shared["model_sha256"]:
        raise RecordError(
            f"the record was made with model {shared['model_sha256'][:12]}…, this one is "
            f"{certifier.sampler.digest[:12]}…: give the right one with --model and --precision"
            f"{_retired(shared['model_sha256'])}"
        )
    frames = recorded_frames(entry, path)
    if len(frames) != len(recorded):
        raise RecordError(f"the record holds {len(recorded)} frames of this file, {path} has {len(frames)}")
    for number, frame in zip(frames.numbers, recorded, strict=True):
        if number != frame["frame"]:
            raise RecordError(f"{path}: frame {number} is not in the record")
    return frames


def _retired(digest: str) -> str:
    """How to come by a model that once shipped."""
    return next((f". It is {words}" for known, words in RETIRED.items() if digest.startswith(known)), "")


def _same_frames(
    path: Path, recorded: Sequence[Mapping[str, Any]], certificates: Iterable[Certificate], why: str
) -> list[tuple[int, Certificate]]:
    """(number, certificate) of each frame, or RecordError at the first whose pixels are not the recorded ones."""
    made = []
    for frame, certificate in zip(recorded, certificates, strict=True):
        if certificate.provenance.frame_sha256 != frame["certificate"]["frame_sha256"]:
            raise RecordError(
                f"{path} frame {frame['frame']} is not the frame that was certified: its pixels differ{why}"
            )
        made.append((frame["frame"], certificate))
    return made


def _read_otherwise(entry: Mapping[str, Any], frames: FileFrames) -> str:
    """Why pixels may differ though the file is the same: it was read in another way."""
    known = entry["certificate"].get("reading")
    if known is None:
        now = "; ".join(frames.notes)
        return f"; the record was made before files were turned and converted, and now it is {now}" if now else ""
    changed = [key for key, value in frames.reading.items() if known.get(key) != value]
    return f"; it is read otherwise than then: {', '.join(changed)}" if changed else ""


def _certifier(entry: Mapping[str, Any], alpha: float, options: argparse.Namespace, drawn: Any) -> Certifier:
    shared = entry["certificate"]
    if shared["noise"] == "secret":
        if options.secret_file is None:
            raise RecordError("the record was made with a secret: give the file with --secret-file")
        secret = read_secret(options.secret_file)
        if not noise_source(secret).commits_to(shared["secret_sha256"]):
            raise RecordError(f"{options.secret_file} is not the secret the record commits to")
    else:
        secret = None
    tampering = shared.get("tampering", {"epsilon": shared["epsilon"]})
    patch = tuple(tampering["patch"]) if "patch" in tampering else None
    return Certifier(
        options.model, sigma=shared["sigma"] if "level" in shared else None, device=options.device,
        precision=_precision(shared, options), epsilon=tampering.get("epsilon"),
        levels=tampering.get("levels"), patch=patch,
        alpha=alpha, samples=shared["samples"], scope=shared["scope"], secret=secret, public_seed=shared["public_seed"],
        threads=options.threads, share_noise="shared_noise_frames" in shared, progress=drawn,
        trusted_keys=options.trusted_key,
    )  # fmt: skip


def _precision(shared: Mapping[str, Any], options: argparse.Namespace) -> str:
    """The one asked for, else that of the record."""
    return str(options.precision or shared["engine"].get("precision", "fp32"))


def _explain(record: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    if record["engine"] != made["engine"]:
        return f"the engine differs: recorded {record['engine']}, here {made['engine']}"
    return "the engine is the same: the record was altered, or the processor computes differently"
