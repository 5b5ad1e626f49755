"""What Ray's workers do with a batch of rows: look at files, score shards of them, make their logs.

Three steps, each a ``map_batches``:

1. ``survey``: path → its SHA-256 and number of frames.
2. ``ScoreShards``: a range of frames → their scores. Long videos are split, so that all actors work on one.
3. ``LogFiles``: a file and its scores → its log, as ``biqa certify`` writes it. Ranks, intervals and the collective
   interval of the mean come from scores alone: nothing is scored again, and nothing depends on the split.

A file that cannot be certified gives a row with its ``error``, and the others go on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from runtime import BiqaError, Certificate, FileFrames
from runtime.results import InputLog, build_log
from runtime.results.parquet import COLUMNS, rows_of

from .job import Job, content_sha256
from .scores import packed, unpacked

Batch = dict[str, Any]


class Shard:
    """Frames ``first`` … ``stop`` − 1 of a file's certified frames, read once. ``reading``: of the whole file."""

    def __init__(self, frames: FileFrames, first: int, stop: int) -> None:
        self._frames, self._first, self._stop = frames, first, stop
        self.reading = frames.reading

    def __iter__(self) -> Iterator[Any]:
        return islice(iter(self._frames), self._first, self._stop)


def survey(batch: Batch, job: Job) -> Batch:
    """Adds ``sha256``, ``frames`` and ``error``, "" where there is none."""
    found: list[tuple[str, int, str]] = []
    for path in map(str, batch["path"]):
        try:
            found.append((content_sha256(path), len(job.frames(path)), ""))
        except (BiqaError, OSError) as error:
            found.append(("", 0, str(error)))
    sha256, frames, errors = (list(column) for column in zip(*found, strict=True))
    return {"path": batch["path"], "sha256": sha256, "frames": np.array(frames, np.int64), "error": errors}


class ScoreShards:
    """Rows ``path``, ``frames`` (of the file), ``first``, ``stop`` → ``scores`` (scores.py), ``error``."""

    def __init__(self, job: Job) -> None:
        self._job, self._certifier = job, job.certifier()

    def __call__(self, batch: Batch) -> Batch:
        made = [
            self._scored(*row) for row in zip(*(batch[n] for n in ("path", "frames", "first", "stop")), strict=True)
        ]
        return {
            **batch,
            "scores": np.array([scores for scores, _ in made], object),
            "error": [error for _, error in made],
        }

    def _scored(self, path: Any, frames: Any, first: Any, stop: Any) -> tuple[bytes, str]:
        try:
            shard = Shard(self._job.frames(str(path)), int(first), int(stop))
            stream = self._certifier.stream(shard, jointly=int(frames), bound=self._job.bound)
            return packed(list(stream)), ""
        except BiqaError as error:
            return b"", str(error)


class LogFiles:
    """Rows ``path`` and, where it was scored before, ``scores`` → ``log`` (JSON), ``error``."""

    def __init__(self, job: Job) -> None:
        self._job, self._certifier = job, job.certifier()

    def __call__(self, batch: Batch) -> Batch:
        scores = batch.get("scores", [b""] * len(batch["path"]))
        made = [self.log(str(path), bytes(one)) for path, one in zip(batch["path"], scores, strict=True)]
        return {
            "path": batch["path"],
            "log": [json.dumps(log, allow_nan=False) if log else "" for log, _ in made],
            "error": [error for _, error in made],
        }

    def log(self, path: str, scores: bytes = b"") -> tuple[Mapping[str, Any] | None, str]:
        """(log, "") or (None, why not)."""
        job, certifier, started = self._job, self._certifier, time.monotonic()
        try:
            frames = job.frames(path)
            certifier.refuse_too_few(path, frames=len(frames))
            stream = certifier.stream(frames, jointly=len(frames), bound=job.bound, recorded=unpacked(scores))
            numbered: list[tuple[int, Certificate]] = list(zip(frames.numbers, stream, strict=True))
        except BiqaError as error:
            return None, str(error)
        log = InputLog(path, job.subsample, certifier.alpha, numbered, bound=job.bound)
        return build_log([log], time.monotonic() - started), ""


class CertifyFiles:
    """Rows ``path`` → a row a frame, with the columns of ``biqa certify --parquet``; a file that failed is one row."""

    def __init__(self, job: Job) -> None:
        self._logs = LogFiles(job)

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        for path in map(str, batch["path"]):
            log, error = self._logs.log(path)
            rows = rows_of(log) if log else [dict.fromkeys(COLUMNS) | {"input": path, "error": error}]
            yield {name: [row[name] for row in rows] for name in COLUMNS}
