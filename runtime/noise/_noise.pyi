from typing import Any

import numpy as np
from numpy.typing import NDArray

def fill(
    out: NDArray[Any],
    clean: NDArray[Any] | None,
    cells: NDArray[np.int32],
    whole: int,
    residual_values: NDArray[np.int32],
    residual_upper: NDArray[np.uint64],
    key: NDArray[np.uint64],
    start: int,
    /,
) -> None:
    """Fill the rows of ``out``, count×size, with samples ``start`` …: ``noise.draw`` of checked arguments."""
