"""Losses on the order of scores: what keeps correlation with people when the pixels cannot be restored.

Both take N scores and N opinion scores, higher is better, on scales of about 1, and return a scalar.
"""

from __future__ import annotations

import torch
from torch import Tensor


def margin_ranking(scores: Tensor, opinions: Tensor, margin: float = 1.0) -> Tensor:
    """Mean over pairs of max(0, margin·|Δm| − sign(Δm)·Δs): a pair must differ as people say, and by how much.

    The hinge of RankIQA (Liu et al. 2017, arXiv 1707.08347) with a margin proportional to the difference of
    opinions, so that near ties are not forced apart. Zero for fewer than two scores.
    """
    first, second = torch.triu_indices(len(scores), len(scores), offset=1)
    if len(first) == 0:
        return scores.sum() * 0
    apart, wanted = scores[first] - scores[second], opinions[first] - opinions[second]
    return (margin * wanted.abs() - wanted.sign() * apart).clamp(min=0).mean()


def soft_spearman(scores: Tensor, opinions: Tensor, temperature: float = 0.05) -> Tensor:
    """1 − Pearson's correlation of the soft ranks of the scores with the ranks of the opinions, in [0, 2].

    Soft rank of i: Σⱼ sigmoid((sᵢ − sⱼ)/temperature) (Qin et al. 2010), the rank itself as the temperature goes to 0.
    Zero for fewer than two scores.
    """
    if len(scores) < 2:
        return scores.sum() * 0
    soft = torch.sigmoid((scores[:, None] - scores[None, :]) / temperature).sum(1)
    true = (opinions[:, None] > opinions[None, :]).float().sum(1) + 0.5 * (
        opinions[:, None] == opinions[None, :]
    ).float().sum(1)
    soft, true = soft - soft.mean(), true - true.mean()
    loss: Tensor = 1 - (soft * true).sum() / (soft.norm() * true.norm() + 1e-6)
    return loss


RANKINGS = {"margin": margin_ranking, "spearman": soft_spearman}
