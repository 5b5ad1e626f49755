"""A job that is killed again and again while it certifies, next to one that is left alone.

    python -m tests.support.killed_jobs FOLDER KILLS SEED

FOLDER is one of ``job_folder``. Every run is a process of its own, forked from this one, which has no
engine open, so that a run costs no second of imports. After a time drawn evenly from what a whole job takes it is
killed (SIGKILL), every third time interrupted (SIGINT); then the same command goes on. Prints a line of JSON:
``kills`` that met a job at work, ``jobs`` that came to their end, ``failures``: what went wrong.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

from PIL import Image

from runtime.__main__ import main
from tests.support.clips import photograph, write_clip

TIMING = ("fps",)
"""What of a log may differ."""
POLL = 0.005
"""Seconds from look to look whether a run has ended."""
STOPPED = (-signal.SIGKILL, 130)
"""How a run ends that got a signal."""


def job_folder(folder: Path) -> Path:
    """A model, a secret, and files: two clips, two stills and a damaged one between them. All of them are small."""
    from tests.support.tiny import tiny_bundle

    tiny_bundle(folder / "model")
    (folder / "secret").write_bytes(bytes(range(32)))
    files = folder / "files"
    (files / "b").mkdir(parents=True)
    Image.fromarray(photograph()[:32, :48]).save(files / "2.png")
    Image.fromarray(photograph()[64:96, :48]).save(files / "10.png")
    write_clip(files / "a.mp4", frames=8, width=48, height=32)
    write_clip(files / "b" / "9.mp4", frames=5, width=48, height=32)
    (files / "b" / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    return folder


def command(folder: Path, name: str, *more: str) -> list[str]:
    """A job over all files of the folder. ``name``: of its journal and its log."""
    words = ["certify", str(folder / "files"), "--model", str(folder / "model"), "--quiet", "--threads", "1"]
    words += ["--secret-file", str(folder / "secret"), "--journal", str(folder / f"{name}.ndjson")]
    return [*words, "--json", str(folder / f"{name}.json"), *more]


def forked(words: list[str], said: Path, seconds: float = math.inf, sent: signal.Signals = signal.SIGKILL) -> int:
    """The exit status of a run, that of a signal negative. ``sent``: the signal that it gets after ``seconds``.

    ``said``: where its standard output and error go.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        with said.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            status = main(words)
            sys.stderr.flush()
            os._exit(status)
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL)
    os.kill(child, sent)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def log(path: Path) -> dict[str, Any]:
    """A log without what is of its run alone."""
    return {key: value for key, value in json.loads(path.read_text()).items() if key not in TIMING}


def wrong_rows(journal: Path) -> str | None:
    """What a journal of a whole job has lost or doubled; None if nothing."""
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    frames = [(row["file"], row["frame"]) for row in rows if row["type"] == "frame"]
    ended = [row["file"] for row in rows if row["type"] in ("input", "failed")]
    if len(frames) != len(set(frames)) or ended != list(range(len(rows[0]["inputs"]))):
        return f"frames {len(frames)}, different ones {len(set(frames))}, files ended {ended}"
    return None if [row["type"] for row in (rows[0], rows[-1])] == ["job", "done"] else "no first or no last line"


def killed(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill jobs until there were ``kills``, and compare each that comes to its end with one left alone."""
    draw = random.Random(seed)
    began = time.monotonic()
    said = folder / "said"
    status = forked(command(folder, "whole"), said)
    whole = time.monotonic() - began
    expected, wrong = log(folder / "whole.json"), wrong_rows(folder / "whole.ndjson")
    failures = [] if wrong is None else [f"left alone: {wrong}"]
    made = jobs = 0
    while made < kills and not failures:
        for name in ("killed.ndjson", "killed.json"):
            (folder / name).unlink(missing_ok=True)
        ended = STOPPED[0]
        while ended in STOPPED:
            sent = signal.SIGINT if made % 3 == 2 else signal.SIGKILL
            seconds = draw.uniform(0, whole) if made < kills else math.inf
            began, fresh = time.monotonic(), not (folder / "killed.ndjson").exists()
            ended = forked(command(folder, "killed", "--resume"), said, seconds, sent)
            made += ended in STOPPED
            if fresh and ended == status:  # the machine is less busy than it was
                whole = min(whole, time.monotonic() - began)
        jobs += 1
        if ended != status:
            failures.append(f"job {jobs}: exit status {ended}, not {status}: {said.read_text()}")
        elif log(folder / "killed.json") != expected:
            failures.append(f"job {jobs}: another log")
        elif (why := wrong_rows(folder / "killed.ndjson")) is not None:
            failures.append(f"job {jobs}: {why}")
    return {"kills": made, "jobs": jobs, "failures": failures}


if __name__ == "__main__":
    print(json.dumps(killed(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
