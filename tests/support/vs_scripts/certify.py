"""Print the record of every frame of a file: FILE MODEL SECRET [probe]."""

from __future__ import annotations

import sys

import vapoursynth as vs

import bindings.vapoursynth as biqa

file, model, secret, *probe = sys.argv[1:]
clip = vs.core.lsmas.LWLibavSource(file, cache=0)
for frame in biqa.Certify(clip, model=model, secret_file=secret, probe=file if probe else None).frames():
    assert biqa.verify(frame)
    print(frame.props["BiqaRecord"])
