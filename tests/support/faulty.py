"""Networks that cannot be certified, each with one fault."""

import torch
import torch.nn.functional as F
from torch import nn


class Mean(nn.Module):
    """Mean brightness: a faultless metric for the others to spoil."""

    def forward(self, x):
        return x.mean((1, 2, 3))


class NotANumber(Mean):
    def forward(self, x):
        return torch.log(super().forward(x) - 2)


class RandomCrop(Mean):
    def forward(self, x):
        top = int(torch.randint(0, x.shape[2] // 2, ()))
        return super().forward(x[:, :, top : top + x.shape[2] // 2])


class Dropout(Mean):
    def forward(self, x):
        return super().forward(F.dropout(x, 0.5, training=True))


class BatchStatistics(Mean):
    def forward(self, x):
        return super().forward((x - x.mean(0)).abs())


class StubbornBatchNorm(Mean):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x):
        return super().forward(self.norm(x).square() + x)


class Tuple(Mean):
    def forward(self, x):
        return super().forward(x), x


class Dict(Mean):
    def forward(self, x):
        return {"quality": super().forward(x)}


class Classes(Mean):
    def forward(self, x):
        return x.mean((2, 3))


class BatchMean(Mean):
    def forward(self, x):
        return x.mean()


class BranchOnSize(Mean):
    def forward(self, x):
        return super().forward(x) if x.shape[2] % 2 else super().forward(x).square()


class OneSize(nn.Module):
    """No fault where its size is fixed: a linear layer over all pixels of 24×32."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * 24 * 32, 1)

    def forward(self, x):
        return self.head(x.flatten(1)).squeeze()


class Constant(nn.Module):
    def forward(self, x):
        return x.mean((1, 2, 3)) * 0 + 3


class Shrinking(nn.Module):
    """A denoiser that forgets to pad."""

    def forward(self, x):
        return F.avg_pool2d(x, 3, stride=1)


def raising():
    raise KeyError("no such backbone")


def text():
    return "not a module"


number = 7


class Overflowing(nn.Module):
    """Faultless in fp32: between its convolutions values reach 1e5, where fp16 has none."""

    def __init__(self):
        super().__init__()
        self.up = nn.Conv2d(3, 4, 1, bias=False)
        self.further = nn.Conv2d(4, 4, 3, stride=2, bias=False)
        self.down = nn.Conv2d(4, 4, 1, bias=False)
        for convolution, weight in ((self.up, 100.0), (self.further, 30.0), (self.down, 1e-6)):
            nn.init.constant_(convolution.weight, weight)

    def forward(self, x):
        return self.down(F.relu(self.further(F.relu(self.up(x))))).mean((1, 2, 3))
