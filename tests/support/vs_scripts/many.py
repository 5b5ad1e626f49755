"""Certify many frames: MODEL FRAMES."""

from __future__ import annotations

import sys

import vapoursynth as vs

import bindings.vapoursynth as biqa

model, frames = sys.argv[1:]
clip = vs.core.std.BlankClip(format=vs.YUV420P8, width=192, height=128, length=int(frames))
made = biqa.Certify(clip, model=model, samples=41, epsilon=0.01)
assert sum(biqa.verify(frame) for frame in made.frames(prefetch=2)) == int(frames)
