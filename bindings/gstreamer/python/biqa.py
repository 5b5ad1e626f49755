"""What GStreamer's Python loader opens: it looks for this file in the folder ``python`` of GST_PLUGIN_PATH."""

from __future__ import annotations

from bindings.gstreamer.api import Gst
from bindings.gstreamer.element import Biqa

__gstelementfactory__ = ("biqa", Gst.Rank.NONE, Biqa)
