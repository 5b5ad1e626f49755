"""Folders, lists and long jobs: what is read, what is kept, and that a stopped job ends as one that never stopped.

Jobs that are killed at random are in tests/torture/jobs.py.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from runtime.__main__ import main
from runtime.commands import journal
from runtime.files.listing import listed
from runtime.samplers.onnx import OnnxSampler
from tests.support.clips import photograph
from tests.support.killed_jobs import command, job_folder, log, wrong_rows
from tests.support.tiny import tile_bundle, tiny_bundle

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model, a secret, and a folder of two clips, two stills and a damaged one between them."""
    monkeypatch.chdir(tmp_path)
    return job_folder(tmp_path)


def run(folder: Path, name: str, *more: str) -> int:
    return main(command(folder, name, *more))


def test_folders_patterns_and_lists(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In natural order, without what is hidden, linked or no medium, and each file once."""
    (folder / "files" / ".hidden").mkdir()
    shutil.copy("files/2.png", "files/.hidden/3.png")
    shutil.copy("files/2.png", "files/.4.png")
    Path("files/notes.txt").write_text("no medium")
    Path("files/b/up").symlink_to(folder / "files")
    found = ["files/2.png", "files/10.png", "files/a.mp4", "files/b/9.mp4", "files/b/bad.jpg"]
    assert list(map(str, listed([Path("files")]))) == found
    assert list(map(str, listed([Path("files/**/*.mp4"), Path("files")]))) == found[2:4] + found[:2] + found[4:]
    assert list(map(str, listed([Path("files/[12]*.png")]))) == found[:2]
    Path("[1].png").write_bytes(b"a name may look like a pattern")
    assert listed([Path("[1].png")]) == [Path("[1].png")]
    assert listed([Path("a.png"), Path("a.png")]) == [Path("a.png"), Path("a.png")]
    Path("list.txt").write_text("files/a.mp4\n\nfiles/2.png\n")
    words = ["certify", "--files-from", "list.txt", "--model", "model", "--json", "log.json", "--quiet"]
    assert main(words) == 0
    made = json.loads(Path("log.json").read_text())
    assert [entry["path"] for entry in made["inputs"]] == ["files/a.mp4", "files/2.png"]
    assert made["joint_claim"].endswith(
        "For all 2 files to hold at once except with probability A, ask for --alpha A/4."
    )
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"files/2.png\n")))
    assert main(["certify", "--files-from", "-", "--model", "model", "--quiet"]) == 0
    assert "tiny score" in capsys.readouterr().err


def test_a_folder_ends_in_one_log_and_failures_are_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    words = ["certify", "files", "--model", "model", "--secret-file", "secret", "--quiet"]
    assert main([*words, "--out-dir", "out", "--parquet", "out/log.parquet"]) == 4
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "journal.ndjson",
        "log.csv",
        "log.json",
        "log.parquet",
    ]
    assert "error: files/b/bad.jpg" in capsys.readouterr().err
    made = json.loads(Path("out/log.json").read_text())
    rows = pyarrow.read_table("out/log.parquet").to_pylist()
    csv_rows = Path("out/log.csv").read_text().splitlines()
    assert len(rows) == len(csv_rows) - 1 == len(made["frames"]) + 1 == 16
    assert rows[-1]["input"] == "files/b/bad.jpg"
    assert rows[-1]["error"] == made["failed"][0]["error"]
    assert csv_rows[-1].startswith(",,,,,files/b/bad.jpg,")
    for row, entry in zip(rows, made["frames"], strict=False):
        assert (row["score"], row["lower"], row["upper"]) == tuple(entry["metrics"].values())
        assert row["scores_sha256"] == entry["certificate"]["scores_sha256"]
    assert main(["replay", "out/log.json", "files", "--model", "model", "--secret-file", "secret"]) == 0
    assert main([*words, "--out-dir", "out"]) == 2
    assert "out/journal.ndjson is there: go on with it with --resume" in capsys.readouterr().err
    assert main([*words, "--out-dir", "out", "--resume"]) == 4


def _interrupted_every(lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a job is interrupted before every so many lines of its journal."""
    write, count = journal.Journal._write, [0]

    def interrupted(self: Any, row: Any) -> None:
        count[0] += 1
        if count[0] % lines == 0:
            raise KeyboardInterrupt
        write(self, row)

    monkeypatch.setattr(journal.Journal, "_write", interrupted)


def _drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Samples that the engine is asked for from now on."""
    scores, drawn = OnnxSampler.scores, []

    def counted(self: Any, lattice: Any, key: Any, start: int, count: int) -> Any:
        drawn.append(count)
        return scores(self, lattice, key, start, count)

    monkeypatch.setattr(OnnxSampler, "scores", counted)
    return drawn


@pytest.mark.parametrize("more", [[], ["--share-noise"], ["--tolerance", "1"], ["--levels", "1"]])
def test_a_stopped_job_ends_as_one_that_was_not(
    folder: Path, more: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is scored twice but the frame that it was stopped at."""
    for name in ("2.png", "b/9.mp4"):
        (folder / "files" / name).unlink()
    if "--levels" in more:
        shutil.rmtree("model")
        tile_bundle(folder / "model", tile=8)
    assert run(folder, "whole", *more) == 4
    drawn = _drawn(monkeypatch)
    _interrupted_every(5, monkeypatch)
    assert [run(folder, "part", *more, "--resume") for _ in range(4)] == [130, 130, 130, 4]
    assert "part.ndjson keeps 6 frames, and --resume goes on with them" in capsys.readouterr().err
    made = log(folder / "part.json")
    assert made == log(folder / "whole.json")
    assert wrong_rows(folder / "part.ndjson") is None
    samples = [frame["certificate"]["drawn"] for frame in made["frames"]]
    assert sum(samples) <= sum(drawn) <= sum(samples) + 3 * max(samples)
    drawn.clear()
    assert run(folder, "part", *more, "--resume") == 4
    assert drawn == []


def test_a_line_cut_anywhere_is_made_again(folder: Path) -> None:
    """As a power failure leaves it: every 400th byte of the journal is its end once."""
    for name in ("2.png", "b/9.mp4", "10.png"):
        (folder / "files" / name).unlink()
    assert run(folder, "whole") == 4
    whole = Path("whole.ndjson").read_bytes()
    for end in range(0, len(whole), max(1, len(whole) // 8)):
        Path("part.ndjson").write_bytes(whole[:end])
        assert run(folder, "part", "--resume") == 4
        assert log(folder / "part.json") == log(folder / "whole.json"), end
        assert wrong_rows(folder / "part.ndjson") is None, end


def _refused(folder: Path, name: str) -> list[str]:
    """Change what the table below names; what to say more to go on."""
    if name == "secret":
        Path("secret").write_bytes(bytes(32))
    elif name == "input":
        Image.fromarray(photograph()[:32, 1:49]).save("files/2.png")
    elif name == "new input":
        shutil.copy("files/2.png", "files/3.png")
    elif name == "model":
        shutil.rmtree("model")
        tiny_bundle(folder / "model", extra="sixteen")
    lines = Path("job.ndjson").read_bytes().splitlines(keepends=True)
    if name == "garbage":
        lines[3] = b"\0" * len(lines[3])
    elif name == "doubled":
        lines[3] = lines[2]
    elif name == "lost":
        del lines[3]
    elif name == "score":
        row = json.loads(lines[3])
        row["scores"] = row["scores"][:-8] + "AAAAAAA="
        lines[3] = json.dumps(row).encode() + b"\n"
    elif name == "other":
        lines[0] = b"{}\n"
    Path("job.ndjson").write_bytes(b"".join(lines))
    return {"alpha": ["--alpha", "0.01"], "samples": ["--samples", "64"], "seed": ["--public-seed", "1"]}.get(name, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("secret", "its secret is not this one: give the --secret-file it began with"),
        ("input", "files/2.png is not the file that it was when the job began"),
        ("new input", "its 5 inputs are not these 6"),
        ("model", "model was "),
        ("alpha", "claim was "),
        ("samples", "claim was "),
        ("garbage", "line 4 is not what certify wrote there (it is no line of JSON)"),
        ("doubled", "line 4 is not what certify wrote there"),
        ("lost", "line 4 is not what certify wrote there (it counts 1 frames, not 0)"),
        ("score", "its scores are not"),
        ("other", "is not the journal of a job"),
    ],
)
def test_a_job_that_is_another_is_refused(
    folder: Path, change: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "job") == 4
    more = _refused(folder, change)
    kept = Path("job.ndjson").read_bytes()
    capsys.readouterr()
    assert run(folder, "job", "--resume", *more) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert Path("job.ndjson").read_bytes() == kept


def test_a_job_without_a_kept_secret_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["certify", "files/2.png", "--model", "model", "--journal", "job.ndjson"]
    assert main(words) == 0
    assert "give a --secret-file to be able to --resume" in capsys.readouterr().err
    head, *rows = Path("job.ndjson").read_text().splitlines(keepends=True)
    other = json.loads(head) | {"secret_sha256": "0" * 64}  # that of another process
    Path("job.ndjson").write_text(json.dumps(other) + "\n" + "".join(rows))
    assert main([*words, "--resume"]) == 2
    assert "only a new job can make a whole log" in capsys.readouterr().err


def test_one_process_at_a_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fcntl = pytest.importorskip("fcntl", reason="this system has no flock")
    assert run(folder, "job") == 4
    with open("job.ndjson", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(folder, "job", "--resume") == 2
    assert "is being written by another process" in capsys.readouterr().err


def test_a_full_disk_is_one_error_and_the_job_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The disk takes half a line, then none; it is full while the log is written, too."""
    assert run(folder, "whole") == 4
    room, write = [9000], os.write

    def full(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(file, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(journal.os, "write", full)
    capsys.readouterr()
    assert run(folder, "part") == 2
    assert re.fullmatch(
        r"error: \S*part.ndjson cannot be written any more: No space left on device: make room, and the same command "
        r"with --resume goes on\n",
        capsys.readouterr().err,
    )
    assert not Path("part.json").exists()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert run(folder, "part", "--resume") == 4
    assert log(folder / "part.json") == log(folder / "whole.json")
    assert wrong_rows(folder / "part.ndjson") is None


def test_a_real_limit_on_a_file(folder: Path) -> None:
    """The system refuses to make the journal longer (RLIMIT_FSIZE), as a full disk does."""
    words = [sys.executable, "-m", "runtime", *command(folder, "part")]
    limit = (9000, 9000)
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )  # fmt: skip
    assert done.returncode == 2
    assert "part.ndjson cannot be written any more: File too large" in done.stderr.splitlines()[-1]
    assert Path("part.ndjson").stat().st_size == limit[0]
    assert run(folder, "part", "--resume") == 4
    assert wrong_rows(folder / "part.ndjson") is None


def test_a_place_that_cannot_be_written_is_refused_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever may write anywhere, root, is told so by the system alone."""

    def read_only(*arguments: Any) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    drawn = _drawn(monkeypatch)
    monkeypatch.setattr(journal.os, "open", read_only)
    assert run(folder, "job") == 2
    assert "job.ndjson cannot be written: Read-only file system: choose another place" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert run(folder, "job") == 2
    assert "is not writable" in capsys.readouterr().err
    assert drawn == []
    assert not Path("job.ndjson").exists()
