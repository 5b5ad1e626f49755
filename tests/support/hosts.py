"""The hosts, each started for real: a file in, the records of its frames out, or what it said instead."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from runtime.certifier import Certifier
from runtime.errors import BiqaError
from runtime.files.file_frames import FileFrames
from runtime.noise.keys import read_secret
from tests.support import cabi

ROOT = Path(__file__).parents[2]
SECRET = bytes(range(32))
DECODE = ("ffmpeg", "-v", "error", "-xerror", "-err_detect", "explode", "-threads", "1")
COLOURS = ("matrix", "range", "chroma_location")
PIPE = ("-map", "0:v:0", "-fps_mode", "passthrough", "-strict", "-1", "-f", "yuv4mpegpipe", "-")


Tampering = Mapping[str, Any]
NONE: Tampering = {}


def as_text(tampering: Tampering) -> dict[str, str]:
    """As command lines take it: levels "1", patch "8x4"."""
    return {n: f"{v[0]}x{v[1]}" if n == "patch" else f"{v:g}" for n, v in tampering.items()}


@dataclass(frozen=True)
class Outcome:
    """``records``: one a certified frame, in order. ``message``: what went wrong; empty if nothing did."""

    records: list[dict[str, Any]] = field(default_factory=list)
    message: str = ""


@dataclass(frozen=True)
class Host:
    """``run``: (file, model, secret file, probe it?, tampering) → outcome. Tampering of tiles: ``levels``, ``patch``.

    ``lacks``: why it cannot be started, or None.

    ``reads``: the file is read by the runtime's own reader, so that there is nothing to probe.
    """

    name: str
    run: Callable[..., Outcome]
    lacks: Callable[[], str | None]
    reads: bool = False


def environment(**more: str) -> dict[str, str]:
    """This checkout first, one thread."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def pyav(path: Path, model: Path, secret: Path, probe: bool, tampering: Tampering = NONE) -> Outcome:
    """The runtime's own reader, which always looks at the file."""
    try:
        source = FileFrames(path)
        with Certifier(model, secret=read_secret(secret), **tampering) as certifier:
            return Outcome([made.to_dict() for made in certifier.stream(list(source), jointly=len(source))])
    except BiqaError as error:
        return Outcome(message=str(error))


def ffmpeg(path: Path, model: Path, secret: Path, probe: bool, tampering: Tampering = NONE) -> Outcome:
    """``ffmpeg | python -m bindings.ffmpeg``, with bash's pipefail."""
    log = path.with_suffix(".log.json")
    host = [sys.executable, "-m", "bindings.ffmpeg", *("--model", str(model), "--secret-file", str(secret), "--quiet")]
    host += ["--json", str(log), *(["--probe", str(path)] if probe else [])]
    host += [word for name, value in as_text(tampering).items() for word in (f"--{name}", value)]
    with subprocess.Popen([*DECODE, "-i", str(path), *PIPE], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as decoder:
        done = subprocess.run(host, stdin=decoder.stdout, capture_output=True, text=True, env=environment())
        assert decoder.stdout is not None
        decoder.stdout.close()
        decoder.communicate(timeout=20)
    if done.returncode:
        assert not log.exists()
        return Outcome(message=done.stderr)
    made = json.loads(log.read_text())
    log.unlink()
    if decoder.returncode:
        return Outcome(message="ffmpeg: exit status not 0")
    return Outcome([{**made["inputs"][0]["certificate"], **frame["certificate"]} for frame in made["frames"]])


def gstreamer(path: Path, model: Path, secret: Path, probe: bool, tampering: Tampering = NONE) -> Outcome:
    """``gst-launch-1.0 … ! biqa ! fakesink``."""
    element = ["biqa", f"model={model}", f"secret-file={secret}", *([f"probe={path}"] if probe else [])]
    element += [f"{name}={value}" for name, value in as_text(tampering).items()]
    done = launch("filesrc", f"location={path}", "!", "decodebin", "!", *element, "!", "fakesink")
    errors = re.findall(r"^ERROR: (?:from element .*?: )?(.*)$", done.stderr, re.MULTILINE)
    if done.returncode or errors:
        return Outcome(message=" ".join(errors) or done.stderr)
    return Outcome([json.loads(one["record"]) for one in messages(done.stdout) if one["type"] == "frame"])


def launch(*pipeline: str) -> subprocess.CompletedProcess[str]:
    """gst-launch-1.0 with the element, messages printed. It can hang after an error, without the element too."""
    command = ["timeout", "--kill-after=2", "20", "gst-launch-1.0", "-m", *pipeline]
    return subprocess.run(command, capture_output=True, text=True, env=gst_environment())


@cache
def gst_environment() -> dict[str, str]:
    """What ``eval "$(python -m bindings.gstreamer)"`` sets, and a registry of these tests alone."""
    folder = tempfile.mkdtemp(prefix="biqa-gst-")  # a plugin that failed to load once is remembered as such
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [sys.executable, "-m", "bindings.gstreamer"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(GST_PLUGIN_PATH=""))
    paths = dict(re.findall(r"^export (\w+)=(.*)$", said.stdout, re.MULTILINE))
    made = environment(**paths, GST_REGISTRY=f"{folder}/registry")
    subprocess.run(["gst-inspect-1.0", "biqa"], capture_output=True, env=made)  # builds the registry
    return made


def messages(printed: str) -> list[dict[str, str]]:
    """The element's messages as gst-launch prints them: fields by name, as text."""
    made = []
    for line in re.findall(r'from element "\w+" \(element\): biqa, (.*);$', printed, re.MULTILINE):
        pairs = re.findall(r'([\w-]+)=\(\w+\)(?:"((?:\\.|[^"\\])*)"|([^,]*))', line)
        made.append({name: re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in pairs})
    return made


def capi(path: Path, model: Path, secret: Path, probe: bool, tampering: Tampering = NONE) -> Outcome:
    """libbiqa, given the planes that the runtime's reader decodes, and of their colours what the stream says."""
    prefix = libbiqa()
    assert isinstance(prefix, Path)
    records = []
    try:
        source = FileFrames(path)
        config: dict[str, Any] = {"model": str(model).encode(), "secret_file": str(secret).encode()}
        width, height = tampering.get("patch", (0, 0))
        config |= {"levels": tampering.get("levels", 0.0), "patch_width": width, "patch_height": height}
        handle = cabi.Handle(cabi.load(prefix / "lib" / "libbiqa.so"), **config, alpha=0.001 / len(source))
        for planes, conversion in source:
            colours = conversion.to_dict()
            said = {name: colours[name].encode() for name in COLOURS if name not in conversion.assumed}
            handle.yuv(planes, conversion.bit_depth, subsampling=conversion.subsampling.encode(), **said)
            records.append(json.loads(handle.record()))
        handle.destroy()
    except BiqaError as error:
        return Outcome(message=str(error))
    return Outcome(records)


@cache
def libbiqa() -> Path | str:
    """Where libbiqa, built for this Python, is installed: include/, lib/ and bin/; or why it cannot be built."""
    for tool in ("make", "cc", "pkg-config"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    prefix = Path(tempfile.mkdtemp(prefix="libbiqa-"))
    atexit.register(shutil.rmtree, prefix, ignore_errors=True)
    done = make("bindings/capi", f"PYTHON={sys.executable}", f"BUILD={prefix / 'build'}", f"PREFIX={prefix}", "install")
    if "Python.h" in done.stderr or "libpython" in done.stderr:
        return done.stderr.splitlines()[0]
    assert done.returncode == 0, done.stderr
    return prefix


def make(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(ROOT / folder), *arguments], capture_output=True, text=True, check=False)


def no_libbiqa() -> str | None:
    return made if isinstance(made := libbiqa(), str) else None


def vapoursynth(path: Path, model: Path, secret: Path, probe: bool, tampering: Tampering = NONE) -> Outcome:
    """A script that reads with L-SMASH Works, in a Python that has VapourSynth."""
    options = {**tampering, **({"patch": as_text(tampering)["patch"]} if "patch" in tampering else {})}
    files = [str(path), str(model), str(secret)]
    done = vs_script("certify.py", *files, json.dumps(options), *(["probe"] if probe else []))
    if done.returncode:
        return Outcome(message=done.stderr or f"died with status {done.returncode}")
    return Outcome([json.loads(line) for line in done.stdout.splitlines()])


def vs_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts beside this file."""
    python = vs_python()
    assert python is not None
    command = [python, str(Path(__file__).parent / "vs_scripts" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=120)


@cache
def vs_python() -> str | None:
    """BIQA_VAPOURSYNTH_PYTHON, or this Python, if it has VapourSynth and all the runtime needs."""
    python = os.environ.get("BIQA_VAPOURSYNTH_PYTHON", sys.executable)
    code = "import vapoursynth, onnxruntime, scipy; vapoursynth.core.lsmas"
    found = shutil.which(python) and subprocess.run([python, "-c", code], capture_output=True).returncode == 0
    return python if found else None


@cache
def no_ffmpeg() -> str | None:
    return next((f"{tool} is not installed" for tool in ("ffmpeg", "ffprobe") if shutil.which(tool) is None), None)


@cache
def no_gstreamer() -> str | None:
    """Whether GStreamer, its Python loader for this Python, and its libav plugin are here."""
    if shutil.which("gst-launch-1.0") is None:
        return "gst-launch-1.0 is not installed"
    tried = {"python": "gstreamer1.0-python3-plugin-loader", "libav": "gstreamer1.0-libav", "isomp4": "…plugins-good"}
    with tempfile.TemporaryDirectory() as folder:  # the user's registry may be older than the plugin
        fresh = environment(GST_REGISTRY=f"{folder}/registry")
        for plugin, package in tried.items():
            if subprocess.run(["gst-inspect-1.0", plugin], capture_output=True, env=fresh).returncode:
                return f"GStreamer has no plugin {plugin}: install {package}"
    code = "import sys, gi; gi.require_version('GstVideo', '1.0'); print(*sys.version_info[:2], sep='.')"
    theirs = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True).stdout.strip()
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return None if theirs == ours else f"GStreamer's Python is {theirs or 'without gi'}, this one {ours}"


def no_vapoursynth() -> str | None:
    wheels = "vapoursynth, vapoursynth-lsmas, numpy, scipy and onnxruntime"
    return None if vs_python() else f"no Python with {wheels}: name one in BIQA_VAPOURSYNTH_PYTHON"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page of docs/ in one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def newcomer(folder: Path) -> Path:
    """A checkout, as far as the pages on the bindings need one."""
    shutil.copytree(ROOT / "bindings", folder / "bindings", ignore=shutil.ignore_patterns("build", "__pycache__"))
    (folder / "runtime").symlink_to(ROOT / "runtime")
    return folder


def run_page(page: str, folder: Path, python: str, **more: str) -> list[str]:
    """Run every block of shell commands of a page of docs/ in one shell, as a newcomer would; what each printed.

    Blocks that install packages are marked ``console`` and are not run.
    """
    script = f"\necho {_BETWEEN}\n".join([_PREPARE, *blocks(page, "sh")])
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, env=environment(PATH=path, **more)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split(f"{_BETWEEN}\n")[1:]


_BETWEEN = "-- next block --"
_PREPARE = 'set -euo pipefail; biqa() { python -m runtime "$@"; }'
"""The packages are found by their path and not installed, so the console script is a function here."""

HOSTS: Sequence[Host] = (
    Host("pyav", pyav, lambda: None, reads=True),
    Host("ffmpeg", ffmpeg, no_ffmpeg),
    Host("gstreamer", gstreamer, no_gstreamer),
    Host("vapoursynth", vapoursynth, no_vapoursynth),
    Host("capi", capi, no_libbiqa, reads=True),
)
"""The table of the tests that treat all hosts alike."""
