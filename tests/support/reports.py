"""Pages of the tiny model's certificates, made by the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from runtime.__main__ import main
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tile_bundle, tiny_bundle

HOSTILE = "</script><img src=x onerror=alert(1)>.png"
"""A file name, but for the slash: what a page must not run."""


def content_of(page: Path) -> dict[str, Any]:
    """The data in a page."""
    found = re.search(r'id="content">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    made: dict[str, Any] = json.loads(found[1])
    return made


def make_pages(folder: Path) -> dict[str, Path]:
    """Page by kind: clip, compare, folder, tiles."""
    model, tiles = tiny_bundle(folder / "model").path, tile_bundle(folder / "tiled").path
    clip, dark = write_clip(folder / "clip.mp4", frames=12), folder / "dark.mp4"
    write_clip(dark, frames=12, codec="libx264", options={"crf": "40"})
    frame = photograph()[:96, :128]
    stills = folder / "stills"
    hostile = stills / HOSTILE
    hostile.parent.mkdir(parents=True)
    for index, name in enumerate(("bright.png", "dim.png", "middle.png")):
        Image.fromarray((frame * (1 - 0.2 * index)).astype(np.uint8)).save(stills / name)
    Image.fromarray(frame).save(folder / "still.png")
    named = Path(str(hostile).replace(".png", "")).parent
    named.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame).save(hostile)
    (stills / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno chunks")
    pages = {kind: folder / f"{kind}.html" for kind in ("clip", "compare", "folder", "tiles")}
    seed = ("--public-seed", "7", "--quiet")
    assert main(["certify", str(clip), "--model", str(model), *seed, "--report", str(pages["clip"])]) == 0
    main(["compare", str(clip), str(dark), "--model", str(model), *seed, "--report", str(pages["compare"])])
    inputs = [str(path) for path in sorted(stills.rglob("*.png"))]
    assert main(["certify", *inputs, "--model", str(model), *seed, "--report", str(pages["folder"])]) == 4
    still = str(folder / "still.png")
    assert main(["certify", still, "--model", str(tiles), *seed, "--report", str(pages["tiles"])]) == 0
    return pages
