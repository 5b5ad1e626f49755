"""latency.py: how many samples a width takes, and what of its record the README shows."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from benchmarks import latency
from benchmarks.parts import latency_rows as contenders


def test_planned_samples_are_the_least_that_are_narrow_enough() -> None:
    for shift in (0.1, 0.4, 1.0):
        n = contenders.planned_samples(shift)
        limit = contenders.WIDER * contenders.reach(contenders.SAMPLES, shift)
        assert contenders.reach(n, shift) <= limit
        assert max(contenders.reach(m, shift) for m in (n - 1, n, n + 1)) > limit
        assert n < contenders.SAMPLES


def test_width_of_all_samples_is_told_from_the_first_run() -> None:
    counts: list[int] = []

    def run(count: int) -> int:
        counts.append(count)
        return count

    row = contenders.Row("made up", contenders.SAMPLES, run, lambda: contenders.reach(counts[0], 0.5))
    assert latency.expected_width(row, 200, 0.5) == pytest.approx(contenders.reach(contenders.SAMPLES, 0.5))
    assert counts == [200]


def test_interrupted_run_goes_on_after_its_last_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def case(size: str, threads: int, options: Namespace) -> dict[str, Any]:
        if measured == ["256", "512"]:
            measured.append("interrupted")
            raise KeyboardInterrupt
        measured.append(size)
        return {"size": size, "threads": threads}

    monkeypatch.setattr(latency, "case", case)
    monkeypatch.setattr(latency, "CHECKPOINT", tmp_path / "build" / "latency.json")
    options = Namespace(size=["256", "512", "1080p"], threads=[1])
    with pytest.raises(KeyboardInterrupt):
        list(latency.cases(options, {"commit": "a"}, True))
    assert [made["size"] for made in latency.cases(options, {"commit": "a"}, True)] == options.size
    assert measured == ["256", "512", "interrupted", "1080p"]
    assert not latency.CHECKPOINT.exists()

    latency.CHECKPOINT.write_text(json.dumps({"record": {"commit": "a"}, "cases": [{"size": "of another commit"}]}))
    assert [made["size"] for made in latency.cases(options, {"commit": "a"}, False)] == options.size
    assert latency.CHECKPOINT.exists()  # a quick look leaves it to the run that it belongs to
    assert [made["size"] for made in latency.cases(options, {"commit": "b"}, True)] == options.size


def test_readme_has_the_rows_that_answer_its_reader() -> None:
    def row(name: str, samples: int, milliseconds: float) -> dict[str, Any]:
        return {"row": name, "samples": samples, "ms_certificate": milliseconds}

    rows = [
        row(f"{contenders.PUBLISHED}, batch 4", 1000, 20_000),
        row("ours, fp32: certify, all samples", 1000, 10_000),
        row("ours, fp32: certify, stop at 1.1 × the published width", 40, 400),
        row("ours, fp32: gate, three half-widths away", 32, 250),
    ]
    cases = [{"size": size, "threads": threads, "rows": rows} for size in ("256", "512") for threads in (1, 2)]
    machine = {"processor": "a processor", "cores": 2, "gpu": None, "python": "3", "packages": {}, "commit": "0000000"}
    lines = latency.summary({"machine": machine, "cases": cases}).splitlines()
    assert lines[-3:] == [
        "| PyTorch, eager fp32: the published method | 1000 | 20.00 | 1.0 | 20.00 | 1.0 |",
        "| ours, fp32: certify, stop at 1.1 × the published width | 40 | 0.40 | 50.0 | 0.40 | 50.0 |",
        "| ours, fp32: gate, three half-widths away | 32 | 0.25 | 80.0 | 0.25 | 80.0 |",
    ]
