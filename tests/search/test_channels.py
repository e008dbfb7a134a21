"""The one loop at channel granularity: a network that shrinks while it is searched."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from seam.core.config import Channels, Rates, SearchConfig
from seam.core.pressure import Budget, Penalty
from seam.core.problem import Problem
from seam.errors import ConfigError
from seam.evaluation.cost import MacsMeter, executed_macs
from seam.masking.channels import find_axes
from seam.masking.head import Headed, attach_head
from seam.search.loop import SearchState, begin, search
from seam.search.objective import Objective
from seam.search.samples import SearchData
from seam.shrink.check import difference

EXAMPLE = torch.zeros(1, 1, 4, 4)
CONFIG = SearchConfig(
    granularity="channel",
    epochs=4,
    batch_size=32,
    start="saliency",
    pressure=Budget(final_density=0.3, levels=2),
    rates=Rates(score=0.03, head=0.01, tune=0.005, method="normalized"),
    head="slice",
    tune="all",
    norm="train",
    channels=Channels(round_to=1),
)


@pytest.fixture(params=["slice", "replace"])
def config(request: pytest.FixtureRequest) -> SearchConfig:
    return replace(CONFIG, head=request.param)


def started(base: nn.Module, config: SearchConfig) -> SearchState:
    members = Problem.one_vs_rest("2").members(["0", "1", "2", "3"])
    model = attach_head(copy.deepcopy(base), config.head, members, example=EXAMPLE, seed=0)
    meter = MacsMeter.of(model, EXAMPLE, base=executed_macs(base, EXAMPLE))
    return begin(model, config, axes=find_axes(model, EXAMPLE), meter=meter)


def run(state: SearchState, data: SearchData) -> None:
    for _ in search(state, data, state.config, Objective(), seed=0):
        pass


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def from_snapshot(base: nn.Module, config: SearchConfig, snapshot: dict[str, Tensor]) -> Headed:
    """The masked model of a point, as an adapter would build it."""
    members = Problem.one_vs_rest("2").members(["0", "1", "2", "3"])
    model = attach_head(copy.deepcopy(base), config.head, members, example=EXAMPLE, seed=0)
    state = model.state_dict()
    for full, value in snapshot.items():
        group, _, name = full.partition("/")
        if group == "mask":
            continue
        state[f"head.{name}" if group == "head" else f"backbone.{name}"].copy_(value)
    for full, mask in snapshot.items():
        if full.startswith("mask/"):
            state[f"backbone.{full.removeprefix('mask/')}"].masked_fill_(~mask, 0)
    return model.eval()


def test_walks_down_to_the_budget_and_ends_small(
    base: nn.Module, data: SearchData, config: SearchConfig
) -> None:
    state = started(base, config)
    before = sum(each.numel() for each in state.model.parameters())
    run(state, data)
    assert state.compactions == 2
    assert sum(each.numel() for each in state.model.parameters()) < 0.6 * before
    assert executed_macs(state.model.eval(), EXAMPLE) <= 0.3 * executed_macs(base, EXAMPLE)
    outputs = torch.cat([state.model(batch.images) for batch in data.validation.ordered(64)])
    right = (outputs.argmax(1) == data.validation.targets).float().mean()
    assert right > 0.9


def test_snapshot_is_the_model_in_the_shapes_of_the_base(
    base: nn.Module, data: SearchData, config: SearchConfig
) -> None:
    state = started(base, config)
    epochs = search(state, data, config, Objective(), seed=0)
    for _ in range(3):  # a level removed, and another being searched or just removed
        next(epochs)
        snapshot = state.snapshot()
        images = torch.cat([batch.images for batch in data.validation.ordered(64)])
        expected = from_snapshot(base, config, snapshot)
        assert difference(expected, state.model.eval(), images) < 1e-5
        for name, parameter in base.named_parameters():
            if f"mask/{name}" in snapshot:
                assert snapshot[f"mask/{name}"].shape == parameter.shape


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_resumed_equals_unbroken(
    base: nn.Module, data: SearchData, config: SearchConfig, stop: int
) -> None:
    whole = started(base, config)
    run(whole, data)
    first = started(base, config)
    epochs = search(first, data, config, Objective(), seed=0)
    for _ in range(stop):
        next(epochs)
    saved = {name: value.clone() for name, value in first.tensors().items()}
    second = started(base, config)
    second.load(saved, stop)
    run(second, data)
    assert same(whole.tensors(), second.tensors())
    assert same(whole.snapshot(), second.snapshot())


def test_compaction_changes_no_output(base: nn.Module, config: SearchConfig) -> None:
    state = started(base, config)
    with torch.no_grad():
        for score in state.masks.scores().values():
            score.copy_(torch.rand(score.shape, generator=torch.Generator().manual_seed(0)))
    state.masks.keep(0.6)
    state.model.eval()
    images = torch.randn(8, 1, 4, 4)
    with torch.no_grad():
        before = state.model(images)
        masks = state.kept()
        state.compact()
        after = state.model.eval()(images)
    assert torch.allclose(before, after, atol=1e-5)
    assert same(masks, state.kept())


def test_removed_weights_stay_removed(base: nn.Module, data: SearchData) -> None:
    state = started(base, CONFIG)
    gone: dict[str, Tensor] = {}
    for _ in search(state, data, CONFIG, Objective(), seed=0):
        kept = state.kept()
        if state.compactions:
            assert not any(bool((kept[name] & mask).any()) for name, mask in gone.items())
            gone = {name: ~mask for name, mask in kept.items()}
    assert gone


def test_frozen_weights_and_statistics_do_not_move(base: nn.Module, data: SearchData) -> None:
    config = replace(
        CONFIG, tune="none", norm="frozen", epochs=2, pressure=Budget(levels=1, final_density=0.5)
    )
    state = started(base, config)
    run(state, data)
    assert not [name for name in state.snapshot() if name.startswith("delta/")]


def test_a_penalty_does_not_search_channels() -> None:
    with pytest.raises(ConfigError, match="channels are searched under a budget"):
        SearchConfig(granularity="channel", pressure=Penalty())
