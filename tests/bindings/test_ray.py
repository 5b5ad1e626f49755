"""Ray: the same bits as one process, whatever is split, killed or gone on with; failures are rows."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bindings.ray.__main__ import main as on_ray
from runtime.__main__ import main as biqa
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tiny_bundle

ray = pytest.importorskip("ray", reason="Ray is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    root = str(Path(__file__).parents[2])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = root
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A still, a clip of 12 frames, the same still again, and a damaged one; a model and a secret."""
    folder = tmp_path_factory.mktemp("ray")
    tiny_bundle(folder / "model")
    (folder / "secret").write_bytes(bytes(range(32)))
    inputs = folder / "in"
    inputs.mkdir()
    write_clip(inputs / "a.mp4", frames=12)
    Image.fromarray(photograph()[:64, :64]).save(inputs / "b.png")
    (inputs / "c.png").write_bytes((inputs / "b.png").read_bytes())
    (inputs / "d.png").write_bytes((inputs / "b.png").read_bytes()[:-40])
    return folder


def words(corpus: Path, *more: str) -> list[str]:
    return [str(corpus / "in"), "--model", str(corpus / "model"), "--secret-file", str(corpus / "secret"), *more]


def rows(path: Path) -> list[dict[str, Any]]:
    """Without what depends on the other files of a run."""
    found = parquet.read_table(path).to_pylist()
    for row in found:
        row.pop("frameNum")
    return found


@pytest.fixture(scope="module")
def alone(corpus: Path) -> list[dict[str, Any]]:
    """What one process says."""
    log = ["--parquet", str(corpus / "alone.parquet"), "--json", str(corpus / "alone.json"), "--quiet"]
    assert biqa(["certify", *words(corpus, *log)]) == 4
    return rows(corpus / "alone.parquet")


@pytest.fixture(scope="module")
def scored(corpus: Path) -> Path:
    """What a job on Ray says: a clip split in three, four files, one of them damaged."""
    out = corpus / "ray.parquet"
    assert on_ray(["certify", *words(corpus, "--output", str(out), "--shard", "5", "--quiet")]) == 4
    return out


def test_the_same_bits_as_one_process(corpus: Path, alone: list[dict[str, Any]], scored: Path) -> None:
    """Of every frame; and the pooled interval of the clip."""
    assert rows(scored) == alone
    (clip, still, again, damaged) = parquet.read_table(f"{scored}.files.parquet").to_pylist()
    entry = json.loads((corpus / "alone.json").read_text())["inputs"][0]
    mean = {key: value["mean"] for key, value in entry["pooled_metrics"].items()}
    assert (clip["score"], clip["lower"], clip["upper"]) == (mean["tiny"], mean["tiny_cert_lo"], mean["tiny_cert_hi"])
    assert clip["bound"] == "collective"
    assert clip["frames"] == 12
    assert still["sha256"] == again["sha256"]
    assert still["score"] == again["score"]
    assert damaged["score"] is None
    assert "cut or damaged" in damaged["error"]
    assert Path(f"{scored}.parts").is_dir()  # a file failed: what is scored is kept


def test_a_worker_that_is_killed_loses_nothing(corpus: Path, alone: list[dict[str, Any]], tmp_path: Path) -> None:
    """The first actor that scores is killed with signal 9."""
    killed: list[int] = []

    def kill() -> None:
        end = time.monotonic() + 60
        while not killed and time.monotonic() < end:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    name = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                if b"ScoreShards" in name and b"ray::" in name:
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(int(process.name))
                    return
            time.sleep(0.01)

    killer = threading.Thread(target=kill)
    killer.start()
    out = tmp_path / "ray.parquet"
    assert on_ray(["certify", *words(corpus, "--output", str(out), "--shard", "2", "--quiet")]) == 4
    killer.join()
    assert killed
    assert rows(out) == alone


def test_a_job_goes_on_by_content(
    corpus: Path, alone: list[dict[str, Any]], scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is scored is not scored again, not even of a file with another name; another radius is another job."""
    job = words(corpus, "--output", str(scored), "--shard", "5", "--quiet")
    assert on_ray(["certify", *job]) == 2
    assert "--resume" in capsys.readouterr().err
    (part,) = Path(f"{scored}.parts").iterdir()
    before = {file: file.stat().st_mtime_ns for file in part.iterdir()}
    assert on_ray(["certify", *job, "--resume"]) == 4
    assert {file: file.stat().st_mtime_ns for file in part.iterdir()} == before
    assert "14 of them kept" in capsys.readouterr().err
    assert rows(scored) == alone


def test_one_secret_is_asked_for(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert on_ray(["certify", str(corpus / "in"), "--output", str(tmp_path / "o.parquet")]) == 2
    assert "--secret-file" in capsys.readouterr().err


def test_a_callable_for_ones_own_pipeline(corpus: Path, alone: list[dict[str, Any]]) -> None:
    from bindings.ray import CertifyFiles, Job

    job = Job({"model": str(corpus / "model")}, secret_file=str(corpus / "secret"))
    files = ray.data.from_items([{"path": str(corpus / "in" / name)} for name in ("b.png", "d.png")])
    made = files.map_batches(CertifyFiles, fn_constructor_args=(job,), batch_size=1, concurrency=1).take_all()
    wanted = [row for row in alone if row["input"].endswith(("b.png", "d.png"))]
    found = sorted(made, key=lambda row: row["input"])
    assert [(row["input"], row["scores_sha256"], row["upper"]) for row in found] == [
        (row["input"], row["scores_sha256"], row["upper"]) for row in wanted
    ]
