"""Asks a server over HTTP and gRPC, many at once, and prints its answers as JSON. Takes: folder, HTTP, gRPC port."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tritonclient.grpc
import tritonclient.http

FOLDER, HTTP, GRPC = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
PROTOCOLS = {"http": (tritonclient.http, HTTP), "grpc": (tritonclient.grpc, GRPC)}
TYPES = {"uint8": "UINT8", "uint16": "UINT16", "int32": "INT32"}


def asked(protocol: str, tensors: dict[str, np.ndarray]) -> dict[str, object]:
    module, port = PROTOCOLS[protocol]
    client = module.InferenceServerClient(f"localhost:{port}")
    inputs = []
    for name, data in tensors.items():
        inputs.append(module.InferInput(name, data.shape, TYPES[str(data.dtype)]))
        inputs[-1].set_data_from_numpy(data)
    try:
        answer = client.infer("tiny", inputs)
    except Exception as error:  # both clients have one kind of error for all that a server refuses
        return {"status": str(error.status()), "error": error.message()}
    return {
        **{name: float(answer.as_numpy(name)[0]) for name in ("score", "lower", "upper")},
        "record": json.loads(answer.as_numpy("record")[0]),
    }


frames = [np.load(FOLDER / f"{index}.npy") for index in range(6)]
jobs = [(protocol, index) for index in range(len(frames)) for protocol in PROTOCOLS]
with ThreadPoolExecutor(8) as pool:
    good = list(pool.map(lambda job: asked(job[0], {"frame": frames[job[1]]}), jobs))
deep = (frames[0].astype(np.uint16) << 2).astype(np.uint16)
wrong = [
    {"frame": frames[0][:, :, :2].copy()},
    {"frame": frames[0][:2]},
    {"frame": frames[0], "frame16": deep},
    {"bit_depth": np.array([10], np.int32)},
    {"frame16": deep, "bit_depth": np.array([4], np.int32)},
]
print(
    json.dumps(
        {
            "good": [[protocol, index, answer] for (protocol, index), answer in zip(jobs, good, strict=True)],
            "deep": asked("grpc", {"frame16": deep, "bit_depth": np.array([10], np.int32)}),
            "wrong": [asked(protocol, tensors) for tensors in wrong for protocol in PROTOCOLS],
        }
    )
)
