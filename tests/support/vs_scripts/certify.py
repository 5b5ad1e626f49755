"""Print the record of every frame of a file: FILE MODEL SECRET OPTIONS (JSON) [probe]."""

from __future__ import annotations

import json
import sys

import vapoursynth as vs

import bindings.vapoursynth as biqa

file, model, secret, options, *probe = sys.argv[1:]
clip = vs.core.lsmas.LWLibavSource(file, cache=0)
given = {"model": model, "secret_file": secret, "probe": file if probe else None, **json.loads(options)}
for frame in biqa.Certify(clip, **given).frames():
    assert biqa.verify(frame)
    print(frame.props["BiqaRecord"])
