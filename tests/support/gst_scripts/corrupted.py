"""Push two buffers, the second one marked corrupted, and print the error that comes: MODEL."""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

Gst.init(None)
caps = "video/x-raw,format=I420,width=64,height=48,framerate=25/1"
pipeline = Gst.parse_launch(f"appsrc name=source caps={caps} format=time ! biqa model={sys.argv[1]} ! fakesink")
pipeline.set_state(Gst.State.PLAYING)
for index in range(2):
    buffer = Gst.Buffer.new_wrapped(bytes([80]) * (64 * 48 * 3 // 2))
    buffer.pts = index * 40_000_000
    if index == 1:
        buffer.set_flags(Gst.BufferFlags.CORRUPTED)
    pipeline.get_by_name("source").emit("push-buffer", buffer)
certified = 0
while True:
    message = pipeline.get_bus().timed_pop(20 * Gst.SECOND)
    if message.type == Gst.MessageType.ELEMENT and message.get_structure().get_name() == "biqa":
        certified += 1
    if message.type == Gst.MessageType.ERROR:
        break
print(certified, message.parse_error()[0].message)
pipeline.set_state(Gst.State.NULL)
