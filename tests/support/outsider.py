"""A metric and a denoiser as someone who has never seen this project would write them."""

import torch
import torch.nn.functional as F
from torch import nn


class Sharpness(nn.Module):
    """Pooled responses of a few strided filters, one linear layer. N×3×H×W → N×1."""

    def __init__(self, channels=8):
        super().__init__()
        self.first = nn.Conv2d(3, channels, 5, stride=2)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, stride=2)
        self.head = nn.Linear(channels, 1)

    def forward(self, x):
        x = F.relu(self.norm(self.first(x)))
        x = F.relu(self.second(x))
        return torch.sigmoid(self.head(x.mean(dim=(-2, -1))))


class Smoother(nn.Module):
    """Half-resolution residual filter. Pads to a multiple of four as many restoration networks do."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(12, 8, 3, padding=1)
        self.up = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x):
        h, w = x.shape[-2:]
        y = F.pad(x, (0, (4 - w % 4) % 4, 0, (4 - h % 4) % 4), mode="reflect")
        y = y - F.pixel_shuffle(self.up(F.relu(self.down(F.pixel_unshuffle(y, 2)))), 2)
        return y[..., :h, :w]


def smoother():
    return Smoother()
