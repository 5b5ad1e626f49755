"""The pictures of docs/report.md: pages of real certificates, seen in Chromium.

python -m benchmarks.report_pictures docs/pictures    writes clip, compare, folder, tiles and phone.png

Clips and stills are made from photographs without people that scikit-image ships: a cup of coffee, a cat, a rocket. A
clip's lens is out of focus for a while. It takes the extras of `make test` and a Chromium, and some five minutes.
"""

from __future__ import annotations

import io
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import skimage.data
from PIL import Image, ImageFilter

WIDTH, HEIGHT = 320, 240

SIZES = {"desk": (1180, 1180), "phone": (390, 844)}


def clip(path: Path, name: str, frames: int, crf: int, blur: Callable[[int], float]) -> Path:
    """A pan over a photograph. ``blur``: of a frame, in pixels."""
    photograph = _photograph(name)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": str(crf)})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            left = round((photograph.width - WIDTH) * index / (frames - 1))
            top = round((photograph.height - HEIGHT) * (0.5 - 0.5 * math.cos(6 * index / frames)))
            frame = photograph.crop((left, top, left + WIDTH, top + HEIGHT))
            frame = frame.filter(ImageFilter.GaussianBlur(blur(index)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())
    return path


def stills(folder: Path) -> list[Path]:
    """Photographs, each as it is, blurred, and as a coarse JPEG."""
    folder.mkdir()
    made = []
    for name in ("chelsea", "coffee", "rocket"):
        frame = _photograph(name)
        frame.thumbnail((WIDTH, WIDTH))
        made += [folder / f"{name}.png", folder / f"{name} blurred.png", folder / f"{name}.jpg"]
        frame.save(made[-3])
        frame.filter(ImageFilter.GaussianBlur(2)).save(made[-2])
        frame.save(made[-1], quality=8)
    return made


def _photograph(name: str) -> Image.Image:
    return Image.fromarray(getattr(skimage.data, name)()).convert("RGB")


def pages(folder: Path) -> dict[str, Path]:
    """Page by kind, made by the command line with the bundles that ship."""
    made = {kind: folder / f"{kind}.html" for kind in ("clip", "compare", "folder", "tiles")}
    coffee = clip(folder / "coffee.mp4", "coffee", 60, 23, lambda i: 3 * math.exp(-(((i - 38) / 7) ** 2)))
    new = clip(folder / "new.mp4", "chelsea", 24, 20, lambda i: 0)
    old = clip(folder / "old.mp4", "chelsea", 24, 36, lambda i: 1.2 * abs(math.sin(i / 5)))
    large = folder / "rocket.png"
    _photograph("rocket").save(large)
    _biqa("certify", str(coffee), "--samples", "64", "--report", str(made["clip"]))
    _biqa("compare", str(new), str(old), "--samples", "128", "--report", str(made["compare"]))
    files = [str(path) for path in stills(folder / "stills")]
    _biqa("certify", *files, "--samples", "101", "--report", str(made["folder"]))
    _biqa("certify", str(large), "--model", "tiles", "--samples", "201", "--report", str(made["tiles"]))
    return made


def _biqa(*words: str) -> None:
    """The command line, in this folder. Exit statuses are answers."""
    subprocess.run([sys.executable, "-m", "runtime", *words, "--quiet"], check=False)


def photograph_pages(made: dict[str, Path], folder: Path) -> None:
    """A screenshot of the head of each page, light and dark by turns, and of one on a phone."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        wanted = [(kind, kind, "desk", "dark" if kind == "compare" else "light") for kind in made]
        for name, kind, size, theme in (*wanted, ("phone", "clip", "phone", "light")):
            width, height = SIZES[size]
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
            )
            page = context.new_page()
            page.goto(made[kind].as_uri())
            if kind == "clip":
                page.locator("#chart").focus()
                for _ in range(38):
                    page.keyboard.press("ArrowRight")
                page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
            page.wait_for_timeout(200)
            _small(page.screenshot(), folder / f"{name}.png")
            context.close()
        browser.close()


def _small(png: bytes, path: Path) -> None:
    """Written with a palette: a third of the bytes, and no difference to be seen."""
    shown: Any = Image.open(io.BytesIO(png)).convert("RGB")
    shown.quantize(colors=256, dither=Image.Dither.NONE).save(path, optimize=True)


def main(folder: Path) -> None:
    """Make the pages and their pictures."""
    places = folder.absolute()
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):  # pages name files as they were given
        made = pages(Path())
        photograph_pages({kind: path.absolute() for kind, path in made.items()}, places)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.report_pictures FOLDER")
    main(Path(sys.argv[1]))
