"""A log as a Parquet file, for those who load a corpus into a table: a row a frame, and a row a file that failed.

The columns have one name and one type whatever the model is called. What a row does not have is null: an infinite
bound, and of a file that failed all but ``input`` and ``error``. Needs pyarrow, the extra ``parquet``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic import whole_place
from ..errors import DependencyError, ParameterError
from ..install import pip_install

__all__ = ["COLUMNS", "need_pyarrow", "rows_of", "write_parquet"]

COLUMNS: Mapping[str, str] = {
    "input": "string", "frame": "int64", "frameNum": "int64",
    "score": "float64", "lower": "float64", "upper": "float64", "abstained": "bool_",
    "epsilon": "float64", "alpha": "float64", "scope": "string", "samples": "int64", "drawn": "int64",
    "failed_samples": "int64", "height": "int64", "width": "int64", "bit_depth": "int64",
    "model": "string", "model_sha256": "string", "sigma": "float64",
    "frame_sha256": "string", "scores_sha256": "string", "secret_sha256": "string", "joint_alpha": "float64",
    "error": "string",
}  # fmt: skip
"""Name → type of Arrow. ``alpha`` is the frame's own share, ``joint_alpha`` that of all intervals of its file."""


def need_pyarrow() -> Any:
    """pyarrow. Raises DependencyError where it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DependencyError(f"--parquet takes pyarrow, which is not installed: {pip_install('parquet')}") from None
    return pyarrow


def rows_of(log: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a frame in the order of the log, then one for each file that failed."""
    rows = []
    for entry in log["frames"]:
        source = log["inputs"][entry["input"]]
        known = {**source["certificate"], **entry["certificate"], **entry, "joint_alpha": source["joint_alpha"]}
        rows.append({name: known.get(name) for name in COLUMNS} | {"input": source["path"], "error": None})
    for one in log.get("failed", ()):
        rows.append(dict.fromkeys(COLUMNS) | {"input": one["path"], "error": one["error"]})
    return rows


def write_parquet(log: Mapping[str, Any], path: Path) -> None:
    """Raises ParameterError where the file cannot be written, DependencyError without pyarrow."""
    arrow = need_pyarrow()
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in COLUMNS.items()])
    try:
        with whole_place(path) as partial:
            arrow.parquet.write_table(arrow.Table.from_pylist(rows_of(log), schema=schema), partial)
    except OSError as error:
        raise ParameterError(f"{path} cannot be written: {error.strerror or error}: choose another place") from None
