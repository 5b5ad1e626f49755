"""Make the demo's still and clip from a photograph that scikit-image ships (the astronaut, public domain, NASA).

python examples/demo.py build/demo      writes astronaut.png and astronaut.mp4 (30 frames, 256×256, a slow pan)
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import skimage.data
import skimage.io

FRAMES, SIZE = 30, 256


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    photograph = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    skimage.io.imsave(folder / "astronaut.png", photograph, check_contrast=False)
    with av.open(folder / "astronaut.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "23"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for index in range(FRAMES):
            left = 4 * index
            picture = photograph[left : left + SIZE, left : left + SIZE]
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    print(f"wrote {folder}/astronaut.png and {folder}/astronaut.mp4")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/demo.py FOLDER")
    main(Path(sys.argv[1]))
