"""faults.py: faults that stay in range, come from the generator alone, and leave the rest untouched."""

from __future__ import annotations

import pytest
import skimage.data
import torch

from training.data.faults import FAULTS, with_faults


@pytest.fixture(scope="module")
def picture() -> torch.Tensor:
    return torch.from_numpy(skimage.data.astronaut()[:64, :96]).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_pictures_and_repeat(fault, picture: torch.Tensor) -> None:
    first, second, other = (fault(picture, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.shape == picture.shape
    assert first.dtype == torch.float32
    assert 0 <= first.min() <= first.max() <= 1
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert (first - picture).abs().mean() > 1e-3


def test_share(picture: torch.Tensor) -> None:
    pictures = picture.expand(200, -1, -1, -1)
    result, untouched = with_faults(pictures, 0.3, torch.Generator().manual_seed(0))
    assert 30 <= (~untouched).sum() <= 90  # six standard deviations each way
    same = (result == pictures).flatten(1).all(1)
    assert torch.equal(same, untouched)
    assert with_faults(pictures, 0.0, torch.Generator().manual_seed(0))[1].all()
