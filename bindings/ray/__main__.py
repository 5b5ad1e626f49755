"""``python -m bindings.ray certify GLOB… --output results.parquet``: a corpus, on all cores or a cluster."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bindings.ray.actors import LogFiles, ScoreShards, survey
from bindings.ray.job import Job
from bindings.ray.scores import merged
from bindings.ray.tables import Tables
from runtime import DependencyError, ParameterError
from runtime.atomic import whole_file
from runtime.commands import Parser, add_claim_options, add_model_options, answered, progress_bar
from runtime.files.listing import listed
from runtime.install import pip_install

SHARD = 250
"""Frames that an actor scores of one file before another may take the next ones."""
SOME_FAILED = 4

_EXAMPLES = """examples:
  head -c 32 /dev/urandom > secret
  python -m bindings.ray certify 'corpus/**/*.mp4' --secret-file secret --output scores.parquet
  python -m bindings.ray certify corpus/ --secret-file secret --output scores.parquet --actors 16 --resume
  python -m bindings.ray certify s3-mount/ --secret-file secret --output scores.parquet --address auto

Each actor has one engine of one thread. OUTPUT gets a row a frame, as from biqa certify --parquet, and
OUTPUT.files.parquet a row a file, with its pooled score. OUTPUT.parts keeps what is scored: the same command with
--resume goes on, and knows a file by its content. It is removed at the end, unless a file failed.

alpha is that of a file. All files together hold except with the sum of their joint_alpha, which is printed.

exit status: 0 done, 4 some files failed and the others are written, 2 an error."""


def _parser() -> Parser:
    parser = Parser("python -m bindings.ray", description="Certify a corpus of stills and videos with Ray.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "certify",
        help="stills and videos → Parquet",
        description="Certify a corpus of stills and videos with Ray, the same bits as biqa certify.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="still, video, folder or pattern")
    command.add_argument("--output", type=Path, required=True, metavar="F", help="Parquet file, a row for each frame")
    command.add_argument("--actors", type=int, help="engines at a time; default the CPUs that Ray has")
    command.add_argument("--address", help="of a running Ray cluster, auto for this machine's; default: start one here")
    command.add_argument("--shard", type=int, default=SHARD, metavar="M", help="frames an actor takes (default 250)")
    command.add_argument("--resume", action="store_true", help="take what OUTPUT.parts holds")
    command.add_argument("--quiet", action="store_true", help="no progress")
    add_model_options(command)
    add_claim_options(command)
    command.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    job = _job(options)
    paths = [str(path) for path in listed(options.inputs)]
    if options.shard < 1 or (options.actors is not None and options.actors < 1):
        raise ParameterError("--shard and --actors are 1 or more")
    tables = Tables(options.output)
    parts = _parts(options, job)
    done = _certified(_started(options), job, paths, parts, tables, options)
    joint = tables.write()
    if not done["failed"]:
        _remove(parts)
    print(
        f"{done['certified']} files certified, {done['failed']} failed, {done['frames']} frames, {done['kept']} of "
        f"them kept from before; all of them hold at once except with probability {joint:.3g}",
        file=sys.stderr,
    )
    return SOME_FAILED if done["failed"] else 0


def _job(options: argparse.Namespace) -> Job:
    names = ("model", "device", "precision", "epsilon", "levels", "alpha", "samples", "scope", "share_noise", "threads")
    claims = {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}
    for name, value in claims.items():
        claims[name] = str(value) if isinstance(value, Path) else value
    if options.patch is not None:
        claims["patch"] = "x".join(map(str, options.patch))
    if getattr(options, "sigma", None) is not None:
        claims["sigma"] = options.sigma
    return Job(
        claims,
        secret_file=None if options.secret_file is None else str(options.secret_file.resolve()),
        public_seed=options.public_seed,
        subsample=options.subsample,
        bound=options.bound,
        reading={"matrix": options.matrix, "range": options.range},
    )


def _parts(options: argparse.Namespace, job: Job) -> Path:
    """The folder of scores that are kept: one for each job that asks for the same."""
    top = options.output.with_name(options.output.name + ".parts")
    if top.exists() and not options.resume:
        raise ParameterError(f"{top} is there: go on with --resume, or remove it")
    folder = Path(top, job.digest())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(f"{folder} cannot be made: {error.strerror}: choose another --output") from None
    return folder


def _remove(parts: Path) -> None:
    for part in parts.iterdir():
        part.unlink()
    parts.rmdir()
    if not any(parts.parent.iterdir()):
        parts.parent.rmdir()


def _started(options: argparse.Namespace) -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise DependencyError(f"Ray is not installed: {pip_install('ray')}") from None
    if not ray.is_initialized():
        here: dict[str, Any] = {} if options.address else {"include_dashboard": False}
        ray.init(address=options.address, logging_level=logging.ERROR, log_to_driver=False, **here)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _certified(
    ray: Any, job: Job, paths: Sequence[str], parts: Path, tables: Tables, options: argparse.Namespace
) -> dict[str, int]:
    actors = options.actors or max(1, int(ray.cluster_resources().get("CPU", 1)))
    rows = ray.data.from_items([{"path": path} for path in paths], override_num_blocks=min(len(paths), 4 * actors))
    looked = list(rows.map_batches(survey, fn_args=(job,), batch_size=1).iter_rows())
    looked.sort(key=lambda row: paths.index(row["path"]))
    errors = {row["path"]: row["error"] for row in looked if row["error"]}
    shards = [shard for row in looked if not row["error"] for shard in _shards(row, options.shard)]
    missing = [shard for shard in shards if not _part(parts, shard).exists()]
    unique = list({_part(parts, shard): shard for shard in missing}.values())
    kept = sum(row["frames"] for row in looked) - sum(shard["stop"] - shard["first"] for shard in missing)
    with progress_bar(options.quiet) as bar:
        bar.begin(f"{len(paths)} files", len(shards), 1)
        bar.drawn(len(shards) - len(missing))
        for row in _mapped(ray, ScoreShards, job, unique, actors):
            if row["error"]:
                errors.setdefault(row["path"], row["error"])
            else:
                with whole_file(_part(parts, row)) as file:
                    file.write(row["scores"])
            bar.drawn(1)
    certified = frames = 0
    ready = [row for row in looked if row["path"] not in errors]
    files = [{"path": row["path"], "scores": _scores(parts, row, options.shard)} for row in ready]
    logs = {row["path"]: row for row in _mapped(ray, LogFiles, job, files, actors)}
    sha256 = {row["path"]: row["sha256"] for row in looked}
    for path in paths:
        error = errors.get(path) or logs[path]["error"]
        if error:
            print(f"error: {error}", file=sys.stderr)
            tables.fail(path, sha256[path], error)
            continue
        log = json.loads(logs[path]["log"])
        tables.add(path, sha256[path], log)
        certified += 1
        frames += len(log["frames"])
    return {"certified": certified, "failed": len(paths) - certified, "frames": frames, "kept": kept}


def _mapped(ray: Any, kind: type, job: Job, rows: list[dict[str, Any]], actors: int) -> Iterator[dict[str, Any]]:
    """Rows through a pool of actors, as they finish. A killed actor is started again, and its row done again."""
    if not rows:
        return iter(())
    data = ray.data.from_items(rows, override_num_blocks=len(rows))
    pool = ray.data.ActorPoolStrategy(size=min(actors, len(rows)))
    made = data.map_batches(kind, fn_constructor_args=(job,), batch_size=1, compute=pool)
    found: Iterator[dict[str, Any]] = made.iter_rows()
    return found


def _shards(row: dict[str, Any], most: int) -> Iterator[dict[str, Any]]:
    """Of a file: as many as it takes, of nearly equal length."""
    count = math.ceil(row["frames"] / most)
    ends = [row["frames"] * index // count for index in range(count + 1)]
    for first, stop in pairwise(ends):
        yield {**{name: row[name] for name in ("path", "sha256", "frames")}, "first": first, "stop": stop}


def _part(parts: Path, shard: dict[str, Any]) -> Path:
    return parts / f"{shard['sha256']}-{shard['frames']}-{shard['first']}-{shard['stop']}.npz"


def _scores(parts: Path, row: dict[str, Any], most: int) -> bytes:
    return merged(_part(parts, shard).read_bytes() for shard in _shards(row, most))


def main(arguments: list[str] | None = None) -> int:
    return answered(_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
