"""A real Triton server and a written repository: the library's bits over HTTP and gRPC; wrong frames are refused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bindings.triton.serving import claims, frame_of
from export.__main__ import main
from runtime import Certifier, ParameterError
from tests.support.tiny import tiny_bundle

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "tests" / "support" / "triton_scripts" / "client.py"
PYTHON = os.environ.get("BIQA_TRITON_PYTHON", "")
SECRET = bytes(range(32))

with_server = pytest.mark.skipif(not PYTHON, reason="BIQA_TRITON_PYTHON names no Python with nvidia-pytriton")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a secret, six frames, and the repository that the command writes."""
    folder = tmp_path_factory.mktemp("triton")
    tiny_bundle(folder / "model")
    (folder / "secret").write_bytes(SECRET)
    rng = np.random.default_rng(1)
    for index in range(6):
        np.save(folder / f"{index}.npy", rng.integers(0, 256, (24 + index, 32, 3)).astype(np.uint8))
    words = ["--instances", "2", "--parameter", f"secret_file={folder / 'secret'}", "--parameter", "samples=61"]
    assert main(["triton", str(folder / "model"), "--repository", str(folder / "models"), *words]) == 0
    return folder


def test_the_repository(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what the issue of serving asks for; writing again replaces it; other folders are left alone."""
    model = folder / "models" / "tiny"
    text = (model / "config.pbtxt").read_text()
    for said in ("response_cache { enable: false }", "count: 2", "model_warmup", 'backend: "python"', "samples"):
        assert said in text
    assert (model / "1" / "bundle" / "manifest.json").is_file()
    (folder / "models" / "mine").mkdir(exist_ok=True)
    again = ["triton", str(folder / "model"), "--repository", str(folder / "models")]
    assert main([*again, "--name", "mine"]) == 2
    assert "no Triton model" in capsys.readouterr().err
    assert main([*again, "--name", "other", "--parameter", "sizes=3"]) == 2
    assert "--parameter is NAME=VALUE" in capsys.readouterr().err


def test_parameters() -> None:
    given = {"epsilon": "0.2", "samples": "", "device": "cpu", "public_seed": "3"}
    words = {name: {"string_value": value} for name, value in given.items()}
    assert claims(words) == {"device": "cpu", "epsilon": 0.2, "public_seed": 3}
    with pytest.raises(ParameterError, match="is a number"):
        claims({"epsilon": {"string_value": "small"}})
    with pytest.raises(ParameterError, match="one frame"):
        frame_of({})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def answers(folder: Path) -> Iterator[dict[str, Any]]:
    """What clients of a running server were told."""
    packages = Path(PYTHON).parent.parent / "lib" / "python3.11" / "site-packages"
    carried = packages / "pytriton" / "tritonserver"
    shutil.copytree(carried / "backends", folder / "backends")
    shutil.copy(
        carried / "python_backend_stubs" / "3.11" / "triton_python_backend_stub", folder / "backends" / "python"
    )
    http, grpc = free_port(), free_port()
    shutil.rmtree(folder / "models" / "mine", ignore_errors=True)
    command = [carried / "bin" / "tritonserver", "--model-repository", folder / "models"]
    command += ["--backend-directory", folder / "backends", "--cache-directory", carried / "caches"]
    command += ["--http-port", str(http), "--grpc-port", str(grpc), "--allow-metrics=false"]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{packages}",
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
    }
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # type: ignore[arg-type]
    try:
        _wait(server, http, folder / "server.log")
        client = [PYTHON, CLIENT, folder, str(http), str(grpc)]
        made = subprocess.run(client, capture_output=True, text=True, timeout=120, check=False)  # type: ignore[arg-type]
        assert made.returncode == 0, made.stderr
        yield json.loads(made.stdout)
    finally:
        server.terminate()
        server.wait(30)


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()[-3000:]
        with suppress(OSError), urllib.request.urlopen(f"http://localhost:{port}/v2/health/ready", timeout=5) as reply:
            if reply.status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


@with_server
def test_the_same_bits_as_the_library(folder: Path, answers: dict[str, Any]) -> None:
    """Eight clients at once, two protocols, two instances."""
    with Certifier(str(folder / "model"), secret=SECRET, samples=61) as certifier:
        wanted = [certifier.certify(np.load(folder / f"{index}.npy")) for index in range(6)]
        deep = certifier.certify(np.load(folder / "0.npy").astype(np.uint16) << 2, bit_depth=10)
    assert len(answers["good"]) == 12
    for _, index, answer in answers["good"]:
        one = wanted[index]
        assert (answer["score"], answer["lower"], answer["upper"]) == (one.score, one.lower, one.upper)
        assert answer["record"]["scores_sha256"] == one.scores_sha256
    assert answers["deep"]["record"]["scores_sha256"] == deep.scores_sha256


@with_server
def test_wrong_frames_are_client_errors(answers: dict[str, Any]) -> None:
    assert len(answers["wrong"]) == 10
    for answer in answers["wrong"]:
        assert answer["status"] in ("400", "StatusCode.INVALID_ARGUMENT")
        assert answer["error"]
