"""The house: which package may import which, what an import costs, what ships, and that the pages hold together."""

from __future__ import annotations

import ast
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("bindings", "export", "runtime", "training")
MAY_IMPORT = {
    "runtime": set(),
    "export": {"runtime"},
    "training": {"runtime"},
    "bindings": {"runtime"},
    "benchmarks": {"runtime", "export", "training"},
}
"""``export`` reaches the networks of ``training`` by the spec strings of its catalogue alone."""

HEAVY = ("torch", "onnx", "onnxruntime", "av", "PIL", "tensorrt", "pycuda", "cuda", "tqdm")


def _imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_arrows_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        own = _imports(path) & {*MAY_IMPORT, "tests", "examples"}
        assert own - {package} <= MAY_IMPORT[package], path


FLOORS = (
    ("errors", "install", "version"),
    ("atomic", "bounds", "frames"),
    ("bundle", "files", "noise", "results"),
    ("report", "samplers"),
    ("arguments",),
    ("scores",),
    ("tile_scores",),
    ("audit",),
    ("certifier",),
    ("commands",),
    ("__main__",),
)
"""The rooms of ``runtime``, from the ground up: each imports from floors below its own alone."""


def _rooms(path: Path) -> set[str]:
    """The rooms of ``runtime`` that one of its modules imports from; "" for the package itself."""
    package = path.relative_to(ROOT / "runtime").parent.parts
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = (*package[: len(package) + 1 - node.level], *(node.module or "").split("."))
            found = [part for part in parts if part]
            rooms |= {found[0]} if found else {alias.name for alias in node.names}
    return rooms


def test_the_rooms_of_runtime_stand_on_each_other() -> None:
    floor_of = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    found = {path.name.removesuffix(".py") for path in (ROOT / "runtime").iterdir() if path.suffix == ".py"}
    found |= {path.name for path in (ROOT / "runtime").iterdir() if (path / "__init__.py").exists()}
    assert found - {"__init__"} == set(floor_of)
    for path in (ROOT / "runtime").rglob("*.py"):
        own = path.relative_to(ROOT / "runtime").parts[0].removesuffix(".py")
        if own != "__init__":
            above = {room for room in _rooms(path) - {own} if floor_of[room] >= floor_of[own]}
            assert not above, f"{path} imports from {above}"


def _public(module: str) -> set[str]:
    return set(getattr(importlib.import_module(module), "__all__", ()))


def _imported(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every ``from … import …`` of our packages in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                yield node.module, alias.name


def test_only_public_names_are_taken() -> None:
    """A name is public where the module it is taken from has it in ``__all__``; examples take them from the top."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    for package in ("bindings", "benchmarks", "examples"):
        for path in (ROOT / package).rglob("*.py"):
            for module, name in _imported(path):
                top = module.split(".")[0]
                if top in ("runtime", "export", "training"):
                    assert name in _public(module), f"{path}: {module}.{name}"
                    assert package != "examples" or top != "runtime" or module == "runtime", path


def test_hosts_leave_the_command_line_alone() -> None:
    """But programs of their own: those take its options and leave through its door."""
    for path in (ROOT / "bindings").rglob("*.py"):
        if path.name != "__main__.py":
            assert not any(module.startswith("runtime.commands") for module, _ in _imported(path)), path


def test_one_place_divides_alpha_and_one_replaces_files() -> None:
    for path in (ROOT / "runtime").rglob("*.py"):
        text = path.read_text()
        if path.name != "alpha.py":
            assert not re.search(r"\balpha\)? *(/|\*)(?!\*)", _code(text)), path
    for package in (*PACKAGES, "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            assert path.name == "atomic.py" or "os.replace" not in path.read_text(), path


def _code(text: str) -> str:
    """A module without its strings and comments."""
    kept = (tokenize.NAME, tokenize.NUMBER, tokenize.OP)
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return " ".join(token.string for token in tokens if token.type in kept)


def test_runtime_never_names_torch() -> None:
    for path in (ROOT / "runtime").rglob("*.py"):
        assert not _imports(path) & {"torch", "onnx", "onnxscript", "skimage"}, path


def test_import_runtime_is_light() -> None:
    code = f"import sys, runtime; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_public_names_are_those_of_all() -> None:
    import runtime

    for name in runtime.__all__:
        assert getattr(runtime, name) is not None
    assert sorted(runtime.__all__, key=str.lower) == runtime.__all__


def test_every_package_is_listed() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "__pycache__" not in path.parts
    }
    assert found == listed


def _wheel(folder: Path, compiler: str | None = None) -> set[str]:
    """Names in a wheel of this tree, built from a copy of it, with another C compiler than this Python's own."""
    tree = folder / "tree"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "_noise*.so"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    environment = os.environ | ({} if compiler is None else {"CC": compiler})
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(tree)]
    subprocess.run(command, check=True, env=environment)
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.long
def test_wheel_without_a_compiler_lacks_compiled_noise_alone(tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: cc")
    with_one, without = _wheel(tmp_path / "with"), _wheel(tmp_path / "without", "/bin/false")
    assert with_one - without == {"runtime/noise/_noise.abi3.so"}
    assert without <= with_one


@pytest.mark.long
def test_wheel_holds_what_runs(tmp_path: Path) -> None:
    names = _wheel(tmp_path)
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    for name in ("manifest.json", "levels/0.06.model.onnx", "levels/shared.model.int8.onnx", "MODEL_CARD.md"):
        assert f"runtime/models/default/{name}" in names
    assert not any(name.startswith("runtime/models/single/") for name in names)
    for name in ("manifest.json", "model.onnx", "MODEL_CARD.md"):
        assert f"runtime/models/tiles/{name}" in names
    assert {f"runtime/samplers/gpu/kernels/{n}.cu" for n in ("lattice", "noise", "scores")} <= names
    assert "runtime/noise/_noise.pyi" in names
    assert {f"bindings/capi/{n}" for n in ("Makefile", "biqa.h", "biqa.c", "biqa.pc.in", "example.c")} <= names
    assert {f"bindings/ffmpeg/frei0r/{n}" for n in ("Makefile", "biqa_frei0r.c")} <= names
    assert {f"training/weights/{n}.safetensors" for n in ("mobilenet_v1_050", "unet_16")} <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "examples/")) for name in names)


def test_links_of_the_pages_resolve() -> None:
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} → {target}"


def test_weights_are_small_and_all_of_the_catalogue() -> None:
    from export.networks.catalogue import DENOISERS, METRICS

    weights = set((ROOT / "training" / "weights").glob("*.safetensors"))
    family = ROOT / "training" / "weights" / "levels.safetensors"
    assert {entry.weights for entry in (*METRICS.values(), *DENOISERS.values())} | {family} == weights
    models = ROOT / "runtime" / "models"  # single stays in the repository, for its records: the wheel has not got it
    ships = [path for name in ("default", "tiles") for path in (models / name).rglob("*.onnx")]
    assert sum(path.stat().st_size for path in ships) <= 8e6
