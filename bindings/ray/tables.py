"""Two Parquet files of a corpus: a row a frame, as ``biqa certify --parquet`` writes it, and a row a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime import ParameterError
from runtime.atomic import whole_place
from runtime.results.parquet import COLUMNS, need_pyarrow, rows_of

FILES: Mapping[str, str] = {
    "input": "string", "sha256": "string", "frames": "int64", "score": "float64", "lower": "float64",
    "upper": "float64", "bound": "string", "alpha": "float64", "joint_alpha": "float64", "error": "string",
}  # fmt: skip
"""Name → type of Arrow. ``score``, ``lower``, ``upper``: of the mean, with error ``alpha``; ``bound``: which it is.
``joint_alpha``: the error of all intervals of the file together."""


class Tables:
    """What is written at the end, whole or not at all. Raises DependencyError without pyarrow."""

    def __init__(self, path: Path) -> None:
        self._arrow = need_pyarrow()
        self._paths = path, path.with_name(path.name + ".files.parquet")
        for place in self._paths:
            if place.is_dir() or not place.parent.is_dir():
                raise ParameterError(f"{place} cannot be written: choose another --output")
        self._frames: list[dict[str, Any]] = []
        self._files: list[dict[str, Any]] = []

    def add(self, path: str, sha256: str, log: Mapping[str, Any]) -> None:
        """A file with its log."""
        self._frames += rows_of(log)
        (entry,) = log["inputs"]
        pooled, model = entry["pooled_metrics"], entry["certificate"]["model"]
        mean = {
            "score": pooled[model]["mean"],
            "lower": pooled[f"{model}_cert_lo"]["mean"],
            "upper": pooled[f"{model}_cert_hi"]["mean"],
            "bound": entry["pooled_bounds"]["mean"]["bound"],
        }
        known = {"input": path, "sha256": sha256, "frames": len(log["frames"]), **mean}
        self._files.append({**dict.fromkeys(FILES), **known, **{n: entry[n] for n in ("alpha", "joint_alpha")}})

    def fail(self, path: str, sha256: str, error: str) -> None:
        """A file that cannot be certified."""
        self._frames.append({**dict.fromkeys(COLUMNS), "input": path, "error": error})
        self._files.append({**dict.fromkeys(FILES), "input": path, "sha256": sha256 or None, "error": error})

    def write(self) -> float:
        """Both tables. Returns the error of all their intervals together."""
        for place, rows, columns in zip(self._paths, (self._frames, self._files), (COLUMNS, FILES), strict=True):
            schema = self._arrow.schema([(name, getattr(self._arrow, kind)()) for name, kind in columns.items()])
            try:
                with whole_place(place) as partial:
                    self._arrow.parquet.write_table(self._arrow.Table.from_pylist(rows, schema=schema), partial)
            except OSError as error:
                raise ParameterError(f"{place} cannot be written: {error.strerror or error}") from None
        return min(1.0, math.fsum(row["joint_alpha"] or 0.0 for row in self._files))
