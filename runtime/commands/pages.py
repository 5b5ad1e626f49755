"""``--report`` and ``--plot``: what a command shows beside its log.

Thumbnails are taken file by file, right after a file was scored and while it is at hand. The page is made at the end,
from the log.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic import whole_file, write_text
from ..bundle.manifest import GRAPHS
from ..bundle.store import open_bundle
from ..errors import BiqaError, ParameterError
from ..files.file_frames import FileFrames
from ..report import Model, Thumbnail, content, page, plot, take_thumbnails, thumbnail_share, worst
from ..report.plot import check_plot
from ..results.log import InputLog


def add_page_options(parser: argparse.ArgumentParser) -> None:
    """Where the page and the figure go."""
    parser.add_argument("--report", metavar="F", help="write a page to look at, offline and in one file: out.html")
    parser.add_argument(
        "--no-thumbnails", action="store_true", help="leave the frames out of the page, which shows the worst of them"
    )
    parser.add_argument("--plot", metavar="F", help="write a figure for a paper: .svg, .pdf or .png; takes matplotlib")


class Pages:
    """What the options ask to be shown. ``files``: how many there are, which share the room for thumbnails."""

    def __init__(self, options: argparse.Namespace, files: int) -> None:
        if "-" in (options.report, options.plot):
            raise ParameterError("--report and --plot take the name of a file, not -")
        check_plot(options.plot)
        self._options = options
        self._each, self._room = thumbnail_share(files)
        self._bundle = open_bundle(options.model) if options.report else None
        self._thumbnails: dict[int, list[Thumbnail]] = {}

    @property
    def names(self) -> tuple[str | None, str | None]:
        """Of the outputs, for :func:`runtime.commands.outputs.check_outputs`."""
        return self._options.report, self._options.plot

    def take(self, index: int, frames: FileFrames, log: InputLog) -> None:
        """Thumbnails of the worst frames of a file, which was just certified.

        A file that cannot be read again has none, and one line says so: hours of scoring are not thrown away for it.
        """
        scores = [(number, made.score, made.provenance.frame_sha256) for number, made in log.frames]
        try:
            self._take(index, frames, scores)
        except BiqaError as error:
            print(f"{log.path}: the page shows no frames of it: {error}", file=sys.stderr)

    def take_again(self, log: Mapping[str, Any], index: int, frames: FileFrames) -> None:
        """The same for a file of a log that was written before."""
        scores = [
            (frame["frame"], next(iter(frame["metrics"].values())), frame["certificate"]["frame_sha256"])
            for frame in log["frames"]
            if frame["input"] == index
        ]
        self._take(index, frames, scores)

    def _take(self, index: int, frames: FileFrames, scores: list[tuple[int, float, str]]) -> None:
        if self._options.report is None or self._options.no_thumbnails:
            return
        better = self._bundle is None or self._bundle.manifest.score.higher_is_better
        hashes = worst(scores, self._each, higher_is_better=better)
        found = {made.frame: made for made in take_thumbnails(frames, hashes, self._room)}
        self._thumbnails[index] = [found[number] for number in hashes if number in found]

    def write(self, log: Mapping[str, Any], log_name: str | None) -> None:
        """The page and the figure of a log. ``log_name``: where the log itself was written, None where nowhere."""
        if self._options.report is not None:
            shown = content(
                log,
                self._model_of(log),
                self._thumbnails,
                log_name=log_name if log_name not in (None, "-") else "log.json",
                model_name=None if self._options.model is None else str(self._options.model),
            )
            write_text(Path(self._options.report), page(shown))
        if self._options.plot is not None:
            place = Path(self._options.plot)
            try:
                with whole_file(place) as file:
                    file.write(plot(log, place.suffix.lower().removeprefix(".")))
            except OSError as error:
                raise ParameterError(f"{place} cannot be written: {error.strerror}: choose another place") from None

    def _model_of(self, log: Mapping[str, Any]) -> Model | None:
        """What the bundle says of itself, None where a log was made with another: its card is of no use for that."""
        shared = log["inputs"][0]["certificate"]
        if self._bundle is None or shared["sigma"] not in self._bundle.sigmas:
            return None
        level = self._bundle.at(shared["sigma"])
        digests = {level.graph_digest(precision) for precision in GRAPHS if GRAPHS[precision] in level.manifest.files}
        return Model.of(level) if shared["model_sha256"] in digests else None
