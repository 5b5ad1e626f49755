"""Watch a live stream: an alarm as soon as its quality is certainly below a threshold.

    python examples/watch_stream.py 'rtspsrc location=rtsp://camera/stream ! decodebin' --at-least 50
    python examples/watch_stream.py                                          # a test picture of GStreamer's own

Takes GStreamer with its Python bindings, and the element ``biqa`` (docs/gstreamer.md):

    eval "$(python -m bindings.gstreamer)"

A live stream has no last frame that is known beforehand, so each certificate stands alone at α. The alarm takes
``IN_A_ROW`` frames whose certified *upper* bound lies below the threshold: noise alone does that with probability α a
frame, and a change of ε to a frame does not hide it. ``--subsample`` leaves the frames between two scores unscored.
Where scoring is slower than a live stream, frames are dropped before it: viewers never wait, a file is scored whole.
"""

# %% What is asked
from __future__ import annotations

import argparse
import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402

IN_A_ROW = 2
MADE = (
    "videotestsrc num-buffers=40 pattern=ball motion=wavy ! video/x-raw,format=I420,width=96,height=64,framerate=25/1"
)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("source", nargs="?", default=MADE, help="what comes before the element; default: a test picture")
parser.add_argument("--at-least", type=float, default=50, metavar="T", help="the score below which is the alarm")
parser.add_argument("--model", help="bundle; default: the one that ships")
parser.add_argument("--samples", type=int, default=64, help="noisy copies of a scored frame; default 64")
parser.add_argument("--subsample", type=int, default=5, metavar="N", help="score every N-th frame; default 5")
asked = parser.parse_args()

# %% The pipeline: frames go on to their viewers, a copy of them is scored
Gst.init(None)
element = f"biqa samples={asked.samples} subsample={asked.subsample}" + (f" model={asked.model}" if asked.model else "")
pipeline = Gst.parse_launch(
    f"{asked.source} ! tee name=viewers ! queue ! fakesink sync=false async=false  "
    f"viewers. ! queue name=scored max-size-buffers=2 ! videoconvert ! {element} ! fakesink sync=false async=false"
)
pipeline.set_state(Gst.State.PAUSED)
if pipeline.get_state(10 * Gst.SECOND)[0] == Gst.StateChangeReturn.NO_PREROLL:  # live: it waits for nobody
    pipeline.get_by_name("scored").set_property("leaky", 2)
pipeline.set_state(Gst.State.PLAYING)

# %% Messages, until the stream ends
below = alarms = 0
while True:
    message = pipeline.get_bus().timed_pop_filtered(
        Gst.CLOCK_TIME_NONE, Gst.MessageType.ELEMENT | Gst.MessageType.ERROR | Gst.MessageType.EOS
    )
    if message.type == Gst.MessageType.EOS:
        break
    if message.type == Gst.MessageType.ERROR:
        pipeline.set_state(Gst.State.NULL)
        sys.exit(f"error: {message.parse_error()[0].message}")
    said = message.get_structure()
    if said.get_name() != "biqa" or said.get_string("type") != "frame":
        continue
    record = json.loads(said.get_string("record"))
    seconds = said.get_value("time") / 1e9
    print(f"{seconds:8.2f} s  {record['score']:.2f} [{record['lower']:.2f}, {record['upper']:.2f}]", flush=True)
    below = below + 1 if record["upper"] < asked.at_least else 0
    if below == IN_A_ROW:
        alarms += 1
        print(f"{seconds:8.2f} s  ALARM: certainly below {asked.at_least:g}", flush=True)

pipeline.set_state(Gst.State.NULL)
print(f"{alarms} alarms")
sys.exit(1 if alarms else 0)
