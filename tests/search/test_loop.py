"""The one loop, on a problem small enough to search in seconds."""

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from seam.core.config import Finetune, Rates, SearchConfig
from seam.core.pressure import Budget, Penalty
from seam.core.problem import Problem
from seam.errors import ConfigError, NumericalError
from seam.masking.head import attach_head
from seam.search import loop
from seam.search.loop import SearchState, begin, search
from seam.search.objective import Objective
from seam.search.optimizer import bound_steps, optimizers_of, parameters_of, steps_within
from seam.search.presets import preset
from seam.search.samples import Batch, SearchData

BINARY = Problem.one_vs_rest("2")
LABELS = ["0", "1", "2", "3"]
SHORT = SearchConfig(
    epochs=3,
    batch_size=32,
    start="saliency",
    pressure=Budget(final_density=0.2, levels=3),
    rates=Rates(score=0.03, head=0.01, tune=0.005, method="normalized"),
    head="slice",
    tune="norm",
)


def started(base: nn.Module, config: SearchConfig, seed: int = 0) -> SearchState:
    members = BINARY.members(LABELS)
    example = torch.zeros(1, 1, 4, 4)
    module = copy.deepcopy(base)
    return begin(attach_head(module, config.head, members, example=example, seed=seed), config)


def run(state: SearchState, data: SearchData, config: SearchConfig, seed: int = 0) -> list[float]:
    return list(search(state, data, config, Objective(), seed=seed))


def accuracy(state: SearchState, data: SearchData) -> float:
    blobs = data.validation
    with torch.no_grad():
        outputs = torch.cat([state.model(batch.images) for batch in blobs.ordered(64)])
    return float((outputs.argmax(1) == blobs.targets).float().mean())


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_budget_ends_at_the_final_density(base: nn.Module, data: SearchData) -> None:
    state = started(base, SHORT)
    run(state, data, SHORT)
    assert state.masks.density() == pytest.approx(0.2, abs=1 / state.masks.count)


def test_search_keeps_accuracy_that_random_masks_lose(base: nn.Module, data: SearchData) -> None:
    state = started(base, SHORT)
    run(state, data, SHORT)
    searched = accuracy(state, data)
    generator = torch.Generator().manual_seed(5)
    random = started(base, SHORT)
    bits = {
        n: torch.rand(m.score.shape, generator=generator) < 0.2 for n, m in random.masks.items()
    }
    random.masks.load_bits(bits)
    assert searched >= 0.95
    assert searched > accuracy(random, data) + 0.1


def test_statistics_of_a_point_are_those_under_its_masks(base: nn.Module, data: SearchData) -> None:
    behind = {}
    for norm in ("train", "recalibrate"):
        config = replace(SHORT, epochs=1, norm=norm)
        state = started(base, config)
        run(state, data, config)
        with torch.no_grad():
            entering = state.model.backbone[0](data.train.images).mean((0, 2, 3))
        behind[norm] = float((state.model.backbone[1].running_mean - entering).abs().max())
    assert behind["recalibrate"] < 1e-4
    assert behind["train"] > 100 * behind["recalibrate"]


def test_same_seed_same_search(base: nn.Module, data: SearchData) -> None:
    states = [started(base, SHORT) for _ in range(2)]
    losses = [run(state, data, SHORT, seed=4) for state in states]
    assert losses[0] == losses[1]
    assert same(states[0].tensors(), states[1].tensors())


def test_other_seed_other_search(base: nn.Module, data: SearchData) -> None:
    states = [started(base, SHORT) for _ in range(2)]
    for seed, state in enumerate(states):
        run(state, data, SHORT, seed=seed)
    assert not same(states[0].tensors(), states[1].tensors())


@pytest.mark.parametrize(
    "config",
    [
        SHORT,
        replace(preset("paper", BINARY), epochs=3, batch_size=32),
        replace(SHORT, tune="all"),
        replace(SHORT, tune="all", rates=replace(SHORT.rates, bound=0.03, warmup=5)),
        replace(SHORT, tune="none", start="ones", pressure=Penalty(alpha=1.0)),
    ],
    ids=["default", "paper", "tune-all", "bounded", "penalty"],
)
@pytest.mark.parametrize("stop", [1, 2])
def test_resumed_equals_unbroken(
    base: nn.Module, data: SearchData, config: SearchConfig, stop: int
) -> None:
    whole = started(base, config)
    run(whole, data, config)
    first = started(base, config)
    epochs = search(first, data, config, Objective(), seed=0)
    for _ in range(stop):
        next(epochs)
    saved = {name: value.clone() for name, value in first.tensors().items()}
    second = started(base, config)
    second.load(saved, stop)
    run(second, data, config)
    assert same(whole.tensors(), second.tensors())
    assert same(whole.snapshot(), second.snapshot())


def test_paper_trains_the_head_alone_every_fifth_epoch(base: nn.Module, data: SearchData) -> None:
    config = replace(preset("paper", BINARY), epochs=6, batch_size=32)
    state = started(base, config)
    densities, scores = [], []
    for _ in search(state, data, config, Objective(), seed=0):
        densities.append(state.masks.density())
        scores.append(torch.cat([s.detach().flatten() for s in state.masks.scores().values()]))
    assert densities[0] == 1.0
    assert torch.equal(scores[0], torch.ones_like(scores[0]))
    assert torch.equal(scores[4], scores[5])
    assert not torch.equal(scores[3], scores[4])
    assert densities[4] < 1.0


def test_norm_statistics_never_move(base: nn.Module, data: SearchData) -> None:
    state = started(base, SHORT)
    before = {n: b.clone() for n, b in state.model.backbone.named_buffers()}
    run(state, data, SHORT)
    after = dict(state.model.backbone.named_buffers())
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_frozen_weights_do_not_move(base: nn.Module, data: SearchData) -> None:
    state = started(base, SHORT)
    run(state, data, SHORT)
    originals = state.masks.originals()
    assert torch.equal(originals["0.weight"], base[0].weight)
    assert not torch.equal(originals["0.bias"], base[0].bias)


def test_nan_loss_stops_with_the_mend(base: nn.Module, data: SearchData) -> None:
    config = replace(SHORT, rates=replace(SHORT.rates, tune=1e30, head=1e30))
    state = started(base, config)
    with pytest.raises(NumericalError, match="--score-lr"):
        run(state, data, config)


def test_penalty_gradient_is_alpha_over_count(base: nn.Module, data: SearchData) -> None:
    state = started(base, replace(SHORT, start="ones", pressure=Penalty(alpha=2.0)))
    (2.0 * state.masks.soft_density()).backward()
    for score in state.masks.scores().values():
        assert torch.allclose(score.grad, torch.full_like(score, 2.0 / state.masks.count))


def test_saved_moments_go_back_beside_their_parameters(base: nn.Module, data: SearchData) -> None:
    """Read from disk, they are on the CPU and contiguous; the search may run elsewhere."""
    module = copy.deepcopy(base).to(memory_format=torch.channels_last)
    state = started(module, SHORT)
    next(search(state, data, SHORT, Objective(), seed=0))
    saved = {name: value.cpu().contiguous() for name, value in state.tensors().items()}
    again = started(module, SHORT)
    again.load(saved, 1)
    for optimizer in again.optimizers:
        for parameter, moments in optimizer.state.items():
            for moment in moments.values():
                assert moment.device == parameter.device
                assert moment.shape != parameter.shape or moment.stride() == parameter.stride()


def test_a_penalty_refuses_a_saliency_start() -> None:
    with pytest.raises(ConfigError, match="give start 'ones', or a budget"):
        replace(SHORT, pressure=Penalty())


TWO_PHASES = replace(
    SHORT,
    epochs=40,
    start="ones",
    pressure=Penalty(alpha=2.0, stop=0.6),
    rates=Rates(score=0.02, head=0.01),
    tune="none",
    finetune=Finetune(epochs=2, rate=0.02),
)


def test_a_penalty_stops_where_it_was_told_and_fine_tuning_follows(
    base: nn.Module, data: SearchData
) -> None:
    state = started(base, TWO_PHASES)
    epochs, searched = search(state, data, TWO_PHASES, Objective(), seed=0), 0
    for _ in epochs:
        searched += 1
        if state.masks.density() <= 0.6:
            break
    assert 1 < searched < 40
    bits, before = state.masks.bits(), state.masks.originals()
    assert before.keys() == {"0.weight", "0.bias", "4.weight", "4.bias"}
    assert all(torch.equal(before[n], value) for n, value in base.named_parameters() if n in before)
    assert len(list(epochs)) == 2
    assert state.epoch == searched + 2
    assert same(state.masks.bits(), bits)
    plain = dict(base.named_parameters())
    found = state.snapshot()
    assert not torch.equal(found["delta/0.weight"], plain["0.weight"])
    assert not torch.equal(found["delta/1.running_mean"], base.get_buffer("1.running_mean"))
    state.model.eval()
    assert accuracy(state, data) > 0.85


def test_without_fine_tuning_a_search_that_stops_is_over(base: nn.Module, data: SearchData) -> None:
    config = replace(TWO_PHASES, finetune=None)
    state = started(base, config)
    run(state, data, config)
    assert state.masks.density() <= 0.6
    assert state.epoch < 40
    assert run(state, data, config) == []


def test_fine_tuning_resumed_equals_unbroken(base: nn.Module, data: SearchData) -> None:
    whole = started(base, TWO_PHASES)
    run(whole, data, TWO_PHASES)
    first = started(base, TWO_PHASES)
    epochs = search(first, data, TWO_PHASES, Objective(), seed=0)
    while first.epoch < whole.epoch - 1:
        next(epochs)
    saved = {name: value.clone() for name, value in first.tensors().items()}
    second = started(base, TWO_PHASES)
    second.load(saved, first.epoch)
    assert len(run(second, data, TWO_PHASES)) == 1
    assert same(second.snapshot(), whole.snapshot())
    assert same(second.tensors(), whole.tensors())


def test_scale_of_the_loss_does_not_matter(base: nn.Module, data: SearchData) -> None:
    class Scaled(Objective):
        def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
            return 64.0 * super().__call__(outputs, batch)

    config = replace(SHORT, tune="none", epochs=1)
    states = [started(base, config) for _ in range(2)]
    for state, objective in zip(states, (Objective(), Scaled()), strict=True):
        list(search(state, data, config, objective, seed=0))
    one, other = (torch.cat([m.bits.flatten() for m in s.masks.values()]) for s in states)
    assert (one == other).float().mean() > 0.99


@pytest.mark.parametrize(("views", "expected"), [(0, {None}), (2, {0, 1})])
def test_epochs_show_the_views_in_turn(
    base: nn.Module, data: SearchData, views: int, expected: set[int | None]
) -> None:
    seen: list[int | None] = []

    class Watching(Objective):
        def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
            if state.started:  # saliency looks at batches too
                seen.append(batch.view)
            return super().__call__(outputs, batch)

    config = replace(SHORT, views=views, pressure=Budget(final_density=0.2, levels=1), epochs=4)
    state = started(base, config)
    list(search(state, data, config, Watching(), seed=3))
    steps = len(seen) // config.epochs
    turns = [set(seen[i * steps : (i + 1) * steps]) for i in range(config.epochs)]
    assert all(len(each) == 1 for each in turns)
    assert len(set.union(*turns)) == len(expected)
    assert turns[:2] == turns[2:]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", ["default", "paper"])
def test_steps_within_the_backward_pass_are_those_after_it(
    base: nn.Module,
    data: SearchData,
    name: str,
    accumulate: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(preset(name, BINARY), epochs=4, batch_size=32, accumulate=accumulate, views=0)
    after = started(base, config)
    run(after, data, config)
    most: list[int] = []
    ordinary = torch.optim.Adam.step

    def counted(optimizer: torch.optim.Adam) -> None:
        most.append(sum(p.grad is not None for p in parameters_of(optimizer)))
        ordinary(optimizer)

    monkeypatch.setattr(loop, "steps_within", partial(steps_within, most=1))
    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    within = started(base, config)
    run(within, data, config)
    assert same(after.tensors(), within.tensors())
    assert (max(most) == 1) == (accumulate == 1)


def test_no_step_moves_weights_by_more_than_their_share(base: nn.Module, data: SearchData) -> None:
    """Where weights are small, so is the step: a network with the same answers in other units."""
    config = replace(SHORT, tune="all", rates=replace(SHORT.rates, tune=0.05, bound=1 / 16))
    state = started(base, config)
    before = {name: value.detach().clone() for name, value in state.tuned.items()}
    batch = next(iter(data.train.shuffled(32, seed=0)))
    state.begin_epoch(search_scores=False)
    Objective()(state.model(batch.images), batch).backward()
    for optimizer in state.optimizers:
        bound_steps(optimizer, state.tuned, lambda _name: None, config.rates)
        optimizer.step()
    for name, value in state.tuned.items():
        size = float(before[name].square().mean().sqrt())
        moved = float((value - before[name]).detach().abs().max())
        bound = min(0.05, size / 16) if value.ndim > 1 else 0.05
        assert 0.45 * bound < moved < 1.01 * bound, name


def test_a_bound_that_is_not_reached_changes_nothing(base: nn.Module, data: SearchData) -> None:
    plain = replace(SHORT, tune="all")
    bounded = replace(plain, rates=replace(SHORT.rates, bound=10.0))
    found = [started(base, config) for config in (plain, bounded)]
    for state, config in zip(found, (plain, bounded), strict=True):
        run(state, data, config)
    assert same(found[0].tensors(), found[1].tensors())


def rates_of(state: SearchState) -> dict[str, float]:
    """The full rate of each tuned parameter, by name."""
    groups = [group for optimizer in state.optimizers for group in optimizer.param_groups]
    found = {id(p): group["full_lr"] for group in groups for p in group["params"]}
    assert len(found) == sum(len(group["params"]) for group in groups)
    return {name: found[id(value)] for name, value in state.tuned.items()}


def test_the_bound_is_of_what_is_kept_now(base: nn.Module, data: SearchData) -> None:
    rates = replace(SHORT.rates, tune=0.05, bound=0.02)
    config = replace(SHORT, tune="all", start="magnitude-saliency", rates=rates)
    state = started(base, config)
    before = []
    for _ in search(state, data, config, Objective(), seed=0):
        kept = {n: state.tuned[n].detach()[bits] for n, bits in state.masks.bits().items()}
        before.append({n: 0.02 * float(value.square().mean().sqrt()) for n, value in kept.items()})
    found = rates_of(state)
    for name, value in state.tuned.items():
        bound = min(0.05, before[-2][name]) if value.ndim > 1 else 0.05
        assert bound / 2 <= found[name] <= bound, name


def test_rates_of_values_grow_at_first(
    base: nn.Module, data: SearchData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In steps, also across epochs; scores have their whole rate at once."""
    rates = replace(SHORT.rates, bound=0.02, warmup=5)
    config = replace(SHORT, tune="all", epochs=15, batch_size=128, rates=rates)
    state = started(base, config)
    scores, adam = state.optimizers
    steps, found = -(-len(data.train) // 128), []
    assert steps < 5 < 15 * steps // 5
    ordinary = torch.optim.Adam.step

    def seen(optimizer: torch.optim.Adam) -> None:
        whole = scores.param_groups[0]["lr"] / scores.param_groups[0]["full_lr"]
        found.append([group["lr"] / group["full_lr"] / whole for group in adam.param_groups])
        ordinary(optimizer)

    monkeypatch.setattr(torch.optim.Adam, "step", seen)
    run(state, data, config)
    assert len(found) == 15 * steps
    assert max(map(len, found)) > 2  # head, tuned vectors, weights at other rates
    for number, shares in enumerate(found, start=1):
        assert shares == pytest.approx([min(1.0, number / 5)] * len(shares))


def test_what_has_no_size_yet_has_no_bound() -> None:
    values = [torch.full((2, 2), 0.011), torch.zeros(2, 2), torch.empty(0, 2), torch.ones(2, 2)]
    tuned = {str(n): nn.Parameter(value) for n, value in enumerate(values)}
    rates = replace(SHORT.rates, tune=0.005, bound=1 / 16)
    _, adam = optimizers_of([nn.Parameter(torch.ones(2))], [], tuned.values(), rates)
    bound_steps(adam, tuned, {"3": torch.zeros(2, 2, dtype=torch.bool)}.get, rates)
    found = {id(p): group["lr"] for group in adam.param_groups for p in group["params"]}
    assert [found[id(value)] for value in tuned.values()] == [0.005 / 8, 0.005, 0.005, 0.005]
