"""What biqa does in VapourSynth, as JSON: MODEL SECRET. Every key is a fact that test_vapoursynth.py expects."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import vapoursynth as vs

import bindings.vapoursynth as biqa
import runtime
from runtime.frames.planes import Conversion

model, secret = sys.argv[1:]
core = vs.core
facts: dict[str, Any] = {"version": biqa.Version()}


def noise(format: int, width: int = 64, height: int = 48, length: int = 3, **props: int) -> Any:
    """A clip of frames that differ, tagged."""
    clip = core.std.BlankClip(format=format, width=width, height=height, length=length)

    def fill(n: int, f: Any) -> Any:
        out, rng = f.copy(), np.random.default_rng(n)
        for plane in range(f.format.num_planes):
            view = np.asarray(out[plane])
            view[:] = rng.integers(0, 2**f.format.bits_per_sample, view.shape, view.dtype)
        return out

    return clip.std.ModifyFrame(clips=clip, selector=fill).std.SetFrameProps(**props)


def certified(clip: Any, **options: Any) -> Any:
    return biqa.Certify(clip, **{"model": model, "secret_file": secret, **options})


def props(frame: Any) -> dict[str, Any]:
    return {name: frame.props[name] for name in biqa.PROPS if name in frame.props}


def error(step: Any) -> str:
    """What it says when it fails, in one line."""
    try:
        step()
    except vs.Error as said:
        return str(said)
    return ""


def one_pixel(f: Any) -> Any:
    out = f.copy()
    np.asarray(out[2])[0, 0] ^= 1
    return out


TAGS = {"_Matrix": 1, "_Range": 0, "_ChromaLocation": 0, "_Transfer": 1}
source = noise(vs.YUV420P8, **TAGS)
made = certified(source)
first, last = made.get_frame(0), made.get_frame(2)
facts["props"] = props(first)
facts["in_any_order"] = props(certified(source).get_frame(2)) == props(last)
facts["again"] = props(made.get_frame(0)) == props(first)
facts["pixels"] = all(np.array_equal(first[p], source.get_frame(0)[p]) for p in range(3))

frame = source.get_frame(0)
planes = [np.asarray(frame[p]) for p in range(3)]
with runtime.Certifier(model, secret=open(secret, "rb").read(), alpha=0.001 / 3) as certifier:
    expected = certifier.certify_planes(planes, Conversion("bt709", "limited", 8, "4:2:0", "left", ("whole",)))
facts["expected"] = json.loads(json.dumps(expected.to_dict()))

facts["verify"] = {
    "untouched": biqa.verify(first),
    "props added": biqa.verify(made.std.SetFrameProps(Mine=1).get_frame(0)),
    "inverted": biqa.verify(made.std.Invert().get_frame(0)),
    "one pixel": biqa.verify(made.std.ModifyFrame(clips=made, selector=lambda n, f: one_pixel(f)).get_frame(0)),
    "cropped": biqa.verify(made.std.Crop(right=2).get_frame(0)),
    "another frame's": biqa.verify(made[1:].std.CopyFrameProps(made).get_frame(0)),
    "retagged": biqa.verify(made.std.SetFrameProps(_Matrix=6).get_frame(0)),
}


facts["not certified"] = error(lambda: biqa.verify(frame))
subsampled = certified(made, subsample=2)  # whose input carries older props
facts["subsample"] = [sorted(props(one)) == sorted(biqa.PROPS) for one in subsampled.frames()]
facts["subsample alpha"] = json.loads(subsampled.get_frame(0).props["BiqaRecord"])["alpha"]
facts["seed"] = json.loads(certified(source, secret_file=None, public_seed=7).get_frame(0).props["BiqaRecord"])["noise"]

facts["conversions"] = {}
for name, form, tags in (
    ("limited", vs.YUV420P8, TAGS),
    ("full", vs.YUV420P8, {**TAGS, "_Range": 1}),
    ("older full", vs.YUV420P8, {"_Matrix": 1, "_ColorRange": 0, "_ChromaLocation": 2}),
    ("untagged", vs.YUV422P10, {"_Matrix": 2}),
    ("16 bits", vs.YUV444P16, TAGS),
    ("rgb", vs.RGB24, {}),
):
    record = json.loads(certified(noise(form, **tags)).get_frame(0).props["BiqaRecord"])
    facts["conversions"][name] = record["conversion"]
picture = noise(vs.RGB24, length=1)
with runtime.Certifier(model, secret=open(secret, "rb").read()) as certifier:
    rgb = np.stack([np.asarray(picture.get_frame(0)[p]) for p in range(3)], 2)
    ours = json.loads(certified(picture).get_frame(0).props["BiqaRecord"])
    facts["rgb is the frame"] = ours["frame_sha256"] == certifier.certify(rgb).provenance.frame_sha256

mixed = noise(vs.YUV420P8, length=2, **TAGS) + noise(vs.YUV420P8, length=2, **{**TAGS, "_Matrix": 6})
facts["errors"] = {
    "PQ": error(lambda: certified(noise(vs.YUV420P10, _Transfer=16))),
    "HLG": error(lambda: certified(noise(vs.YUV420P10, _Transfer=18))),
    "grey": error(lambda: certified(noise(vs.GRAY8))),
    "float": error(lambda: certified(core.std.BlankClip(format=vs.YUV444PS))),
    "4:1:1": error(lambda: certified(core.std.BlankClip(format=vs.YUV411P8))),
    "matrix": error(lambda: certified(noise(vs.YUV420P8, _Matrix=7))),
    "siting": error(lambda: certified(noise(vs.YUV420P8, _ChromaLocation=4))),
    "tags change": error(lambda: certified(mixed).get_frame(3)),
    "samples": error(lambda: certified(source, samples=9)),
    "model": error(lambda: certified(source, model="nowhere")),
    "secret": error(lambda: certified(source, public_seed=3)),
    "subsample": error(lambda: certified(source, subsample=0)),
    "option": error(lambda: certified(source, range="tv")),
    "probe": error(lambda: certified(source, probe="nothing.mp4")),
    "count": error(lambda: certified(source, probe="clip.mp4")),
    "nan": error(lambda: certified(source, model="nan").get_frame(1)),
}
print(json.dumps(facts))
