"""The GPU kernels compile, for every generation and without a GPU, and a bundle carries them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from export.__main__ import main
from export.engines.compile import Request, compile_bundle
from export.engines.kernels import SMS, compile_kernels, compiler_version, read_usage
from runtime.bundle.manifest import MODEL
from runtime.bundle.store import Bundle, file_entry, open_bundle, write_bundle
from runtime.errors import DependencyError, ExportError
from runtime.samplers.gpu.kernels import KERNELS, TILE_SOURCES, choose_file, cubin_file, ptx_file
from tests.support.tiny import SINGLE_BUNDLE

LOG = """ptxas info    : Compiling entry function 'one' for 'sm_89'
ptxas info    : Function properties for one
ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 30736 bytes smem
ptxas info    : Compiling entry function 'two' for 'sm_89'
ptxas info    : Function properties for two
    16 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 12 registers
"""


@pytest.fixture(scope="module")
def compiled() -> tuple[dict[str, bytes], list[str]]:
    """Every file, and the lines that were reported."""
    try:
        version = compiler_version()
    except DependencyError as error:
        pytest.skip(str(error))
    assert int(version.split(".")[0]) >= 12
    lines: list[str] = []
    return compile_kernels(report=lines.append, tile=64), lines


def of_frames(files: dict[str, bytes]) -> set[str]:
    """Those that a bundle of whole frames takes."""
    return {name for name in files if not name.startswith("kernels/tiles.")}


def test_every_generation_and_portable_assembly(compiled: tuple[dict[str, bytes], list[str]]) -> None:
    files, lines = compiled
    modules = TILE_SOURCES
    assert set(files) == {cubin_file(m, sm) for m in modules for sm in SMS} | {ptx_file(m) for m in modules}
    for name, data in files.items():
        if name.endswith(".cubin"):
            assert data.startswith(b"\x7fELF")
        else:
            assert f".target sm_{min(SMS)}".encode() in data
    for name, kernel in KERNELS.items():
        assert all(name.encode() in files[f] for f in files if f.startswith(f"kernels/{kernel.module}."))
    assert len(lines) == len(KERNELS) * len(SMS)


def test_two_blocks_fit_the_smallest_device(compiled: tuple[dict[str, bytes], list[str]]) -> None:
    """At most 64 registers a thread (4 blocks of 256 threads in 65,536) and 32 KiB a block (2 in Turing's 64 KiB)."""
    for line in compiled[1]:
        numbers = [int(word) for word in line.replace(",", "").split() if word.isdigit()]
        registers, shared, local = numbers
        assert registers <= 64, line
        assert shared <= 32 * 1024, line
        assert local == 0, line


def test_casts_are_those_the_host_checked(compiled: tuple[dict[str, bytes], list[str]]) -> None:
    """The product is rounded on its own, subnormals are kept, and halves are rounded to the nearest."""
    assembly = compiled[0][ptx_file("noise")]
    assert b"cvt.rn.f16.f32" in assembly
    assert b"mul.f32" in assembly or b"mul.rn.f32" in assembly
    assert b"fma" not in assembly
    assert b".ftz" not in assembly


def test_the_same_bytes_again(compiled: tuple[dict[str, bytes], list[str]]) -> None:
    again = compile_kernels([SMS[0]])
    assert all(compiled[0][name] == data for name, data in again.items())


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_a_bundle_carries_them(compiled: tuple[dict[str, bytes], list[str]], tmp_path: Path, suffix: str) -> None:
    default = open_bundle(SINGLE_BUNDLE)
    contents = {MODEL: default.read(MODEL), **compiled[0]}
    manifest = replace(default.manifest, files={name: file_entry(data) for name, data in contents.items()})
    bundle = write_bundle(tmp_path / f"bundle{suffix}", manifest, contents)
    bundle.verify()
    name = choose_file(bundle.manifest.files, "noise", (8, 9))
    assert bundle.read(name) == compiled[0]["kernels/noise.sm_89.cubin"]


def test_an_unknown_generation_is_refused(compiled: tuple[dict[str, bytes], list[str]]) -> None:
    with pytest.raises(ExportError, match=r"\[70\]"):
        compile_kernels([70, 89])
    with pytest.raises(ExportError, match="no GPU generation"):
        compile_kernels([])


def test_what_the_compiler_refuses_is_said(
    compiled: tuple[dict[str, bytes], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.engines.kernels.source", lambda module: "__device__ int f() { return missing; }")
    with pytest.raises(ExportError, match=r"lattice\.cu for sm_89: .*missing"):
        compile_kernels([89])


def test_spills_are_refused() -> None:
    (usage,) = read_usage(LOG, ["one"], 89)
    assert (usage.registers, usage.shared, usage.local) == (40, 30736, 0)
    with pytest.raises(ExportError, match="two sm_89: 12 registers, 0 bytes shared, 32 bytes local"):
        read_usage(LOG, ["one", "two"], 89)
    with pytest.raises(ExportError, match="report on three"):
        read_usage(LOG, ["three"], 89)


def test_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(DependencyError, match=r"pip install .*'nvidia-cuda-nvrtc>=13'$"):
        compile_kernels()


@pytest.fixture
def copy(outsider: tuple[Bundle, list[str]], tmp_path: Path) -> Bundle:
    shutil.copytree(outsider[0].path, tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


def test_compile_adds_them(
    compiled: tuple[dict[str, bytes], list[str]], copy: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    """The kernels of another version go, the graph and its identity stay."""
    contents = {**{name: copy.read(name) for name in copy.manifest.files}, "kernels/noise.sm_70.cubin": b"old"}
    manifest = replace(copy.manifest, files={name: file_entry(data) for name, data in contents.items()})
    write_bundle(copy.path, manifest, contents)
    assert main(["compile", str(copy.path), "--target", "cuda"]) == 0
    assert "compiling the GPU kernels" in capsys.readouterr().err
    made = open_bundle(copy.path)
    made.verify()
    assert made.digest == copy.digest
    assert set(made.manifest.files) == set(copy.manifest.files) | of_frames(compiled[0])
    assert all(made.read(name) == compiled[0][name] for name in of_frames(compiled[0]))
    assert made.manifest.made_with == {**copy.manifest.made_with, "nvrtc": compiler_version()}
    assert main(["inspect", str(copy.path)]) == 0
    said = capsys.readouterr().out
    assert "24 files, machine code for sm75, sm80, sm86, sm89, sm90, sm100, sm120, PTX for later GPUs" in said
    assert "file kernels/" not in said


def test_build_adds_them(
    compiled: tuple[dict[str, bytes], list[str]], faulty: Callable[[str], str], tmp_path: Path
) -> None:
    command = ["build", "--metric", faulty("Mean"), "--denoiser", "none", "--batch", "1", "--size", "16x16"]
    assert main([*command, "--target", "cuda", "--out", str(tmp_path / "b.zip")]) == 0
    made = open_bundle(tmp_path / "b.zip")
    assert of_frames(compiled[0]) < set(made.manifest.files)
    assert made.manifest.engines == {}
    command = ["build", "--metric", faulty("Mean"), "--denoiser", "none", "--tile", "16", "--score-range", "0", "9"]
    assert main([*command, "--target", "cuda", "--out", str(tmp_path / "tiles.zip")]) == 0
    assert set(compiled[0]) < set(open_bundle(tmp_path / "tiles.zip").manifest.files)


def test_without_the_compiler_a_build_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, copy: Bundle, faulty: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear message: the bundle is whole without kernels, and compile leaves it as it was."""
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    import_module("export.engines.compile")._kernels.cache_clear()
    before = (copy.path / "manifest.json").read_bytes()
    assert main(["compile", str(copy.path), "--target", "cuda", "--quiet"]) == 2
    assert capsys.readouterr().err == (
        "error: NVRTC, the compiler of the GPU kernels, is not installed: pip install "
        "'cuda-bindings>=13' 'nvidia-cuda-nvrtc>=13'\n"
    )
    assert (copy.path / "manifest.json").read_bytes() == before
    out = copy.path.with_name("built")
    command = ["build", "--metric", faulty("Mean"), "--denoiser", "none", "--batch", "1", "--size", "16x16"]
    assert main([*command, "--target", "cuda", "--out", str(out), "--quiet"]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("not ready for cuda yet: NVRTC, the compiler of the GPU kernels, is not installed")
    assert second == f"on the machine that will run it: biqa compile {out} --target cuda"
    assert not any(name.startswith("kernels/") for name in open_bundle(out).manifest.files)


def test_kernels_alone_have_no_engine_options(copy: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(copy.path), "--target", "cuda", "--precision", "fp32"]) == 2
    assert "--precision is for --target tensorrt or tensorrt-rtx" in capsys.readouterr().err
    with pytest.raises(ExportError, match="--target cuda has no engine"):
        compile_bundle(copy, Request("cuda", batch=2))
