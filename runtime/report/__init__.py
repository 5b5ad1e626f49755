"""A log → what people look at: one page that opens offline, and a figure for papers.

The page is one template, one stylesheet, one script and uPlot (MIT, uPlot.LICENSE), with the log's numbers as JSON in
it. It asks for nothing: its policy forbids every request, and runs no script but these two, by their SHA-256.

``uPlot.iife.min.js`` is that file of the npm package uplot 1.6.32, byte for byte; a test holds its SHA-256.
"""

from __future__ import annotations

from .content import Model, content
from .page import page
from .plot import plot
from .thumbnails import Thumbnail, take_thumbnails, thumbnail_share, worst

__all__ = ["Model", "Thumbnail", "content", "page", "plot", "take_thumbnails", "thumbnail_share", "worst"]
