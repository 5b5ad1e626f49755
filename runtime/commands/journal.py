"""The journal of a job: what a run of ``certify`` has done so far, a line of JSON each, so that a killed run goes on.

=======  ===============================================================================================
type     holds
=======  ===============================================================================================
job      the first line: what was asked, of which model and engine, the commitment to the secret, and every
         input with its size and SHA-256
frame    what ``--ndjson`` prints of a frame, and its ``scores``: little-endian float32 in the order drawn, base64
input    a file is done: its pooled metrics, and how many ``frames`` it has
failed   a file that cannot be certified, and why
done     the last line
=======  ===============================================================================================

``file`` is the number of the input in the first line, ``seconds`` the time that the job has taken.

**What a kill costs.** A line is handed to the operating system whole as its frame finishes: a killed process loses the
frame it was at. The disk is told to keep it (fsync) at least every ``SYNCED`` seconds of work and at the end of each
file: a power failure loses no more than those seconds and one frame. What is left of a line cut short is taken away.

**Why the resumed log is the same.** Going on reads every file again, draws each frame's key again, and takes the scores
of its line in place of the engine's. All else (ranks, bounds, pools, collective intervals, which take every frame's
order statistics) is computed from scores as it always is. So no interval depends on where a run was killed, and
nothing is scored twice. The line's scores must have the SHA-256 of its certificate, and its lattice that of the frame.

**The secret must be the same**, or a clip's frames would have noise of two secrets and its record could name but one;
to score the rest again with another secret would be a second try. So a job goes on with the same ``--secret-file`` or
``--public-seed``, and another one is refused. So is anything else in the first line that is not as it was.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RecordError
from ..results.certificate import Certificate

__all__ = ["Journal", "Known", "SYNCED", "fingerprint"]

SYNCED = 2.0
"""Seconds of work that a power failure may cost, at most, beside the frame in hand."""
SCHEMA = 1


@dataclass
class Known:
    """What a journal holds of one file. ``frames``: (number, scores_sha256) in order. ``scores``: by lattice_sha256.

    ``failed``: why the file could not be certified. ``ended``: whether its last line is there.
    """

    frames: list[tuple[int, str]] = field(default_factory=list)
    scores: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    failed: str | None = None
    ended: bool = False


class Journal:
    """An open journal, of one process at a time. A context manager.

    ``head``: the first line, JSON types. ``resume``: go on with the one that is there; where none is, begin it.
    ``clock``: in seconds. Raises RecordError where the file is there and was not to be, is another job's, is damaged,
    is being written by somebody else, or cannot be written.
    """

    def __init__(
        self, path: Path, head: Mapping[str, Any], *, resume: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.path = path
        self._clock = clock
        self._known: list[Known] = [Known() for _ in head["inputs"]]
        self._before, self._done = 0.0, False
        self._begun = self._synced = clock()
        head = json.loads(json.dumps({"type": "job", "schema": SCHEMA, **head}, allow_nan=False))
        self._file = self._open(resume)
        try:
            if not self._read(head):
                self._write(head)
                self._sync()
                _sync_folder(path.parent)
        except BaseException:
            os.close(self._file)
            raise

    @property
    def seconds(self) -> float:
        """The time that the job has taken, in all its runs."""
        return self._before + self._clock() - self._begun

    @property
    def frames(self) -> int:
        """Frames that it holds."""
        return sum(len(known.frames) for known in self._known)

    def known(self, file: int) -> Known:
        """What it holds of an input, by the number of that."""
        return self._known[file]

    def frame(self, file: int, entry: Mapping[str, Any], certificate: Certificate) -> None:
        """A frame is certified."""
        scores = base64.b64encode(certificate.scores.astype("<f4").tobytes()).decode()
        self._write({"type": "frame", "file": file, "seconds": self._now(), **entry, "scores": scores})
        self._known[file].frames.append((entry["frame"], certificate.scores_sha256))

    def end(self, file: int, row: Mapping[str, Any]) -> None:
        """A file is done, or failed: ``row`` has the type."""
        self._write({"file": file, "seconds": self._now(), **row})
        self._sync()
        self._known[file].ended = True

    def finish(self) -> None:
        """All files are done."""
        if not self._done:
            self._write({"type": "done", "seconds": self._now()})
            self._sync()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            os.fsync(self._file)
        os.close(self._file)

    def _now(self) -> float:
        return round(self.seconds, 3)

    def _open(self, resume: bool) -> int:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            file = os.open(self.path, flags if resume else flags | os.O_EXCL, 0o644)
        except FileExistsError:
            raise RecordError(f"{self.path} is there: go on with it with --resume, or give another name") from None
        except OSError as error:
            raise RecordError(f"{self.path} cannot be written: {error.strerror}: choose another place") from None
        if not _locked(file):
            os.close(file)
            raise RecordError(f"{self.path} is being written by another process: wait for it, or give another name")
        return file

    def _read(self, head: Mapping[str, Any]) -> bool:
        """Take in what is there, and cut off a last line that is not whole; False where the job is to begin."""
        kept, number, current = 0, 0, 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break
                row = self._row(line, number)
                if number == 1:
                    self._same_job(row, head)
                else:
                    current = self._take(row, number, current)
                kept += len(line)
        try:
            os.ftruncate(self._file, kept)
            os.lseek(self._file, kept, os.SEEK_SET)
        except OSError as error:
            raise self._unwritable(error) from None
        return kept > 0

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise self._unfit(number, "it is no line of JSON")
        return row

    def _same_job(self, row: Mapping[str, Any], head: Mapping[str, Any]) -> None:
        if row == head:
            return
        if row.get("type") != "job" or row.get("schema") != SCHEMA:
            raise RecordError(f"{self.path} is not the journal of a job that this version of biqa began")
        raise RecordError(f"{self.path} cannot go on: {_difference(row, head)}")

    def _take(self, row: Mapping[str, Any], number: int, current: int) -> int:
        """Take in a line; ``current``: the file that it must be of. Returns that of the next line."""
        kind = row.get("type")
        try:
            self._before = float(row["seconds"])
            if kind == "done" and current == len(self._known):
                self._done = True
                return current
            if self._done or row["file"] != current or current >= len(self._known):
                raise self._unfit(number, "it does not follow the line before it")
            known = self._known[current]
            if kind == "frame":
                _take_frame(known, row)
                return current
            if kind not in ("input", "failed"):
                raise self._unfit(number, f"its type is {kind!r}")
            if kind == "input" and row["frames"] != len(known.frames):
                raise self._unfit(number, f"it counts {row['frames']!r} frames, not {len(known.frames)}")
            known.failed = str(row["error"]) if kind == "failed" else None
            known.ended = True
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, RecordError):
                raise
            raise self._unfit(number, f"{type(error).__name__} {error}") from None
        return current + 1

    def _unfit(self, number: int, why: str) -> RecordError:
        return RecordError(
            f"{self.path} line {number} is not what certify wrote there ({why}): cut the file before it, or begin anew"
        )

    def _write(self, row: Mapping[str, Any]) -> None:
        data = (json.dumps(row, allow_nan=False) + "\n").encode()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            raise self._unwritable(error) from None
        if self._clock() - self._synced >= SYNCED:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from None
        self._synced = self._clock()

    def _unwritable(self, error: OSError) -> RecordError:
        return RecordError(
            f"{self.path} cannot be written any more: {error.strerror}: make room, and the same command with --resume "
            "goes on"
        )


def _take_frame(known: Known, row: Mapping[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError for a line that holds something else."""
    certificate, frame = row["certificate"], row["frame"]
    if type(frame) is not int or (known.frames and frame <= known.frames[-1][0]):
        raise ValueError("its frame does not follow the one before it")
    try:
        data = base64.b64decode(row["scores"], validate=True)
    except binascii.Error:
        raise ValueError("its scores are not base64") from None
    if hashlib.sha256(data).hexdigest() != certificate["scores_sha256"]:
        raise ValueError("its scores are not those of its certificate")
    tiles = (len(certificate["map"]["median"]),) if "map" in certificate else ()
    scores = np.frombuffer(data, "<f4").astype(np.float32).reshape(int(certificate["drawn"]), *tiles)
    known.scores[str(certificate["lattice_sha256"])] = scores
    known.frames.append((frame, str(certificate["scores_sha256"])))


def fingerprint(path: Path) -> dict[str, Any]:
    """Path, size and SHA-256 of an input; None for both of what is no file or cannot be read."""
    size = sha256 = None
    with suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
    return {"path": str(path), "bytes": size, "sha256": sha256}


def _difference(row: Mapping[str, Any], head: Mapping[str, Any]) -> str:
    """The first thing that is not as it was when the job began, in words."""
    if row.get("secret_sha256") != head.get("secret_sha256"):
        return (
            "its secret is not this one: give the --secret-file it began with; where none was given, the secret ended "
            "with its process, and only a new job can make a whole log"
        )
    for key in sorted((row.keys() | head.keys()) - {"inputs"}):
        if row.get(key) != head.get(key):
            return f"{key} was {row.get(key)!r} when it began and is {head.get(key)!r} now: give the same command line"
    return _other_inputs(row.get("inputs"), head["inputs"])


def _other_inputs(then: Any, now: Sequence[Mapping[str, Any]]) -> str:
    if not isinstance(then, list) or [_path(one) for one in then] != [one["path"] for one in now]:
        count = len(then) if isinstance(then, list) else 0
        return f"its {count} inputs are not these {len(now)}, or not in this order: give the same files"
    changed = next(one for one, other in zip(now, then, strict=True) if one != other)
    return f"{changed['path']} is not the file that it was when the job began: put that back, or begin anew"


def _path(one: Any) -> Any:
    return one.get("path") if isinstance(one, dict) else None


def _locked(file: int) -> bool:
    """Keep others out while this process lives. True where the system has no such lock."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """So that the file's name outlives a power failure; where the system cannot, it need not."""
    with suppress(OSError):
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
