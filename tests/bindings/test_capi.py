"""The C ABI as its users meet it: the runtime's certificates, an errno and one message for every mistake."""

from __future__ import annotations

import ctypes
import errno
import json
import math
import re
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import runtime
from runtime.files.video import open_video
from tests.support.cabi import ADDRESS, CallError, Config, Handle, Planes, Result, load
from tests.support.clips import photograph, write_clip
from tests.support.hosts import ROOT, SECRET, blocks, newcomer
from tests.support.tiny import tiny_bundle

SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def library(libbiqa: Path) -> Any:
    return load(libbiqa / "lib" / "libbiqa.so")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny"
    tiny_bundle(path)
    return str(path)


@pytest.fixture
def handle(library: Any, model: str) -> Any:
    made = Handle(library, model=model.encode(), secret=SECRET, secret_size=len(SECRET))
    yield made
    made.destroy()


@pytest.fixture
def certifier(model: str) -> Any:
    with runtime.Certifier(model, secret=SECRET) as made:
        yield made


def same(result: Result, record: str, certificate: runtime.Certificate) -> None:
    """Every bit of the result and of the record."""
    assert json.loads(record) == certificate.to_dict()
    for name in ("score", "lower", "upper", "epsilon", "alpha", "samples", "drawn", "failed_samples"):
        assert getattr(result, name) == getattr(certificate, name), name
    assert result.frame_sha256.decode() == certificate.provenance.frame_sha256
    assert result.scores_sha256.decode() == certificate.scores_sha256


def noise(shape: tuple[int, ...], depth: int) -> NDArray[Any]:
    generator = np.random.default_rng(len(shape) + depth)
    return generator.integers(0, 2**depth, shape, dtype=np.uint8 if depth == 8 else np.uint16)


def test_the_abi_is_small_and_says_its_version(libbiqa: Path, library: Any) -> None:
    assert library.biqa_version().decode() == runtime.__version__
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", libbiqa / "lib" / "libbiqa.so"], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1] for line in listed.stdout.splitlines()}
    calls = {"create", "certify_rgb", "certify_yuv", "record", "error", "version", "destroy"}
    assert names == {f"biqa_{name}" for name in calls}


@pytest.mark.parametrize("depth", [8, 10, 16])
def test_rgb_is_certified_as_the_runtime_does(handle: Handle, certifier: runtime.Certifier, depth: int) -> None:
    frame = noise((48, 64, 3), depth)
    result = handle.rgb(frame, depth)
    same(result, handle.record(), certifier.certify(frame, bit_depth=depth))
    assert result.lower < result.score < result.upper
    assert result.flags == 0


@pytest.mark.parametrize("depth", [8, 10, 16])
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_planes_are_certified_as_the_runtime_does(
    handle: Handle, certifier: runtime.Certifier, depth: int, subsampling: str
) -> None:
    down, right = {"4:2:0": (2, 2), "4:2:2": (1, 2), "4:4:4": (1, 1)}[subsampling]
    chroma = (-(-47 // down), -(-65 // right))  # an odd size
    padded = [noise((height, width + 5), depth) for height, width in ((47, 65), chroma, chroma)]
    planes = [padded[0][:, :65], padded[1][:, : chroma[1]], padded[2][::-1, : chroma[1]]]  # the last one bottom-up
    said = {"matrix": "bt2020nc", "range": "full", "chroma_location": "topleft"}
    result = handle.yuv(
        planes, depth, subsampling=subsampling.encode(), **{key: value.encode() for key, value in said.items()}
    )
    sited = {**said, "chroma_location": "left"} if subsampling == "4:4:4" else said  # where there is no siting
    conversion = runtime.Conversion(bit_depth=depth, subsampling=subsampling, **sited)
    same(result, handle.record(), certifier.certify_planes(planes, conversion))
    assert result.flags == 0


def test_a_stride_may_be_odd_or_negative(handle: Handle, certifier: runtime.Certifier) -> None:
    frame = noise((48, 64, 3), 8)
    wide = np.zeros((48, 64 * 3 + 7), np.uint8)
    wide[:, : 64 * 3] = frame.reshape(48, -1)
    upside_down = frame[::-1].copy()[::-1]
    assert upside_down.strides[0] < 0
    expected = certifier.certify(frame)
    for stored in (np.ndarray((48, 64, 3), np.uint8, wide.data, strides=(199, 3, 1)), upside_down):
        result = handle.rgb(stored, 8)
        same(result, handle.record(), expected)


def test_what_the_stream_does_not_say_is_assumed_and_marked(handle: Handle) -> None:
    planes = [noise((48, 64), 8), noise((24, 32), 8), noise((24, 32), 8)]
    result = handle.yuv(planes, 8, subsampling=b"4:2:0", range=b"full", transfer=b"sdr")
    assert result.flags == 2
    conversion = json.loads(handle.record())["conversion"]
    assert conversion["assumed"] == ["matrix", "chroma_location"]
    assert conversion["matrix"] == "bt601"
    full = [noise((48, 64), 8)] * 3
    assert handle.yuv(full, 8, subsampling=b"4:4:4", matrix=b"rgb").flags == 0


def test_assumptions_are_those_of_a_video_file(tmp_path: Path, handle: Handle, certifier: runtime.Certifier) -> None:
    with open_video(write_clip(tmp_path / "clip.mkv", frames=2, codec="ffv1")) as video:
        for frame in video:
            depth, subsampling = frame.conversion.bit_depth, frame.conversion.subsampling.encode()
            said = {
                name: getattr(frame.conversion, name).encode()
                for name in ("matrix", "range", "chroma_location")
                if name not in frame.conversion.assumed
            }
            result = handle.yuv(list(frame.planes), depth, subsampling=subsampling, **said)
            same(result, handle.record(), certifier.certify_planes(frame.planes, frame.conversion))


def test_too_few_samples_abstain_and_the_record_says_how_many_would_do(library: Any, model: str) -> None:
    handle = Handle(library, model=model.encode(), samples=5, flags=1, public_seed=0)
    result = handle.rgb(noise((48, 64, 3), 8), 8)
    assert result.flags == 1
    assert (result.lower, result.upper) == (-math.inf, math.inf)
    record = json.loads(handle.record())
    assert "use n ≥" in record["reason"]
    assert record["public_seed"] == 0
    handle.destroy()


@pytest.mark.parametrize(
    ("config", "code", "words"),
    [
        ({"epsilon": -1.0}, errno.EINVAL, "epsilon is an L2 radius"),
        ({"epsilon": math.nan}, errno.EINVAL, "epsilon is an L2 radius"),
        ({"alpha": 2.0}, errno.EINVAL, "alpha"),
        ({"samples": -3}, errno.EINVAL, "samples"),
        ({"threads": -1}, errno.EINVAL, "threads is 1 or more"),
        ({"scope": b"all"}, errno.EINVAL, "scope is 'smoothed' or 'reported'"),
        ({"secret": b"short", "secret_size": 5}, errno.EINVAL, "at least 16 random bytes"),
        ({"secret": SECRET}, errno.EINVAL, "belong together"),
        ({"secret_size": 32}, errno.EINVAL, "belong together"),
        ({"secret": SECRET, "secret_size": 32, "flags": 1}, errno.EINVAL, "not both"),
        ({"secret": SECRET, "secret_size": 32, "secret_file": b"x"}, errno.EINVAL, "not both"),
        ({"secret_file": b"FOLDER/secret"}, errno.EINVAL, "FOLDER/secret cannot be read"),
        ({"flags": 6}, errno.EINVAL, "flags 0x6"),
        ({"device": b"cuda"}, errno.ENODEV, "cuda"),
        ({"device": b"abacus"}, errno.EINVAL, "abacus"),
        ({"model": b"FOLDER/\xff"}, errno.EBADMSG, "no bundle at FOLDER/"),
        ({"struct_size": 0}, errno.EINVAL, r"set it to sizeof\(biqa_config\)"),
        ({"struct_size": 20}, errno.EINVAL, r"set it to sizeof\(biqa_config\)"),
        ({"struct_size": 1 << 40}, errno.EINVAL, r"set it to sizeof\(biqa_config\)"),
    ],
)
def test_a_bad_config_is_an_errno_and_a_message(
    library: Any, model: str, config: dict[str, Any], code: int, words: str, tmp_path: Path
) -> None:
    """FOLDER is an empty one."""
    folder = str(tmp_path)
    asked = {k: v.replace(b"FOLDER", folder.encode()) if isinstance(v, bytes) else v for k, v in config.items()}
    with pytest.raises(CallError, match=words.replace("FOLDER", folder)) as failed:
        Handle(library, **{"model": model.encode(), **asked})
    assert failed.value.args[0] == code
    assert "unforeseen" not in failed.value.args[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bit_depth": 7}, "bit_depth"),
        ({"bit_depth": 10}, "bits can"),
        ({"subsampling": None}, "subsampling is not set"),
        ({"subsampling": b"4:1:1"}, "subsampling '4:1:1' is not known"),
        ({"matrix": b"ycgco"}, "colour matrix ycgco is not known"),
        ({"matrix": b"rgb"}, "planes G, B, R are 4:4:4"),
        ({"range": b"tv"}, "range 'tv' is not known"),
        ({"chroma_location": b"top"}, "chroma siting 'top' is not taken"),
        ({"transfer": b"pq"}, "high dynamic range"),
        ({"transfer": b"hlg"}, "high dynamic range"),
        ({"transfer": b"st2084"}, "transfer 'st2084' is not known"),
        ({"data": (ADDRESS * 3)()}, "plane 0 is NULL"),
        ({"width": 0}, "is empty"),
        ({"height": -4}, "is empty"),
        ({"stride": (ctypes.c_int64 * 3)(127, 64, 64)}, "the stride of plane 0 is 127 bytes, and its rows have 128"),
        ({"stride": (ctypes.c_int64 * 3)(1 << 62, 64, 64)}, "larger than memory"),
        ({"width": 1 << 62}, "the stride of plane 0"),
        ({"struct_size": 4}, r"set it to sizeof\(biqa_planes\)"),
    ],
)
def test_bad_planes_are_an_errno_and_a_message(handle: Handle, fields: dict[str, Any], words: str) -> None:
    planes = [noise((48, 64), 16), noise((24, 32), 16), noise((24, 32), 16)]
    with pytest.raises(CallError, match=words) as failed:
        handle.yuv(planes, **{"bit_depth": 16, "subsampling": b"4:2:0", **fields})
    assert failed.value.args[0] == errno.EINVAL
    assert handle.record() == ""


def test_bad_frames_are_an_errno_and_a_message(handle: Handle, library: Any) -> None:
    frame = noise((48, 64, 3), 16)
    for bad, depth, words in ((frame, 17, "bit_depth"), (frame, 12, "12 bits can"), (frame[:4], 16, "at least 16×16")):
        with pytest.raises(CallError, match=words) as failed:
            handle.rgb(bad, depth)
        assert failed.value.args[0] == errno.EINVAL
    result = Result(struct_size=ctypes.sizeof(Result))
    assert library.biqa_certify_rgb(handle.address, None, 192, 64, 48, 8, ctypes.byref(result)) == -errno.EINVAL
    assert b"NULL" in library.biqa_error(handle.address)
    assert (math.isnan(result.score), result.lower, result.flags) == (True, -math.inf, 1)
    assert handle.rgb(frame, 16).flags == 0  # the handle goes on, and forgets the error
    assert library.biqa_error(handle.address) == b""


def test_a_failing_network_is_an_input_output_error(library: Any, tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "nan", extra="nan")
    handle = Handle(library, model=str(tmp_path / "nan").encode())
    with pytest.raises(CallError, match="returned NaN") as failed:
        handle.rgb(noise((48, 64, 3), 8), 8)
    assert failed.value.args[0] == errno.EIO
    handle.destroy()


def test_null_where_there_should_be_something(handle: Handle, library: Any) -> None:
    frame = noise((48, 64, 3), 8)
    result = Result(struct_size=ctypes.sizeof(Result))
    library.biqa_destroy(None)
    assert library.biqa_create(None, None) == -errno.EINVAL
    assert library.biqa_certify_rgb(None, frame.ctypes.data, 192, 64, 48, 8, ctypes.byref(result)) == -errno.EINVAL
    assert b"certifier is NULL" in library.biqa_error(None)
    assert library.biqa_certify_rgb(handle.address, frame.ctypes.data, 192, 64, 48, 8, None) == -errno.EINVAL
    assert b"biqa_result" in library.biqa_error(handle.address)
    assert library.biqa_certify_yuv(handle.address, None, ctypes.byref(result)) == -errno.EINVAL
    assert library.biqa_record(None) == b""
    with pytest.raises(CallError, match="biqa_result"):
        handle.rgb(frame, 8, struct_size=12)


def test_a_program_of_an_older_header(library: Any, model: str) -> None:
    """What it does not know is the default, and nothing is written beyond its result."""
    handle = Handle(library, struct_size=Config.samples.offset, model=model.encode(), epsilon=0.2, samples=7)
    frame = noise((48, 64, 3), 8)
    short = handle.rgb(frame, 8, struct_size=Result.epsilon.offset)
    assert (short.epsilon, short.samples, short.frame_sha256) == (0.0, 0, b"")
    whole = handle.rgb(frame, 8)
    assert (whole.samples, whole.epsilon) == (101, 0.2)
    assert (short.score, short.lower, short.upper) == (whole.score, whole.lower, whole.upper)
    planes = [frame[:, :, 0].copy()] * 3
    assert handle.yuv(planes, 8, subsampling=b"4:4:4", struct_size=Planes.matrix.offset, matrix=b"unread").flags == 2
    handle.destroy()


def test_a_program_of_a_newer_header(library: Any, model: str) -> None:
    """A struct with a field more: fine while the field is 0."""

    class Newer(ctypes.Structure):
        _fields_ = [*Config._fields_, ("novelty", ctypes.c_double)]

    address = ADDRESS()
    for novelty, expected in ((0.0, 0), (1.0, -errno.E2BIG)):
        config = Newer(struct_size=ctypes.sizeof(Newer), model=model.encode(), novelty=novelty)
        assert library.biqa_create(ctypes.byref(config), ctypes.byref(address)) == expected
        library.biqa_destroy(address)
    assert b"older than your biqa.h" in library.biqa_error(None)

    class NewerResult(ctypes.Structure):
        _fields_ = [*Result._fields_, ("novelty", ctypes.c_double)]

    handle = Handle(library, model=model.encode())
    frame = noise((48, 64, 3), 8)
    result = NewerResult(struct_size=ctypes.sizeof(NewerResult), novelty=7.0)
    assert not library.biqa_certify_rgb(handle.address, frame.ctypes.data, 192, 64, 48, 8, ctypes.byref(result)), (
        library.biqa_error(handle.address)
    )
    assert result.novelty == 7.0
    assert result.score == handle.rgb(frame, 8).score
    handle.destroy()


def test_another_abi_is_told(model: str) -> None:
    from bindings.capi import host

    nothing = (None, None, None, 0.0, 0.0, 0, 0, None, None, 0, 0)
    code, message, made = host.create(host.ABI + 1, *nothing)
    assert (code, made) == (errno.ENOSYS, None)
    assert "build libbiqa again" in message
    header = (ROOT / "bindings" / "capi" / "biqa.h").read_text()
    assert f"#define BIQA_ABI {host.ABI}\n" in header


def test_two_handles_in_two_threads(library: Any, model: str, certifier: runtime.Certifier, tmp_path: Path) -> None:
    """Each gives its own certificates, and errors of one thread are not those of another."""
    frames = [noise((48, 64, 3), depth) for depth in (9, 10, 11, 12, 13, 14)]
    expected = [certifier.certify(frame, bit_depth=9 + index) for index, frame in enumerate(frames)]
    failures: list[BaseException] = []

    def work(order: int) -> None:
        try:
            handle = Handle(library, model=model.encode(), secret=SECRET, secret_size=32, threads=1)
            with pytest.raises(CallError, match=f"n{order}e"):
                Handle(library, model=str(tmp_path / f"n{order}e").encode())
            for _ in range(5):
                for index in range(len(frames))[::order]:
                    same(handle.rgb(frames[index], 9 + index), handle.record(), expected[index])
            assert str(tmp_path / f"n{order}e") in library.biqa_error(None).decode()
            handle.destroy()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(order,)) for order in (1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_one_handle_in_two_threads(handle: Handle, library: Any, certifier: runtime.Certifier) -> None:
    frame = noise((48, 64, 3), 8)
    expected = certifier.certify(frame)
    scores = []

    def work() -> None:
        for _ in range(10):
            result = Result(struct_size=ctypes.sizeof(Result))
            code = library.biqa_certify_rgb(handle.address, frame.ctypes.data, 192, 64, 48, 8, ctypes.byref(result))
            scores.append((code, result.score, result.lower, result.upper))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scores == [(0, expected.score, expected.lower, expected.upper)] * 20


def example(libbiqa: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(libbiqa / "build" / "biqa-example"), *arguments], capture_output=True, text=True, env=env, check=False
    )


@pytest.mark.parametrize("depth", [8, 16])
def test_the_example_certifies_a_picture(
    libbiqa: Path, model: str, certifier: runtime.Certifier, host_env: dict[str, str], tmp_path: Path, depth: int
) -> None:
    frame = noise((48, 64, 3), depth)
    (tmp_path / "secret").write_bytes(SECRET)
    stored = frame if depth == 8 else frame.astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6\n# a comment\n64 48\n%d\n" % (2**depth - 1) + stored.tobytes())
    options = ("--model", model, "--secret-file", str(tmp_path / "secret"))
    done = example(libbiqa, host_env, *options, "--json", str(tmp_path / "a.ppm"))
    expected = certifier.certify(frame)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == expected.to_dict()
    done = example(libbiqa, host_env, *options, str(tmp_path / "a.ppm"))
    score, lower, upper = re.fullmatch(r".*a\.ppm frame 0: (\S+) \[(\S+), (\S+)\]\n", done.stdout).groups()
    assert (float(score), float(lower), float(upper)) == (expected.score, expected.lower, expected.upper)


@pytest.mark.parametrize("depth", [8, 10])
def test_the_example_certifies_raw_planes(
    libbiqa: Path, model: str, certifier: runtime.Certifier, host_env: dict[str, str], tmp_path: Path, depth: int
) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    frames = [[noise((47, 65), depth) // (1 + i), noise((24, 33), depth), noise((24, 33), depth)] for i in range(3)]
    (tmp_path / "a.yuv").write_bytes(b"".join(plane.tobytes() for planes in frames for plane in planes))
    options = ("--model", model, "--secret-file", str(tmp_path / "secret"), "--raw", f"65x47:4:2:0:{depth}")
    colours = ("--matrix", "bt709", "--range", "limited", "--siting", "left")
    done = example(libbiqa, host_env, *options, *colours, "--json", str(tmp_path / "a.yuv"))
    conversion = runtime.Conversion("bt709", "limited", depth, "4:2:0", "left")
    expected = [certifier.certify_planes(planes, conversion).to_dict() for planes in frames]
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected
    assert "colours assumed" in example(libbiqa, host_env, *options, str(tmp_path / "a.yuv")).stdout


def test_the_example_refuses_what_is_cut_or_garbage(
    libbiqa: Path, model: str, host_env: dict[str, str], tmp_path: Path
) -> None:
    head, pixels = b"P6 64 48 255\n", noise((48, 64, 3), 8).tobytes()
    raw = ("--raw", "64x48:4:2:0:8")
    for data, options, words in (
        (b"", (), "not a binary PPM"),
        (b"P5 64 48 255\n" + pixels, (), "not a binary PPM"),
        (b"P6 64 48 1023\n" + pixels, (), "not a binary PPM"),
        (head + pixels[:-1], (), "not as long as its header says"),
        (head + pixels + b"x", (), "not as long as its header says"),
        (b"", raw, "is empty"),
        (pixels[:-1], raw, "ends within a frame"),
        (pixels, ("--raw", "64x48:4:1:1:8"), "is not like"),
        (pixels, ("--raw", "64x48:4:2:0:8x"), "is not like"),
        (pixels, ("--epsilon", "x"), "is not a value of that option"),
    ):
        path = tmp_path / "input"
        path.write_bytes(data)
        done = example(libbiqa, host_env, "--model", model, *options, str(path))
        assert done.returncode == 2, done
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert example(libbiqa, host_env, str(tmp_path / "missing")).returncode == 2


def test_a_python_that_is_not_there_or_has_no_runtime(libbiqa: Path, host_env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6 64 48 255\n" + noise((48, 64, 3), 8).tobytes())
    for python, words in ((str(tmp_path / "python"), "set BIQA_PYTHON"), (sys._base_executable, "No module named")):
        env = {key: value for key, value in host_env.items() if key != "PYTHONPATH"}
        done = example(libbiqa, {**env, "BIQA_PYTHON": python}, str(tmp_path / "a.ppm"))
        assert done.returncode == 2
        assert words in done.stderr
        assert python in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_make_refuses_a_python_that_cannot_be_embedded(tmp_path: Path) -> None:
    code = (
        "import sysconfig, runpy\n"
        "known = sysconfig.get_config_var\n"
        "sysconfig.get_config_var = lambda name: 'libpython3.a' if name == 'LDLIBRARY' else known(name)\n"
        f"runpy.run_path({str(ROOT / 'bindings' / 'capi' / 'embed.py')!r}, run_name='__main__')\n"
    )
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(ROOT / "bindings" / "capi"), f"PYTHON={tmp_path / 'python'}", f"BUILD={tmp_path / 'build'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "has no shared libpython to embed" in done.stderr
    assert list((tmp_path / "build").iterdir()) == []


@pytest.mark.parametrize(
    ("compiler", "name", "standard"), [("cc", "a.c", "c99"), ("cc", "a.c", "c17"), ("c++", "a.cpp", "c++11")]
)
def test_the_header_is_plain_c_and_c_plus_plus(
    libbiqa: Path, tmp_path: Path, compiler: str, name: str, standard: str
) -> None:
    (tmp_path / name).write_text(
        "#include <biqa.h>\n#include <stdio.h>\n"
        "int main(void) {\n    biqa_destroy(0);\n    return puts(biqa_version()) < 0;\n}\n"
    )
    environment = {"PKG_CONFIG_PATH": str(libbiqa / "lib" / "pkgconfig"), "PATH": "/usr/bin:/bin:/usr/local/bin"}
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "biqa"], capture_output=True, text=True, check=True, env=environment
    ).stdout.split()
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    subprocess.run(
        [compiler, f"-std={standard}", *strict, name, "-o", "a", *flags, f"-Wl,-rpath,{libbiqa / 'lib'}"],
        cwd=tmp_path,
        check=True,
    )
    done = subprocess.run([tmp_path / "a"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == runtime.__version__


def test_memory_is_flat_over_2000_frames(libbiqa: Path, model: str, host_env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "cabi.py"), str(libbiqa / "lib" / "libbiqa.so"), model, "2500"],
        capture_output=True, text=True, check=True, env=host_env, cwd=ROOT,
    )  # fmt: skip
    before, after = map(int, done.stdout.split())
    assert after - before < 2**21, f"{(after - before) / 2**20:.2f} MiB more"


GUEST = r"""
#include <dlfcn.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <biqa.h>

static int (*create)(const biqa_config *, biqa_certifier **);
static int (*certify)(biqa_certifier *, const void *, int64_t, int64_t, int64_t, int64_t, biqa_result *);
static void (*destroy)(biqa_certifier *);
static biqa_config config = {.struct_size = sizeof config, .samples = 21};
static biqa_certifier *certifier;

static void *first(void *nothing) {
    if (create(&config, &certifier))
        return create(&config, &certifier) ? "failed twice" : "failed once";
    return nothing;
}

int main(int count, char **arguments) {
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL), *failed;
    *(void **)&create = dlsym(library, "biqa_create");
    *(void **)&certify = dlsym(library, "biqa_certify_rgb");
    *(void **)&destroy = dlsym(library, "biqa_destroy");
    config.model = arguments[count - 1];
    static struct sigaction before[NSIG]; /* what ran this test may ignore some */
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &before[number]);
    pthread_t thread;
    pthread_create(&thread, NULL, first, NULL);
    pthread_join(thread, &failed);
    if (failed)
        return puts(failed), 1;
    for (int number = 1; number < NSIG; number++) {
        struct sigaction now;
        if (sigaction(number, NULL, &now) == 0 && now.sa_handler != before[number].sa_handler)
            return printf("signal %d\n", number), 1;
    }
    if (strcmp(setlocale(LC_ALL, NULL), "C"))
        return puts(setlocale(LC_ALL, NULL)), 1;
    static unsigned char frame[48][64][3];
    biqa_result result = {.struct_size = sizeof result};
    int code = certify(certifier, frame, 64 * 3, 64, 48, 8, &result);
    destroy(certifier);
    dlclose(library);
    return printf("%d %g\n", code, result.score), 0;
}
"""


def guest(libbiqa: Path, model: str, env: dict[str, str], tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """A host that opens the library late, with RTLD_LOCAL, and lets a thread that ends start Python."""
    (tmp_path / "guest.c").write_text(GUEST)
    subprocess.run(
        ["cc", "-Wall", "-Werror", f"-I{libbiqa / 'include'}", "guest.c", "-o", "guest", "-ldl", "-lpthread"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    return subprocess.run(
        [str(tmp_path / "guest"), str(libbiqa / "lib" / "libbiqa.so"), model],
        capture_output=True, text=True, check=False, env=env, timeout=60,
    )  # fmt: skip


def test_signals_and_locale_stay_the_hosts(libbiqa: Path, model: str, host_env: dict[str, str], tmp_path: Path) -> None:
    done = guest(libbiqa, model, {**host_env, "LC_ALL": "C.UTF-8"}, tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    code, score = done.stdout.split()
    assert code == "0"
    assert 0 < float(score) < 20  # of a black frame


def test_a_python_that_does_not_start(libbiqa: Path, model: str, host_env: dict[str, str], tmp_path: Path) -> None:
    """The same error when asked again, no crash and no deadlock. Python itself shows its paths on standard error."""
    env = {**host_env, "PYTHONHOME": str(tmp_path / "missing")}
    assert guest(libbiqa, model, env, tmp_path).stdout == "failed twice\n"
    (tmp_path / "a.ppm").write_bytes(b"P6 64 48 255\n" + noise((48, 64, 3), 8).tobytes())
    done = example(libbiqa, env, str(tmp_path / "a.ppm"))
    assert done.returncode == 2
    assert "Python does not start" in done.stderr.splitlines()[-1]


@pytest.mark.long
def test_valgrind_finds_nothing_of_ours(libbiqa: Path, model: str, host_env: dict[str, str], tmp_path: Path) -> None:
    """Nothing lost that libbiqa or the example allocated, no wrong access of theirs, and nothing lost a frame.

    The policy: CPython, NumPy and ONNX Runtime keep blocks until the process ends, and Python is never ended. Such a
    block is theirs if its allocation was not called from our own code directly, and if eight frames more do not lose
    more; PYTHONMALLOC=malloc makes every Python object a block of its own. Blocks that are still reachable do not
    count: a reference that is not given back to an object that the garbage collector lists is one of these, and shows
    in test_memory_is_flat_over_2000_frames.
    """
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    lost = []
    for frames in (2, 10):
        (tmp_path / "a.yuv").write_bytes(noise((frames * 48 * 64 * 3 // 2,), 8).tobytes())
        report = tmp_path / f"{frames}.xml"
        command = [
            *("valgrind", "--xml=yes", f"--xml-file={report}", "--leak-check=full", "--show-leak-kinds=definite"),
            *("--num-callers=12", "--errors-for-leak-kinds=definite"),
            *(str(libbiqa / "build" / "biqa-example"), "--model", model, "--samples", "21"),
            *("--raw", "64x48:4:2:0:8", "--json", str(tmp_path / "a.yuv")),
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**host_env, "PYTHONMALLOC": "malloc"}
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == frames
        errors = list(ElementTree.parse(report).iter("error"))
        ours = [error for error in errors if is_ours(error)]
        assert ours == [], [ElementTree.tostring(error).decode() for error in ours]
        lost.append(sum(int(error.findtext("xwhat/leakedbytes", "0")) for error in errors))
    assert lost[1] == lost[0]


def is_ours(error: ElementTree.Element) -> bool:
    """Whether the first frame that is not the allocator or the C library's is one of biqa.c or example.c."""
    system = ("vgpreload_memcheck", "libc.so", "ld-linux")
    for frame in error.iter("frame"):
        if not any(name in frame.findtext("obj", "") for name in system):
            return frame.findtext("file", "") in ("biqa.c", "example.c", "biqa.h")
    return False


def test_the_page_takes_a_newcomer_to_a_certificate(libbiqa: Path, host_env: dict[str, str], tmp_path: Path) -> None:
    """docs/capi.md, every command, in the order of the page."""
    newcomer(tmp_path)
    (tmp_path / "photo.ppm").write_bytes(b"P6 128 96 255\n" + photograph()[:96, :128].tobytes())
    (tmp_path / "clip.yuv").write_bytes(noise((2 * 96 * 64 * 3 // 2,), 8).tobytes())
    (program,) = blocks("capi.md", "c")
    (tmp_path / "host.c").write_text(program)
    shown = []
    for block in blocks("capi.md", "sh"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], capture_output=True, text=True, env=host_env, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        shown.append(done.stdout)
    assert "photo.ppm frame 0: " in shown[0]
    score, record = shown[1].splitlines()
    assert float(score.split()[0]) == pytest.approx(json.loads(record)["score"], abs=1e-6)
    assert [json.loads(line)["abstained"] for line in shown[2].splitlines()] == [False, False]


def test_the_sources_of_an_installed_package_are_found(host_env: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bindings.capi"], capture_output=True, text=True, check=True, env=host_env, cwd=tmp_path
    )
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert Path(lines["header"]).is_file()
    assert (Path(lines["sources"]) / "Makefile").is_file()
    subprocess.run(["bash", "-euo", "pipefail", "-c", lines["build"]], check=True, cwd=tmp_path, capture_output=True)
    assert (tmp_path / "biqa" / "lib" / "libbiqa.so").exists()
