"""Certificates → an ffmetadata file: a chapter a frame, which ffmpeg and ffprobe read back.

FFmpeg has no filter that reads per-frame metadata from a file, and its ``metadata`` filter takes no commands, but its
ffmetadata format holds chapters with any keys: every certified frame is one, from its time to that of the next frame,
with ``lavfi.biqa.score``, ``.lo`` and ``.hi``. A bound that is infinite is ``inf`` or ``-inf``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from runtime import Certificate, ParameterError

_HEAD = ";FFMETADATA1"


def frame_times(count: int, times: Sequence[Fraction | None] | None, fps: Fraction | None) -> list[Fraction]:
    """When each of ``count`` frames begins, and when the last one ends, in seconds.

    ``times``: as probed; without them ``fps`` tells. Raises ParameterError where neither does.
    """
    if times is not None and len(times) == count and None not in times:
        known = [time for time in times if time is not None]
        last = 1 / fps if fps else known[-1] - known[-2] if count > 1 else Fraction(1)
        return [*known, known[-1] + last]
    if not fps:
        raise ParameterError("nothing says when the frames are: give --fps, or --probe FILE")
    return [index / fps for index in range(count + 1)]


def ffmetadata(frames: Sequence[tuple[int, Certificate]], times: Sequence[Fraction], joint_alpha: float) -> str:
    """The file. ``frames``: (number in the stream, certificate); ``times``: of all frames and of the end."""
    scale = math.lcm(*(time.denominator for time in times))
    if scale >= 2**31:  # FFmpeg's time base holds no more
        scale = 10**6
    first = frames[0][1]
    lines = [
        _HEAD,
        f"lavfi.biqa.model={_escaped(first.provenance.model)}",
        _tampering(first),
        f"lavfi.biqa.joint_alpha={joint_alpha!r}",
        f"lavfi.biqa.scope={first.scope}",
        f"lavfi.biqa.noise={first.provenance.noise}",
        f"lavfi.biqa.assumed={' '.join((first.provenance.conversion or {}).get('assumed', ()))}",
    ]
    for number, certificate in frames:
        start, end = (round(times[at] * scale) for at in (number, number + 1))
        lines += [
            *("[CHAPTER]", f"TIMEBASE=1/{scale}", f"START={start}", f"END={end}"),
            f"lavfi.biqa.score={certificate.score!r}",
            f"lavfi.biqa.lo={certificate.lower!r}",
            f"lavfi.biqa.hi={certificate.upper!r}",
        ]
    return "\n".join(lines) + "\n"


def _tampering(certificate: Certificate) -> str:
    """ε, or for a model of tiles that was asked for something else what that is."""
    if certificate.to_dict()["epsilon"] is None:
        return f"lavfi.biqa.tampering={_escaped(certificate.tampering_label)}"
    return f"lavfi.biqa.epsilon={certificate.epsilon!r}"


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "=;#\\\n" else letter for letter in text)
