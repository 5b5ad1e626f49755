"""Content → the page: template, style, scripts and data in one file that needs no other.

File names and model cards are written by others. Two walls keep them from being run:

- The data is JSON in a ``<script type="application/json">`` in which <, > and & are written as escapes. So no
  ``</script>`` or ``<!--`` can be in it. The script puts every text in place as text, never as HTML.
- The policy in ``<meta http-equiv="Content-Security-Policy">`` lets two scripts run, named by their SHA-256, and one
  style. Nothing may be fetched: pictures are ``data:`` alone.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PARTS = Path(__file__).parent
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def page(content: Mapping[str, Any]) -> str:
    """The whole page. ``content``: of :func:`runtime.report.content.content`."""
    style, script = _part("page.css"), _part("page.js")
    library = f"/*!\nuPlot 1.6.32\n\n{_part('uPlot.LICENSE')}\n*/\n{_part('uPlot.iife.min.js')}"
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(library)} {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    parts = {
        "policy": policy,
        "title": html.escape(str(content["title"])),
        "style": style,
        "library": library,
        "script": script,
        "data": json.dumps(content, separators=(",", ":"), allow_nan=False).translate(_ESCAPES),
    }
    return _PLACE.sub(lambda place: parts[place[1]], _part("page.html"))


def _part(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
