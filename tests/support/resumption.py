"""A run that is killed and started again, next to one that is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from training.recipes import loop


def check_resumption(
    train: Callable[[Path], object],
    module: ModuleType,
    run: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: int = 1,
) -> None:
    """``train(out)`` ends in the same weights when it is killed in its sixth step and started again.

    ``module``: the one that trains, whose ``noisy`` is called ``calls`` times a step. ``run``: its checkpoint's name.
    """
    monkeypatch.setattr(loop.train, "__kwdefaults__", {**(loop.train.__kwdefaults__ or {}), "every": 3})
    train(folder / "whole")
    noisy, called = module.noisy, []

    def killed(*arguments: object) -> torch.Tensor:
        called.append(1)
        if len(called) == 6 * calls:
            raise KeyboardInterrupt
        return noisy(*arguments)  # type: ignore[no-any-return]

    monkeypatch.setattr(module, "noisy", killed)
    with pytest.raises(KeyboardInterrupt):
        train(folder / "killed")
    assert torch.load(folder / "killed" / f"{run}.checkpoint", weights_only=True)["step"] == 3
    train(folder / "killed")
    files = sorted((folder / "whole").glob("*.safetensors"))
    assert files
    for file in files:
        resumed = load_file(folder / "killed" / file.name)
        for name, whole in load_file(file).items():
            assert torch.equal(whole, resumed[name]), f"{file.name}: {name}"
