"""What processes exchange in a step: the same loss, gradients and statistics as one alone."""

from __future__ import annotations

import pytest
import torch
from together import together
from torch import Tensor, nn

from seam.core.config import SearchConfig
from seam.errors import LabelError, NumericalError, RankError
from seam.search.loop import answers
from seam.search.optimizer import parameters_of, steps_within
from seam.search.parallel import Ranks
from seam.search.samples import Batch


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3),
        nn.BatchNorm1d(3, affine=False),
    )  # fmt: skip


def batch(size: int) -> Batch:
    chance = torch.Generator().manual_seed(1)
    images = 3 + torch.randn(size, 1, 6, 6, generator=chance)
    return Batch(images, torch.arange(size) % 3, torch.arange(size))


def learned(ranks: Ranks, size: int) -> dict[str, Tensor]:
    """Loss, gradients and running statistics after one step's backward pass."""
    model, shown = network().train(), batch(size)
    weights = torch.tensor([1.0, 2.0, 5.0])  # a mean that is no mean of parts' means
    outputs = answers(model, shown, SearchConfig(), ranks)
    loss = nn.functional.cross_entropy(outputs, shown.targets, weights)
    (loss / ranks.count).backward()
    ranks.add_gradients(model.parameters())
    gradients = {name: each.grad for name, each in model.named_parameters()}
    return {"loss": loss.detach(), **dict(model.named_buffers()), **gradients}


@pytest.mark.parametrize(("count", "size"), [(2, 8), (3, 7), (3, 2)])
def test_a_step_is_that_of_one_process(count: int, size: int) -> None:
    alone = learned(Ranks(), size)
    found = together(count, lambda ranks: learned(ranks, size))
    for each in found:
        assert each.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(each[name], value, rtol=1e-4, atol=1e-6, msg=name)
            assert torch.equal(each[name], found[0][name]), f"{name} differs between processes"


@pytest.mark.parametrize("count", [2, 3])
def test_steps_within_the_pass_are_those_of_all_processes(count: int) -> None:
    def stepped(ranks: Ranks, most: int) -> dict[str, Tensor]:
        model, shown = network().train(), batch(8)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loss = nn.functional.cross_entropy(
            answers(model, shown, SearchConfig(), ranks), shown.targets
        )
        with steps_within([optimizer], ranks.add_gradients, most):
            (loss / ranks.count).backward()
        ranks.add_gradients(parameters_of(optimizer))
        optimizer.step()
        return {name: value.detach() for name, value in model.named_parameters()}

    alone = stepped(Ranks(), 10**6)
    for each in together(count, lambda ranks: stepped(ranks, 10)):
        for name, value in alone.items():
            torch.testing.assert_close(each[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_norms_outside_are_untouched() -> None:
    def both(ranks: Ranks) -> bool:
        model, images = network().train(), batch(4).images
        before = model(images)
        with ranks.statistics(1):  # too few samples to be split
            return torch.equal(model(images), before)

    assert all(together(2, both))


def test_main_ones_state_is_taken_and_checked() -> None:
    def differ(ranks: Ranks) -> Tensor:
        mine = torch.full((3,), float(ranks.rank))
        ranks.take_mains({"score/a": mine})
        ranks.check_same({"score/a": mine}, 1)
        mine += ranks.rank
        ranks.check_same({"score/a": mine}, 2)
        return mine

    for error in together(2, differ):
        assert isinstance(error, NumericalError)
        assert "after epoch 2 the scores of rank 1 are not those of rank 0" in str(error)


def test_where_one_fails_all_do() -> None:
    def fails_on_last(ranks: Ranks) -> str:
        def work() -> str:
            if ranks.rank == ranks.count - 1:
                raise LabelError("label 'truk' is unknown")
            return "found"

        return ranks.agreed(work)

    main, other = together(2, fails_on_last)
    assert isinstance(main, LabelError)
    assert str(main) == "label 'truk' is unknown"
    assert isinstance(other, RankError)
