"""Rank encoders at one bit rate: which places are certain, and which are ties?

    python examples/rank_encoders.py                                  # a clip made from a photograph of a cup of coffee
    python examples/rank_encoders.py clip.mp4 --kbits 500 --subsample 5

Read it cell by cell, in an editor or as a notebook. Each encoder encodes the same frames and is asked for the same
rate; the table has the bytes that it took. Then every pair is compared as far as it takes, with one α for the whole
table: with probability ≥ 1−α every place is right, whatever was done within ε to each frame of each encode.
"""

# %% What is asked
from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import skimage.data
from leaderboard import places

from runtime import FileFrames

WANTED = ("libx264", "libx265", "libvpx-vp9", "libsvtav1", "mpeg2video")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("clip", type=Path, nargs="?", help="default: made from a photograph that scikit-image ships")
parser.add_argument(
    "--encoders", nargs="+", default=WANTED, metavar="E", help=f"of FFmpeg; default: {' '.join(WANTED)}"
)
parser.add_argument("--kbits", type=int, default=120, help="kbit/s of every encode; default 120")
parser.add_argument("--model", type=Path, help="bundle; default: the one that ships")
parser.add_argument("--samples", type=int, help="noisy copies a frame, at most; default: the model's")
parser.add_argument("--subsample", type=int, default=1, metavar="N", help="certify every N-th frame; default: all")
asked = parser.parse_args()

folder = Path(tempfile.mkdtemp(prefix="encoders-"))

# %% The clip: yours, or a slow pan over a still
clip = asked.clip
if clip is None:
    clip = folder / "coffee.mkv"
    coffee = skimage.data.coffee()  # type: ignore[no-untyped-call]
    with av.open(clip, "w") as made:
        lossless = made.add_stream("ffv1", rate=Fraction(25))
        assert isinstance(lossless, av.VideoStream)
        lossless.width, lossless.height, lossless.pix_fmt = 256, 192, "yuv420p"
        for left in range(0, 48, 4):
            pixels = np.ascontiguousarray(coffee[100:292, 150 + left : 406 + left])
            made.mux(lossless.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        made.mux(lossless.encode())

# %% One encode each
encodes: dict[Path, str] = {}
for encoder in asked.encoders:
    if encoder not in av.codecs_available:
        print(f"{encoder}: this FFmpeg does not have it")
        continue
    target = folder / f"{encoder}.mkv"
    with av.open(clip) as source, av.open(target, "w") as made:
        stream = made.add_stream(encoder, rate=source.streams.video[0].average_rate or 25)
        assert isinstance(stream, av.VideoStream)
        first = source.streams.video[0].codec_context
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, "yuv420p"
        stream.bit_rate = 1000 * asked.kbits
        for frame in source.decode(video=0):
            plain = frame.reformat(format="yuv420p")
            plain.pict_type = av.video.frame.PictureType.NONE  # the encoder chooses, not the source
            made.mux(stream.encode(plain))
        made.mux(stream.encode())
    encodes[target] = encoder

# %% Places, with one α for all of them
table = places(list(encodes), model=asked.model, samples=asked.samples, subsample=asked.subsample)

print(f"{len(FileFrames(clip))} frames, {asked.kbits} kbit/s asked for")
print(f"{'place':>7} {'score':>8} {'bytes':>8}  encoder")
for place in table:
    size = place.path.stat().st_size
    tie = "" if place.first == place.last else "  (tie)"
    print(f"{place!s:>7} {place.score:>8.2f} {size:>8}  {encodes[place.path]}{tie}")
