"""Every file below a folder through the reading path: certified, refused by reason, or in silent disagreement.

    make corpus FOLDER=/some/folder        (python -m tests.corpus FOLDER [--quiet])

Pictures are compared with OpenCV, which also turns them upright: their size, and their pixels to a tenth of the range
on average. Clips are compared with ``ffprobe -count_frames``, of the same stream. A difference is silent where the
record has no note that explains it. Exit status 1 where there is one, or where a file makes the reader fail in another
way than with one of its own errors.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from runtime import BiqaError, FileFrames, rgb_from_planes

_PATHS = re.compile(r"^.*?: |\d+")
_EXPLAINED = ("background", "picture", "durations_ms", "hidden", "dropped")
_NO_PICTURES = "not a picture or a video"


def differences(path: Path, clip: FileFrames) -> list[str]:
    """What a second decoder sees otherwise, and no note explains."""
    first: Any = next(iter(clip))
    if isinstance(first, tuple):
        return _clip_differences(path, clip)
    return _picture_differences(path, clip, first)


def _picture_differences(path: Path, clip: FileFrames, frame: Any) -> list[str]:
    import cv2

    seen = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if seen is None:
        return []
    if clip.reading["orientation"] != "as stored" and clip.reading["format"] in ("WEBP", "AVIF", "TIFF"):
        return []  # noted; OpenCV does not turn these
    if seen.shape != frame.shape:
        return [f"size {frame.shape[1]}×{frame.shape[0]}, OpenCV's {seen.shape[1]}×{seen.shape[0]}"]
    if any(key in clip.reading for key in _EXPLAINED) or " to sRGB" in clip.reading["colours"]:
        return []
    ours = frame if frame.dtype == np.uint8 else frame >> 8
    apart = float(np.abs(ours.astype(np.int16) - seen[:, :, ::-1]).mean())
    return [f"pixels {apart:.1f} of 255 apart from OpenCV's on average"] if apart > 25 else []


def _clip_differences(path: Path, clip: FileFrames) -> list[str]:
    number = clip.reading["stream"].split()[0]
    command = ["ffprobe", "-v", "quiet", "-count_frames", "-select_streams", f"V:{number}"]
    command += ["-show_entries", "stream=nb_read_frames,width,height", "-of", "default=nk=0:nw=1", str(path)]
    try:
        out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return []
    said = dict(line.split("=") for line in out.splitlines() if "=" in line)
    if said.get("nb_read_frames") not in (None, "N/A", str(len(clip))):
        return [f"{len(clip)} frames, ffprobe counts {said['nb_read_frames']}"]
    planes: Any = next(iter(clip))
    shape = rgb_from_planes(*planes).shape[1::-1]
    stored = int(said.get("width", shape[0])), int(said.get("height", shape[1]))
    if shape != stored and shape != stored[::-1]:
        return [f"size {shape}, ffprobe's {stored}"]
    return []


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.corpus", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quiet", action="store_true", help="only the counts")
    options = parser.parse_args(arguments)
    kinds: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    wrong: list[str] = []
    for path in sorted(path for path in options.folder.rglob("*") if path.is_file()):
        try:
            clip = FileFrames(path)
            found = differences(path, clip)
        except BiqaError as error:
            reason = _PATHS.sub("", str(error).replace(str(path), ""))[:90]
            refused[reason] += 1
            if not options.quiet and _NO_PICTURES not in reason:
                print(f"refused    {path}: {error}")
        except Exception as error:
            wrong.append(f"{path}: {type(error).__name__}: {error}")
        else:
            kinds[clip.reading["format"]] += 1
            wrong += [f"{path}: {one}" for one in found]
            if clip.notes and not options.quiet:
                print(f"with notes {path}: {'; '.join(clip.notes)}")
    print(f"\ncertified  {kinds.total()}: {dict(kinds.most_common())}\nrefused    {refused.total()}")
    for reason, count in refused.most_common():
        print(f"{count:10} {reason}")
    print(f"silent differences {len(wrong)}", *wrong, sep="\n  ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
