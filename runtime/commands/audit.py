"""``audit RECORD… INPUT…``: are these records true? Most of it without the engine."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..arguments import ModelArguments, check_model, open_sampler
from ..audit.record import FORGED, HONEST, STALE, Audit, Means, audit_record
from ..audit.rounds import Round, joint_over, read_round
from ..errors import ParameterError, RecordError
from ..files.listing import listed
from ..noise.keys import noise_source, read_secret
from ..results.log import read_log
from ..samplers import Sampler
from .options import add_model_options
from .outputs import check_outputs, write_outputs

_EXAMPLES = """examples:
  biqa audit clip.json
  biqa audit clip.json clip.mp4 --secret-file secret
  biqa audit clip.json clip.mp4 --secret-file secret --frames 5
  biqa audit a.json b.json a.mp4 b.mp4 --round round.json --secret-file round.secret --frames all

Names that end in .json are records, all others their files, or folders: those of the first record first.

  honest   all that was computed again is what the record says
  stale    it cannot be told here: another bundle, version, decoder or processor made it
  forged   a value contradicts the record, its file, its bundle, the secret, or scores drawn again

Without --frames no engine runs: ranks, shares of alpha, limits of collective bounds, pools, claims, pixels, the model
and the secret are checked. Scores themselves, and what alone rests on them, take --frames.
exit status: 0 all honest, 1 some forged, 3 some stale and none forged, 2 an error."""

EXIT = {HONEST: 0, FORGED: 1, STALE: 3}
SHOWN = 5
"""Findings of a record that are printed; --json has all."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "audit",
        help="are these records forged, stale or honest? It takes the engine only where asked",
        description="Are these records forged, stale or honest?",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="RECORD… INPUT…", help="logs (.json), and their files")
    parser.add_argument("--secret-file", type=Path, help="the secret that the records commit to")
    parser.add_argument("--round", type=Path, metavar="ROUND", help="all records are of this round; see biqa commit")
    parser.add_argument(
        "--frames",
        metavar="N",
        default="0",
        help="draw the scores of N frames of each file again, at random, or of all",
    )
    add_model_options(parser)
    parser.add_argument("--json", metavar="F", help="write what was found; - for standard output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    records = [path for path in options.paths if path.suffix.lower() == ".json"]
    files = [path for path in options.paths if path.suffix.lower() != ".json"]
    if not records:
        raise ParameterError("there is no record among the names: records end in .json")
    check_outputs(options.json, inputs=[*options.paths, options.model, options.secret_file, options.round])
    choose = _chooser(options.frames)
    secret = noise_source(read_secret(options.secret_file)) if options.secret_file else None
    announced = None if options.round is None else read_round(options.round)
    if announced is not None and secret is not None and not secret.commits_to(announced.commitment):
        raise RecordError(f"{options.secret_file} is not the secret that the round {announced.name!r} was committed to")
    model = check_model(options.model, options.device, options.precision, options.threads, function=False)
    assert model.bundle is not None
    with _Engines(model) as engines:
        commitment = None if announced is None else announced.commitment
        means = Means(model.bundle, secret, commitment)
        if choose is not None:
            means = replace(means, open_sampler=engines.of, choose=choose)
        audits = [
            audit_record(path, own, means) for path, own in zip(records, _shared_out(records, files), strict=True)
        ]
    joint = joint_over(audit.joint_alpha for audit in audits)
    report = {
        "verdict": _verdict(audits),
        "records": [audit.to_dict() for audit in audits],
        "joint_alpha": joint,
        **({} if announced is None else {"round": announced.name, "secret_sha256": announced.commitment}),
    }
    write_outputs({options.json: json.dumps(report, indent=2, allow_nan=False) + "\n"})
    if options.json != "-":
        print(_table(audits))
    print(_last_line(audits, joint, announced), file=sys.stderr)
    return EXIT[_verdict(audits)]


def _chooser(asked: str) -> Callable[[int], frozenset[int]] | None:
    """Places of the frames of a file whose scores are drawn again, of as many; None where no engine is asked for."""
    if asked == "all":
        return lambda count: frozenset(range(count))
    if not asked.isdecimal() or len(asked) > 9:
        raise ParameterError(f"--frames is a number of frames, or all, not {asked!r}")
    wanted = int(asked)
    # Whoever forged a record must not know which frames will be looked at.
    return (lambda count: frozenset(random.SystemRandom().sample(range(count), min(wanted, count)))) if wanted else None


class _Engines(ExitStack):
    """The bundle's engines, each opened when a record first asks for its precision, and closed at the end."""

    def __init__(self, model: ModelArguments) -> None:
        super().__init__()
        self._model, self._opened = model, dict[str, Sampler]()

    def of(self, precision: str) -> Sampler:
        asked = self._model.precision or precision
        if asked not in self._opened:
            sampler = open_sampler(replace(self._model, precision=asked))
            self.callback(sampler.close)
            self._opened[asked] = sampler
        return self._opened[asked]


def _shared_out(records: Sequence[Path], files: Sequence[Path]) -> list[Sequence[Path]]:
    """Each record's files, in order; none at all where none were given."""
    if not files:
        return [()] * len(records)
    logs = [read_log(path) for path in records]
    failed = {str(one.get("path")) for log in logs for one in log.get("failed", ())}
    files = [path for path in listed(files) if str(path) not in failed]
    counts = [len(log["inputs"]) for log in logs]
    if sum(counts) != len(files):
        raise RecordError(f"the records hold {sum(counts)} files, {len(files)} were given")
    shared: list[Sequence[Path]] = []
    start = 0
    for count in counts:
        shared.append(files[start : start + count])
        start += count
    return shared


def _verdict(audits: Sequence[Audit]) -> str:
    found = {audit.verdict for audit in audits}
    return next(verdict for verdict in (FORGED, STALE, HONEST) if verdict in found)


def _table(audits: Sequence[Audit]) -> str:
    width = max(len("record"), *(len(audit.path) for audit in audits))
    lines = [f"{'record':<{width}}  verdict  frames  alpha    checked"]
    for audit in audits:
        what = "; ".join(audit.checked)
        lines.append(f"{audit.path:<{width}}  {audit.verdict:<7}  {audit.frames:>6}  {audit.joint_alpha:<7.3g}  {what}")
        said = [str(finding) for finding in audit.findings] or audit.stale
        lines += [f"{'':<{width}}  - {line}" for line in said[:SHOWN]]
        if len(said) > SHOWN:
            lines.append(f"{'':<{width}}  - and {len(said) - SHOWN} more: --json has them")
        lines += [f"{'':<{width}}  not checked: {line}" for line in audit.unchecked]
    return "\n".join(lines)


def _last_line(audits: Sequence[Audit], joint: float, announced: Round | None) -> str:
    counts = [sum(audit.verdict == verdict for audit in audits) for verdict in (HONEST, STALE, FORGED)]
    said = f"{counts[0]} honest, {counts[1]} stale, {counts[2]} forged"
    if announced is None:
        return said
    plural = "" if len(audits) == 1 else "s"
    return (
        f"round {announced.name!r}: {said}; except with probability at most {joint:g} the claims of all {len(audits)} "
        f"submission{plural} here hold together"
    )
