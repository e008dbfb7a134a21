"""The same settings at any width: what a budget does, and what a penalty under Adam does."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from in_memory import InMemory
from torch import nn

from seam.core.pressure import Budget
from seam.core.problem import Problem
from seam.masking.head import attach_head
from seam.masking.parametrization import MaskSet
from seam.search.loop import begin, search
from seam.search.objective import Objective
from seam.search.presets import preset
from seam.search.samples import SearchData

WIDTHS = (300, 1000, 2000)  # 0.1, 1.1 and 4.1 million weights
PROBLEM = Problem.one_vs_rest("1")
PUBLISHED_EPS = torch.optim.Adam([nn.Parameter(torch.zeros(1))]).defaults["eps"]


def network(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, 2),
    ).eval()  # fmt: skip


def samples() -> InMemory:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(128) % 2
    images = torch.randn(128, 1, 4, 4, generator=generator) + labels.view(-1, 1, 1, 1)
    return InMemory(images, labels)


def removed_and_changed(name: str, width: int) -> tuple[float, float]:
    """Share that a preset's search removes, and the share of kept bits that one look had not."""
    config = replace(
        preset(name, PROBLEM), epochs=2, batch_size=16, distill=0.0,
        pressure=Budget(final_density=0.2, levels=1),
    )  # fmt: skip
    found = []
    for rate in (config.rates.score, 0.0):
        mine = replace(config, rates=replace(config.rates, score=rate))
        headed = attach_head(
            copy.deepcopy(network(width)), mine.head, [[0], [1]],
            example=torch.zeros(1, 1, 4, 4), seed=0,
        )  # fmt: skip
        state = begin(headed, mine)
        assert isinstance(state.masks, MaskSet)
        list(search(state, SearchData(samples(), samples()), mine, Objective(), seed=0))
        found.append(torch.cat([bits.flatten() for bits in state.masks.bits().values()]))
    moved, still = found
    return 1 - float(moved.float().mean()), float((moved & ~still).sum() / moved.sum())


@pytest.mark.parametrize(
    ("name", "least", "apart"), [("bitmask", 0.005, 0.01), ("default", 0.002, 0.01)]
)
def test_a_budget_removes_and_moves_alike_from_a_tenth_of_a_million_to_four_million(
    name: str, least: float, apart: float
) -> None:
    found = [removed_and_changed(name, width) for width in WIDTHS]
    assert [removed for removed, _ in found] == pytest.approx([0.8] * 3, abs=1e-3)
    changed = [share for _, share in found]
    assert min(changed) > least
    assert max(changed) - min(changed) < apart


@pytest.mark.parametrize(("count", "least", "most"), [(10**5, 0.99, 1.0), (10**9, 0.0, 0.15)])
def test_paper_moves_less_the_more_weights_there_are(count: int, least: float, most: float) -> None:
    """A score that the task has no use for gets the penalty's alpha / n alone."""
    config = preset("paper", PROBLEM)
    score = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.Adam([score], lr=config.rates.score)
    score.grad = torch.full_like(score, config.pressure.alpha / count)
    optimizer.step()
    moved = (1 - float(score.detach())) / config.rates.score
    assert least <= moved <= most
    share = config.pressure.alpha / count
    assert moved == pytest.approx(share / (share + PUBLISHED_EPS), abs=1e-3)
