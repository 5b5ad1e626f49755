"""latency.py: how many samples a width takes, and what of its record the README shows."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from benchmarks import latency


def test_planned_samples_are_the_least_that_are_narrow_enough() -> None:
    for shift in (0.1, 0.4, 1.0):
        n = latency.planned_samples(shift)
        limit = latency.WIDER * latency.reach(latency.SAMPLES, shift)
        assert latency.reach(n, shift) <= limit
        assert max(latency.reach(m, shift) for m in (n - 1, n, n + 1)) > limit
        assert n < latency.SAMPLES


def test_width_of_all_samples_is_told_from_a_few() -> None:
    counts: list[int] = []

    def run(count: int) -> int:
        counts.append(count)
        return count

    row = latency.Row("made up", latency.SAMPLES, run, lambda: latency.reach(counts[-1], 0.5))
    assert latency.expected_width(row, 200, 0.5) == pytest.approx(latency.reach(latency.SAMPLES, 0.5))


def test_readme_has_the_rows_that_answer_its_reader() -> None:
    def row(name: str, samples: int, milliseconds: float) -> dict[str, Any]:
        return {"row": name, "samples": samples, "ms_certificate": milliseconds}

    rows = [
        row(f"{latency.PUBLISHED}, batch 4", 1000, 20_000),
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
