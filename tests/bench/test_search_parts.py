"""Parts of the compared methods, against cases computed by hand; and each method in the loop."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from in_memory import InMemory
from search import parts
from search.methods import METHODS
from torch import Tensor, nn
from torch.nn import functional as F

import seam
from seam.core.pressure import Budget
from seam.masking.head import attach_head
from seam.masking.parametrization import MaskSet, attach
from seam.search.loop import begin, search
from seam.search.objective import Objective
from seam.search.saliency import start_from
from seam.search.samples import Batch, SearchData
from seam.search.strategy import Look, by_magnitude

PROBLEM = seam.Problem.one_vs_rest("1")
INPUTS = torch.tensor([[3.0, 1.0], [4.0, 0.0]])
WEIGHT = torch.tensor([[1.0, -6.0], [2.0, 0.5]])


def layer() -> nn.Linear:
    found = nn.Linear(2, 2, bias=False)
    found.weight.data = WEIGHT.clone()
    return found


def look(module: nn.Module, inputs: Tensor, batches: int = 1) -> Look:
    """A look whose batches are ``inputs`` in equal parts, all of class 0."""
    masks = attach(module)

    def all_batches() -> list[Batch]:
        count = len(inputs) // batches
        return [
            Batch(part, torch.zeros(count, dtype=torch.long), torch.arange(count))
            for part in inputs.split(count)
        ]

    return Look(
        module,
        masks,
        lambda: iter(all_batches()),
        lambda batch: F.cross_entropy(module(batch.images).flatten(1), batch.targets),
    )


def kept(found: Look, importance: dict[str, Tensor], share: float) -> list[list[bool]]:
    start_from(found.masks, importance)
    found.masks.keep(share)
    assert isinstance(found.masks, MaskSet)
    return found.masks["weight"].bits.tolist()


def test_magnitude_keeps_the_largest() -> None:
    mine = look(layer(), INPUTS)
    assert kept(mine, by_magnitude(mine), 0.5) == [[False, True], [True, False]]


def test_wanda_weighs_by_the_norm_of_inputs() -> None:
    mine = look(layer(), INPUTS, batches=2)  # norms 5 and 1: 1 * 5, 6 * 1, 2 * 5, 0.5 * 1
    found = parts.wanda(mine)
    assert torch.allclose(found["weight"].sqrt(), torch.tensor([[5.0, 6.0], [10.0, 0.5]]))
    assert kept(mine, found, 0.25) == [[False, False], [True, False]]


def test_wanda_of_grouped_convolutions_and_biases() -> None:
    conv = nn.Conv2d(2, 2, 1, groups=2)
    conv.weight.data = torch.tensor([2.0, 3.0]).view(2, 1, 1, 1)
    conv.bias.data = torch.tensor([1.0, 5.0])
    images = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]], [[2.0, 0.0], [0.0, 0.0]]]])
    mine = look(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1)), images)
    found = parts.wanda(mine)
    assert found["0.weight"].flatten().tolist() == [16, 36]  # (2 * 2)^2, (3 * 2)^2
    assert found["0.bias"].tolist() == [4, 100]  # four positions


def test_taylor_cancels_where_fisher_and_saliency_do_not() -> None:
    inputs = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    module = nn.Linear(2, 2, bias=False)
    module.weight.data = torch.tensor([[1.0, 1.0], [1.0, 1.0]])  # both classes at odds of 1
    mine = look(module, inputs, batches=2)
    # The gradient of the first row is -x / 2 a sample: the two cancel, their squares do not.
    assert parts.taylor(mine)["weight"].tolist() == [[0, 0], [0, 0]]
    found = parts.fisher(mine)["weight"]
    assert torch.allclose(found, torch.tensor([[0.25, 0.0], [0.25, 0.0]]))


def test_fisher_does_not_depend_on_the_batches() -> None:
    one, two = (parts.fisher(look(layer(), INPUTS, batches=n))["weight"] for n in (1, 2))
    assert torch.allclose(one, two)


def test_each_layer_keeps_its_share() -> None:
    masks = attach(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2)))
    importance = {name: torch.rand_like(m.score) for name, m in masks.items()}
    importance["0.weight"] *= 1e6
    start_from(masks, importance)
    parts.each_layer(masks, 0.25, True)
    assert [int(masks[n].bits.sum()) for n in ("0.weight", "1.weight")] == [8, 2]
    parts.each_layer(masks, 1.0, True)
    assert masks.density() == 1.0


def test_sigmoid_sharpens_within_a_level_and_is_a_half_at_the_threshold() -> None:
    budget, score = Budget(levels=2), torch.tensor([0.5, 0.6])
    early, late = (parts.annealed(budget, p)(score, 0.5) for p in (0.0, 0.499))
    assert early[0] == late[0] == 0.5
    assert early[1] < 0.6
    assert late[1] > 0.95


def test_hard_concrete_is_open_as_often_as_expected() -> None:
    masks = attach(nn.Linear(300, 100, bias=False))
    with torch.no_grad():
        masks["weight"].score.fill_(-1.0)
    gates = parts.hard_concrete(Budget(), 0.3)(masks["weight"].score, 0.0)
    assert float((gates > 0).float().mean()) == pytest.approx(
        float(parts.expected_density(masks).detach()), abs=0.01
    )
    assert ((gates == 0) | (gates == 1)).float().mean() > 0.4


def blobs(count: int) -> InMemory:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 2
    images = torch.randn(count, 1, 4, 4, generator=generator) + 2 * labels.view(-1, 1, 1, 1)
    return InMemory(images, labels)


@pytest.mark.parametrize("name", [n for n, method in METHODS.items() if not method.outside])
def test_every_method_runs_in_the_loop(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).eval()
    method = METHODS[name]
    config = method.plan(PROBLEM, ("", 0), epochs=2, batch_size=16).search
    if isinstance(config.pressure, Budget):
        config = replace(config, pressure=replace(config.pressure, final_density=0.25, levels=2))
    headed = attach_head(
        copy.deepcopy(net), config.head, [[0], [1]], example=torch.zeros(1, 1, 4, 4), seed=0
    )
    state = begin(headed, config)
    method.apply(state)
    before = None
    for loss in search(state, SearchData(blobs(64), blobs(32)), config, Objective(), seed=0):
        assert math.isfinite(loss)
        now = torch.cat([score.detach().flatten() for score in state.masks.scores().values()])
        if before is not None and name != "paper":
            assert torch.equal(before, now) == (config.rates.score == 0)
        before = now.clone()
    assert isinstance(state.masks, MaskSet)
    if isinstance(config.pressure, Budget):
        assert state.masks.density() == pytest.approx(0.25, abs=0.03)
    hard = state.model(blobs(8).images).detach()
    with torch.no_grad():
        state.masks.bake()
        assert torch.allclose(state.model(blobs(8).images), hard, atol=1e-5) or name in (
            "annealed sigmoid",
            "hard-concrete",
        )
