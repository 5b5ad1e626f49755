"""``python -m bindings.capi``: where header and sources lie, and the command that builds libbiqa for this Python."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

print(f"header   {HERE / 'biqa.h'}")
print(f"sources  {HERE}")
print(f"build    make -C {HERE} PYTHON={sys.executable} BUILD=$PWD/biqa PREFIX=$PWD/biqa install")
