"""A small enhancement network, tuned against the bare metric and against the defended one.

    python examples/tune_enhancer.py --images kodak24 --json enhancer.json

The enhancer is a residual convolutional network that starts as the identity. It is tuned to raise a score of its output
with a weak pull towards its input, on crops of some photographs, and then judged on others: what it was tuned for, the
other score, an independent metric it never saw (bilinear), and fidelity (PSNR, SSIM) to the original. A score that
rises while the independent metric and the fidelity fall is a metric being gamed. Defended is the same metric behind the
denoiser that was trained against it, so that nothing but the defence differs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from tqdm import tqdm

from training.networks import frozen_denoiser, frozen_metric
from training.smoothed_loss import Scorer, SmoothedLoss, smoothed_score

DOWNSCALE, SIGMA, CROP = 2, 0.12, 256
JUDGES = ("bare", "smoothed", "independent", "psnr", "ssim")


class Enhancer(nn.Module):
    """Four 3×3 convolutions, 24 channels, output = input + correction, clamped."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(),
            nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 3, 3, padding=1),
        )  # fmt: skip
        nn.init.zeros_(self.body[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.body[-1].bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → the same."""
        correction: Tensor = self.body(pictures)
        return (pictures + correction).clamp(0, 1)


def read(path: Path) -> Tensor:
    """A photograph as 3×H×W in [0, 1]."""
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGB")).astype(np.float32) / 255).permute(2, 0, 1)


def defended_metric() -> Scorer:
    """The bare metric behind its denoiser."""
    return Scorer(frozen_metric(), frozen_denoiser()).eval()


def tune(loss: Callable[[Tensor], Tensor], pictures: list[Tensor], steps: int, fidelity: float, name: str) -> Enhancer:
    """Tune an enhancer on random crops; ``fidelity`` weighs the mean squared change."""
    torch.manual_seed(0)
    enhancer = Enhancer()
    optimizer = torch.optim.Adam(enhancer.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    for _ in tqdm(range(steps), f"tuning against the {name} metric", disable=None):
        crops = []
        for index in rng.integers(len(pictures), size=4):
            _, height, width = pictures[index].shape
            top, left = rng.integers(height - CROP + 1), rng.integers(width - CROP + 1)
            crops.append(pictures[index][:, top : top + CROP, left : left + CROP])
        clean = torch.stack(crops)
        enhanced = enhancer(clean)
        objective = loss(enhanced) + fidelity * (enhanced - clean).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(objective)
        optimizer.step()
    return enhancer


def judge(enhancer: nn.Module, pictures: list[Tensor]) -> dict[str, float]:
    """Means over the pictures of everything in ``JUDGES``."""
    bare, smoothed = frozen_metric(), defended_metric()
    independent = frozen_metric("bilinear_025")
    rows = []
    with torch.inference_mode():
        for number, picture in enumerate(pictures):
            clean = picture[None]
            enhanced = enhancer(clean)
            small = F.avg_pool2d(enhanced, DOWNSCALE)
            generator = torch.Generator().manual_seed(number)
            median = smoothed_score(
                smoothed, enhanced, sigma=SIGMA, samples=31, downscale=DOWNSCALE, generator=generator
            )
            error = (enhanced - clean).square().mean().item()
            first, second = (p[0].permute(1, 2, 0).numpy() for p in (clean, enhanced))
            ssim = structural_similarity(first, second, channel_axis=2, data_range=1.0)  # type: ignore[no-untyped-call]
            decibels = -10 * np.log10(max(error, 1e-10))
            rows.append([bare(small).item(), median.item(), independent(small).item(), decibels, ssim])
    return dict(zip(JUDGES, np.mean(rows, 0).round(3).tolist(), strict=True))


def main() -> None:
    """Tune both, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of PNG photographs; the last third judges")
    parser.add_argument("--steps", type=int, default=300, help="default 300")
    parser.add_argument("--fidelity", type=float, default=5.0, help="weight of the mean squared change; default 5")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    pictures = [read(path) for path in sorted(options.images.glob("*.png"))]
    if len(pictures) < 3:
        parser.error(f"{options.images} holds {len(pictures)} PNG photographs: 3 are the least")
    held = pictures[-(len(pictures) // 3) :]
    learn = pictures[: -len(held)]
    bare = frozen_metric()
    losses: dict[str, Callable[[Tensor], Tensor]] = {
        "bare": lambda p: 1 - bare(F.avg_pool2d(p, DOWNSCALE)).mean() / 100,
        "defended": SmoothedLoss(defended_metric(), sigma=SIGMA, samples=5, downscale=DOWNSCALE),
    }
    figures = {"untouched": judge(nn.Identity(), held)}
    for name, loss in losses.items():
        figures[name] = judge(tune(loss, learn, options.steps, options.fidelity, name), held)
    print(f"{'tuned against':14}" + "".join(f"{judge_:>13}" for judge_ in JUDGES))
    for name, row in figures.items():
        print(f"{name:14}" + "".join(f"{row[judge_]:13.3f}" for judge_ in JUDGES))
    if options.json:
        record = {"steps": options.steps, "fidelity": options.fidelity, "pictures": len(held), "figures": figures}
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
