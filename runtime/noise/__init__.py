"""Key and sample number → integer noise."""

from __future__ import annotations

from .draw import COMPILED, KEY_BYTES, draw_noise, fill_compiled, fill_numpy, key_words
from .keys import read_secret
from .table import NoiseTable, noise_table, table_for

__all__ = [
    "COMPILED",
    "draw_noise",
    "fill_compiled",
    "fill_numpy",
    "KEY_BYTES",
    "key_words",
    "noise_table",
    "NoiseTable",
    "read_secret",
    "table_for",
]
