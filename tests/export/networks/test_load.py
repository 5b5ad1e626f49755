"""load.py: every kind of SPEC and weights file, and what is said of those that will not do."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from export.networks import load
from export.networks.catalogue import METRICS, Entry
from export.networks.load import load_denoiser, load_metric
from runtime.errors import BiqaError, DependencyError, ExportError

SUPPORT = Path(__file__).parents[2] / "support"
METRIC = f"{SUPPORT / 'outsider.py'}:Sharpness"


def test_file_spec_is_recorded_without_its_folder(weights: dict[str, Path]) -> None:
    loaded = load_metric(METRIC, weights["metric"], licence="MIT", version="2.1")
    assert loaded.part.spec == "outsider.py:Sharpness"
    assert (loaded.part.name, loaded.part.licence, loaded.part.version) == ("Sharpness", "MIT", "2.1")
    assert loaded.part.weights_sha256 is not None
    assert not loaded.module.training
    assert not any(p.requires_grad for p in loaded.module.parameters())


def test_pt_and_safetensors_give_the_same_module(weights: dict[str, Path]) -> None:
    ours, theirs = (load_metric(METRIC, weights[k]).module.state_dict() for k in ("metric", "metric_pt"))
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_module_spec_module_class_and_instance() -> None:
    assert load_metric("training.networks.mobilenet:mobilenet_v1_025").part.spec.endswith(":mobilenet_v1_025")
    denoiser = load_denoiser("torch.nn:Identity")
    assert denoiser is not None
    assert load_metric(denoiser.module).part.spec == "torch.nn.modules.linear:Identity"
    assert load_denoiser("none") is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("nonsense", "not in the catalogue"),
        ("no_such_package.metrics:m", "no module 'no_such_package'"),
        ("no_such_file.py:m", "no file"),
        (f"{SUPPORT / 'outsider.py'}:Sharpnes", "defines Sharpness, Smoother, smoother"),
        (f"{SUPPORT / 'faulty.py'}:raising", "KeyError"),
        (f"{SUPPORT / 'faulty.py'}:text", "returned a str"),
        (f"{SUPPORT / 'faulty.py'}:number", "is a int"),
    ],
)
def test_bad_specs(spec: str, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        load_metric(spec)


def test_file_with_a_syntax_error(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def metric(:\n")
    with pytest.raises(ExportError, match="SyntaxError"):
        load_metric(f"{tmp_path / 'broken.py'}:metric")


def test_file_may_import_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "neighbour_of_metric.py").write_text("from torch.nn import Identity\n")
    (tmp_path / "mine.py").write_text("from neighbour_of_metric import Identity\n")
    assert isinstance(load_metric(f"{tmp_path / 'mine.py'}:Identity").module, torch.nn.Identity)
    assert str(tmp_path) not in sys.path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("head.weight"), "1 missing .head.weight."),
        (lambda s: s.update({f"extra{i}": torch.zeros(1) for i in range(5)}), "5 unknown .extra0, extra1, extra2, …."),
        (lambda s: s.update({"head.bias": torch.zeros(3)}), r"head.bias \(3,\) instead of \(1,\)"),
    ],
)
def test_weights_that_do_not_fit(change, said: str, tmp_path: Path) -> None:
    state = load_metric(METRIC).module.state_dict()
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ExportError, match=said):
        load_metric(METRIC, tmp_path / "w.safetensors")


class _Attack:
    """A pickle that runs a command when opened without ``weights_only``."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickle_that_runs_code_is_not_opened(zipped: bool, tmp_path: Path) -> None:
    attack = {"head.weight": _Attack(tmp_path / "ran")}
    file = tmp_path / "w.pt"
    if zipped:
        torch.save(attack, file)
    else:
        file.write_bytes(pickle.dumps(attack))
    with pytest.raises(ExportError, match="could run code"):
        load_metric(METRIC, file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("gone.pt", None, "cannot be read"),
        ("w.bin", b"x", ".safetensors, .pt or .pth"),
        ("w.safetensors", b"\x08\0\0\0\0\0\0\0{}", "not a safetensors file"),
        ("w.pt", b"", "not a PyTorch|no PyTorch"),
        ("w.pt", b"PK\x03\x04 cut short", "not a PyTorch|no PyTorch"),
    ],
)
def test_files_that_are_no_weights(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ExportError, match=said):
        load_metric(METRIC, tmp_path / name)


def test_pt_with_something_else(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(ExportError, match="holds a list"):
        load_metric(METRIC, tmp_path / "w.pt")


def test_catalogue_without_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = METRICS["mobilenet_v1_050"].spec
    entry = Entry(spec, tmp_path / "metric.safetensors", "1", "Apache-2.0")
    monkeypatch.setattr(load, "METRICS", {"mobilenet_v1_050": entry})
    with pytest.raises(ExportError, match="weights of mobilenet_v1_050 are missing"):
        load_metric("mobilenet_v1_050")


def test_catalogue_with_weights_of_another(tmp_path: Path) -> None:
    state = load_metric("training.networks.mobilenet:mobilenet_v1_050").module.state_dict()
    save_file(state, tmp_path / "w.safetensors")
    loaded = load_metric("mobilenet_v1_050", tmp_path / "w.safetensors")
    assert (loaded.part.licence, loaded.part.version, loaded.card) == ("unstated", "unstated", None)
    assert loaded.score == METRICS["mobilenet_v1_050"].score


def test_pyiqa_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    with pytest.raises(DependencyError, match="pip install pyiqa"):
        load_metric("pyiqa:cnniqa")


def test_pyiqa_gives_the_bare_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.lower_better, self.score_range = torch.nn.Identity(), True, "0, 10"

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            raise AssertionError("the wrapper is not part of a graph")

    fake = types.ModuleType("pyiqa")
    fake.list_models = lambda metric_mode: ["cnniqa"]  # type: ignore[attr-defined]
    fake.create_metric = lambda name, device: Wrapped()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyiqa", fake)
    loaded = load_metric("pyiqa:cnniqa")
    assert isinstance(loaded.module, torch.nn.Identity)
    assert loaded.score is not None
    assert (loaded.score.minimum, loaded.score.maximum, loaded.score.higher_is_better) == (0, 10, False)
    assert "PolyForm" in loaded.part.licence
    with pytest.raises(BiqaError, match="has no no-reference metric 'lpips'"):
        load_metric("pyiqa:lpips")
