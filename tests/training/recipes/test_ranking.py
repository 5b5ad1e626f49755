"""ranking.py: what each loss rewards, and that a gradient step mends a wrong order."""

from __future__ import annotations

import itertools

import pytest
import torch

from training.recipes.ranking import RANKINGS, margin_ranking, soft_spearman

OPINIONS = torch.tensor([0.1, 0.4, 0.45, 0.9])


def test_margin_ranking_is_its_definition() -> None:
    scores = torch.tensor([0.3, 0.2, 0.8, 0.6])
    pairs = []
    for i, j in itertools.combinations(range(4), 2):
        high, low = (i, j) if OPINIONS[i] > OPINIONS[j] else (j, i)
        pairs.append(max(0.0, (OPINIONS[high] - OPINIONS[low] - (scores[high] - scores[low])).item()))
    assert margin_ranking(scores, OPINIONS).item() == pytest.approx(sum(pairs) / 6)
    assert margin_ranking(OPINIONS, OPINIONS) == 0
    assert margin_ranking(2 * OPINIONS, OPINIONS) == 0


def test_soft_spearman_tends_to_spearman() -> None:
    from scipy.stats import spearmanr

    scores = torch.tensor([0.3, 0.2, 0.8, 0.6])
    exact = 1 - spearmanr(scores, OPINIONS).statistic
    assert soft_spearman(scores, OPINIONS, temperature=1e-4).item() == pytest.approx(exact, abs=1e-5)
    assert soft_spearman(OPINIONS.flip(0), OPINIONS, temperature=1e-4).item() == pytest.approx(2, abs=1e-5)


@pytest.mark.parametrize("name", RANKINGS)
def test_descent_restores_the_order(name: str) -> None:
    scores = OPINIONS.flip(0).clone().requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        RANKINGS[name](scores, OPINIONS).backward()
        optimizer.step()
    assert torch.equal(scores.argsort(), OPINIONS.argsort())


@pytest.mark.parametrize("name", RANKINGS)
@pytest.mark.parametrize("count", [0, 1])
def test_no_pair_no_loss(name: str, count: int) -> None:
    scores = torch.rand(count, requires_grad=True)
    loss = RANKINGS[name](scores, torch.rand(count))
    loss.backward()
    assert loss.item() == 0
