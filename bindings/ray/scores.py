"""The scores of frames as bytes: NumPy's .npz, an array a frame, named by the SHA-256 of its lattice; no pickles."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from runtime import Certificate


def packed(certificates: Iterable[Certificate]) -> bytes:
    """Of certificates."""
    file = io.BytesIO()
    np.savez(file, **{c.provenance.lattice_sha256: c.scores for c in certificates})  # type: ignore[arg-type]
    return file.getvalue()


def unpacked(data: bytes) -> Mapping[str, NDArray[np.float32]]:
    """The inverse; of no bytes, nothing."""
    if not data:
        return {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def merged(parts: Iterable[bytes]) -> bytes:
    """One of several."""
    file = io.BytesIO()
    np.savez(file, **{name: array for part in parts for name, array in unpacked(part).items()})  # type: ignore[arg-type]
    return file.getvalue()
