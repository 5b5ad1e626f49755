"""The cheapest encode that is certainly good enough: the largest x264 CRF whose certified lower bound reaches a target.

    python examples/target_quality.py clip.mp4 --target 70 --out small.mp4
    python examples/target_quality.py clip.mp4 --target 70 --out small.mp4 --subsample 5 --epsilon 0.05

Bisection over CRF, each encode judged by ``Certifier.gate``, which stops sampling as soon as it can say. "pass" means
that the mean score of the frames stays at or above the target whatever anyone does to each frame within ε; an
undecided encode counts as one that did not pass. α is split over the encodes that bisection may judge, so that with
probability ≥ 1−α all its answers are right at once. Bisection takes the score to fall as CRF grows; where it does not,
the encode that comes out still passes, it only may not be the smallest one.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av

from runtime import BiqaError, Certifier, FileFrames

CRFS = range(12, 52)
JUDGED = math.ceil(math.log2(len(CRFS) + 1))
"""Encodes that bisection judges at most."""


def encode(source: Path, target: Path, crf: int) -> float:
    """Encode the video stream by x264, its colour tags kept; the bitrate in kbit/s."""
    with av.open(source) as reader, av.open(target, "w") as writer:
        video = reader.streams.video[0]
        stream = writer.add_stream("libx264", rate=video.average_rate or Fraction(25), options={"crf": str(crf)})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        stream.codec_context.time_base = video.time_base or Fraction(1, 1000)
        for tag in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(stream.codec_context, tag, getattr(video.codec_context, tag))
        frames = 0
        for frame in reader.decode(video):
            frame.pict_type = av.video.frame.PictureType.NONE
            writer.mux(stream.encode(frame.reformat(format="yuv420p")))
            frames += 1
        writer.mux(stream.encode())
        seconds = frames / (video.average_rate or 25)
    return target.stat().st_size * 8 / 1000 / float(seconds)


def search(source: Path, certifier: Certifier, target: float, subsample: int, folder: Path) -> Path | None:
    """The encode with the largest CRF that passes, None if none does. Prints a line for each."""
    best = None
    low, high = CRFS.start, CRFS.stop - 1
    print(f"{'CRF':>4} {'kbit/s':>9}  {'gate':<10} {'score':>8} {'lower bound':>12} {'samples':>14}")
    while low <= high:
        crf = (low + high) // 2
        made = folder / f"crf{crf}.mp4"
        rate = encode(source, made, crf)
        answer = certifier.gate(FileFrames(made, subsample=subsample), at_least=target)
        pooled = answer.pooled
        print(
            f"{crf:>4} {rate:>9.1f}  {answer.decision:<10} {pooled.score:>8.2f} {pooled.lower:>12.2f} "
            f"{pooled.drawn:>7}/{pooled.samples}",
            flush=True,
        )
        if answer.decision == "pass":
            best, low = made, crf + 1
        else:
            high = crf - 1
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--target", type=float, required=True, help="least certified mean score")
    parser.add_argument("--out", type=Path, required=True, help="the encode that was chosen, .mp4")
    parser.add_argument("--model", type=Path, help="bundle; default: the one that ships")
    parser.add_argument("--epsilon", type=float)
    parser.add_argument("--alpha", type=float, default=1e-3, help="error of all answers together; default 0.001")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--subsample", type=int, default=1, metavar="N", help="certify every N-th frame; default: all")
    options = parser.parse_args()
    if options.out.exists() and options.clip.exists() and options.out.samefile(options.clip):
        parser.error(f"--out {options.out} is the clip itself, which it would replace: give another name")
    try:
        with (
            tempfile.TemporaryDirectory(dir=options.out.parent, prefix=".crf-") as folder,
            Certifier(
                options.model, epsilon=options.epsilon, alpha=options.alpha / JUDGED, samples=options.samples
            ) as certifier,
        ):
            best = search(options.clip, certifier, options.target, options.subsample, Path(folder))
            if best is None:
                print(f"no CRF of {CRFS.start} or more certainly reaches {options.target:g}", file=sys.stderr)
                return 1
            os.replace(best, options.out)
            print(f"{options.out}: {best.stem.removeprefix('crf')} is the largest CRF that passed")
    except (BiqaError, av.FFmpegError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
