"""``biqa``: one command for certifying, building and training, in a folder of any content."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from runtime.__main__ import main
from runtime.commands.others import GROUP, HELP, other_commands
from tests.support.tiny import tiny_bundle

ROOT = Path(__file__).parents[3]
OTHERS = ("build", "compile", "inspect", "verify", "triton", "calibrate", "train")

SCRIPT = """\
#!{python}
import sys
from runtime.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""
"""As pip writes it: ``sys.path[0]`` is the folder of the script, not the current one."""


@pytest.fixture(scope="module")
def biqa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of this tree, beside the entry points of its pyproject.toml as pip would write them."""
    folder = tmp_path_factory.mktemp("environment")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / "packages" / "stochastic_biqa-0.dist-info"
    info.mkdir(parents=True)
    extras = project["optional-dependencies"].items()
    requires = [f"Requires-Dist: {one.split(';')[0]}; extra == '{extra}'\n" for extra, them in extras for one in them]
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stochastic-biqa\nVersion: 0\n" + "".join(requires))
    lines = [f"{name} = {value}\n" for name, value in project["entry-points"][GROUP].items()]
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(lines))
    (folder / "bin").mkdir()
    script = folder / "bin" / "biqa"
    script.write_text(SCRIPT.format(python=sys.executable))
    script.chmod(0o755)
    return script


def run(biqa: Path, folder: Path, *words: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """``before``: a folder searched before everything else."""
    paths = [*filter(None, [before]), str(biqa.parents[1] / "packages"), str(ROOT)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
    command = [sys.executable, str(biqa), *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_what_pip_installs_is_there() -> None:
    """The script and the other commands, as pyproject.toml names them."""
    pytest.importorskip("torch")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"biqa": "runtime.__main__:main"}
    assert tuple(project["entry-points"][GROUP]) == OTHERS == tuple(HELP)
    for name, value in project["entry-points"][GROUP].items():
        assert callable(metadata.EntryPoint(name, value, GROUP).load())


def test_help_names_every_command(biqa: Path, tmp_path: Path) -> None:
    done = run(biqa, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: biqa [-h]")
    for name in ("certify", "gate", "compare", "plan", "replay", "doctor", *OTHERS):
        assert f"\n    {name} " in done.stdout
    assert "of another package" not in done.stdout


def test_files_of_the_current_folder_shadow_nothing(biqa: Path, tmp_path: Path) -> None:
    for name in ("export", "runtime", "training", "numpy", "onnx", "torch", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the file of the current folder was imported')")
    tiny_bundle(tmp_path / "model")
    for words in (["plan", "--model", "model"], ["inspect", "model"], ["train", "evaluate", "--help"]):
        done = run(biqa, tmp_path, *words)
        assert (done.returncode, done.stderr) == (0, ""), words


def test_usage_says_how_it_was_started(biqa: Path, tmp_path: Path) -> None:
    for words, usage in (
        (["certify"], "biqa certify"),
        (["build"], "biqa build"),
        (["train", "joint"], "biqa train joint"),
    ):
        assert run(biqa, tmp_path, *words, "--help").stdout.startswith(f"usage: {usage} [-h]")
    done = subprocess.run(
        [sys.executable, "-m", "runtime", "plan", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: python -m runtime plan [-h]")


def test_a_module_of_the_current_folder_can_be_built(biqa: Path, tmp_path: Path) -> None:
    """A console script does not look there by itself; ``package.module:factory`` may lie there all the same."""
    package = tmp_path / "mine"
    package.mkdir()
    (package / "metric.py").write_text("def make():\n    return 3\n")
    done = run(biqa, tmp_path, "build", "--quiet", "--metric", "mine.metric:make", "--denoiser", "none")
    assert (done.returncode, done.stderr) == (2, "error: mine.metric:make() returned a int, not an nn.Module\n")


def test_without_pytorch_building_is_one_line(biqa: Path, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    )
    done = run(biqa, tmp_path, "plan", before=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for command in ("build", "train"):
        done = run(biqa, tmp_path, command, before=str(tmp_path))
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith(f"error: biqa {command} takes torch, which is not installed: pip install '")
        assert "'torch>=" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_command_of_its_own_imports_no_other(biqa: Path, tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import sys
        from runtime.__main__ import main
        main(["plan"])
        print([m for m in ("torch", "onnx", "export", "training", "tomllib") if m in sys.modules])
        """
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_is_that_of_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It is written twice, as reading it from ``export`` would import PyTorch."""
    export = pytest.importorskip("export.__main__")
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        export.main(["--help"])
    out = capsys.readouterr().out
    for name in ("build", "compile", "inspect", "verify"):
        assert f"{name}  " in out
        assert HELP[name] in out


def test_entry_points_of_others_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [metadata.EntryPoint(name, f"{name}:main", GROUP) for name in ("zoo", "train", "build", "any")]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    assert list(other_commands()) == ["build", "train", "any", "zoo"]


def test_a_defect_of_another_command_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = metadata.EntryPoint("build", "export.no_such_module:main", GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    assert main(["build"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1].startswith("error: ModuleNotFoundError, a defect")
