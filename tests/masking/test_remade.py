"""Masked parameters are computed again in the backward pass, and are the same there."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor, nn

from seam.masking.parametrization import attach
from seam.masking.remade import masked, remade
from seam.masking.ste import step


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(),
        nn.Conv2d(4, 4, 3, groups=2).to(memory_format=torch.channels_last),
        nn.Flatten(), nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 3, bias=False),
    )  # fmt: skip


def gradients(context: Callable[[], AbstractContextManager[None]]) -> list[Tensor]:
    """Of all scores and weights, after one backward pass."""
    model = network()
    masks = attach(model)
    chance = torch.Generator().manual_seed(1)
    for score in masks.scores().values():
        score.data = torch.randn(score.shape, generator=chance)
    with context():
        loss = model(torch.randn(3, 2, 6, 6, generator=chance)).square().sum()
    loss.backward()
    found = [each.grad for each in [*masks.scores().values(), *masks.originals().values()]]
    return [each for each in found if each is not None]


def test_gradients_are_the_same_bytes() -> None:
    kept, made = gradients(nullcontext), gradients(remade)
    assert len(kept) == 14
    assert all(torch.equal(a, b) for a, b in zip(kept, made, strict=True))


def test_gradients_are_those_of_multiplication() -> None:
    weight = torch.tensor([-2.0, 3.0, 0.5], requires_grad=True)
    score = torch.tensor([0.2, -0.1, 0.0], requires_grad=True)
    outgoing = torch.tensor([0.3, 1.0, -4.0])
    wanted = torch.autograd.grad((weight * step(score, 0.0)) @ outgoing, (weight, score))
    found = torch.autograd.grad(masked(weight, score, 0.0) @ outgoing, (weight, score))
    assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize(("context", "kept"), [(nullcontext, True), (remade, False)])
def test_nothing_is_kept_between_the_passes(
    context: Callable[[], AbstractContextManager[None]], kept: bool
) -> None:
    layer = nn.Linear(4, 4)
    attach(layer)
    with context():
        weight = layer.weight
        seen = weakref.ref(weight)
        loss = nn.functional.linear(torch.ones(1, 4, requires_grad=True), weight).sum()
        del weight
        gc.collect()
    assert (seen() is not None) == kept
    loss.backward()


def test_memory_that_is_used_again_is_not_mistaken() -> None:
    """A tensor where a masked weight was before is kept as it is."""
    score = torch.zeros(64, requires_grad=True)
    first = masked(torch.ones(64), score, 1.0)
    place = first.data_ptr()
    del first
    for _ in range(100):
        other = torch.full((64,), 3.0, requires_grad=True)
        if other.data_ptr() == place:
            break
    factor = torch.ones(64, requires_grad=True)
    with remade():
        product = (other * factor).sum()
    product.backward()
    assert factor.grad is not None
    assert torch.equal(factor.grad, torch.full((64,), 3.0))
