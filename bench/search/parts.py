"""Parts of a strategy that are baselines only: starts, mask rules, gates, a schedule.

Each plugs into `seam.search.strategy.Strategy`; none has a loop of its own.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from seam.core.pressure import Budget, Penalty
from seam.errors import ConfigError
from seam.masking.gates import ChannelSet
from seam.masking.parametrization import Gate, MaskSet
from seam.search.saliency import saliency
from seam.search.samples import Batch
from seam.search.schedule import place
from seam.search.strategy import Look

SHARPNESS = (1.0, 50.0)  # of the annealed sigmoid, at a level's start and end
STRETCH, TEMPERATURE = (-0.1, 1.1), 2 / 3  # Louizos et al. 2018 (arXiv:1712.01312), section 4
FISHER_SAMPLES = 128


# ----------------------------------------------------------------------------- starts (squared)


def taylor(look: Look) -> dict[str, Tensor]:
    """``(mean gradient * weight) ** 2``: SNIP (Lee et al. 2019), on a trained network."""
    scores = look.masks.scores()
    totals = {name: torch.zeros_like(score) for name, score in scores.items()}
    for batch in look.batches():
        grads = torch.autograd.grad(look.loss(batch), list(scores.values()), allow_unused=True)
        for name, grad in zip(totals, grads, strict=True):
            if grad is not None:
                totals[name] += grad
    return {name: total.square() for name, total in totals.items()}


def fisher(look: Look) -> dict[str, Tensor]:
    """``weight ** 2`` times the mean squared gradient of single samples (Theis et al. 2018)."""
    single: list[Batch] = []
    for batch in look.batches():
        for images, targets, numbers in zip(*(part.split(1) for part in batch[:3]), strict=True):
            single.append(Batch(images, targets, numbers, batch.view))
        if len(single) >= FISHER_SAMPLES:
            break
    return saliency(look.masks, (partial(look.loss, one) for one in single[:FISHER_SAMPLES]))


@torch.no_grad()
def wanda(look: Look) -> dict[str, Tensor]:
    """``(weight * norm of its input) ** 2`` (Sun et al. 2024); the input of a bias is one."""
    squares: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def add(owner: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        channels = inputs[0].movedim(1 if isinstance(layer, _ConvNd) else -1, 0).flatten(1)
        squares[owner] = squares.get(owner, 0) + channels.float().square().sum(1)
        counts[owner] = counts.get(owner, 0) + channels.shape[1]

    backbone = look.masks.module
    owners = {name.rpartition(".")[0] for name in look.masks.originals()}
    hooks = [
        backbone.get_submodule(owner).register_forward_pre_hook(
            lambda layer, inputs, owner=owner: add(owner, layer, inputs)
        )
        for owner in owners
    ]
    try:
        for batch in look.batches():
            look.loss(batch)
    finally:
        for hook in hooks:
            hook.remove()
    found = {}
    for name, value in look.masks.originals().items():
        owner, _, kind = name.rpartition(".")
        layer = backbone.get_submodule(owner)
        if kind == "bias":
            found[name] = value.square() * counts[owner]
        else:
            found[name] = value.square() * _inputs_of(layer, squares[owner])
    return found


def _inputs_of(layer: nn.Module, squares: Tensor) -> Tensor:
    """The squared norm of the input that each weight element is multiplied with."""
    if isinstance(layer, nn.Linear):
        return squares
    if not isinstance(layer, _ConvNd) or layer.transposed:
        raise ConfigError(f"Wanda knows no inputs of {type(layer).__name__}; leave the layer out")
    groups = squares.view(layer.groups, -1).repeat_interleave(
        layer.out_channels // layer.groups, dim=0
    )
    return groups.view(*groups.shape, *[1] * len(layer.kernel_size))


# -------------------------------------------------------------------------- rule, gates, schedule


def each_layer(masks: MaskSet | ChannelSet, share: float, exact: bool) -> None:  # noqa: ARG001
    """Keep the same share of every parameter instead of the highest scores of the whole."""
    assert isinstance(masks, MaskSet)
    for mask in masks.values():
        scores = mask.score.detach().reshape(-1)
        removed = round((1 - share) * scores.numel())
        lowest = float("-inf")
        mask.threshold = float(scores.kthvalue(removed).values) if removed else lowest


def annealed(pressure: Penalty | Budget, progress: float) -> Gate:
    """A sigmoid that sharpens within each level (Savarese et al. 2020, arXiv:1912.04427)."""
    within = place(pressure, progress)[1] if isinstance(pressure, Budget) else progress
    first, last = SHARPNESS
    sharpness = first * (last / first) ** within
    return lambda score, threshold: torch.sigmoid(sharpness * (score - threshold))


def hard_concrete(_pressure: Penalty | Budget, progress: float) -> Gate:
    """Random gates between 0 and 1 that are often either; new ones each step."""
    generator = torch.Generator().manual_seed(round(progress * 1e12))
    low, high = STRETCH

    def gate(score: Tensor, threshold: float) -> Tensor:
        noise = torch.rand(score.shape, generator=generator).clamp(1e-6, 1 - 1e-6).to(score)
        soft = torch.sigmoid((noise.logit() + score - threshold) / TEMPERATURE)
        return (soft * (high - low) + low).clamp(0, 1)

    return gate


def expected_density(masks: MaskSet) -> Tensor:
    """The mean probability that a hard-concrete gate is not 0 (equation 12 there)."""
    low, high = STRETCH
    shift = TEMPERATURE * torch.tensor(-low / high).log()
    kept = [torch.sigmoid(m.score - m.threshold - shift).sum() for m in masks.values()]
    return torch.stack(kept).sum() / masks.count


def cubic(budget: Budget, progress: float) -> float:
    """Zhu and Gupta 2017 (arXiv:1710.01878): fast at first, slow at the end.

    >>> cubic(Budget(final_density=0.2), 1.0)
    0.2
    """
    return budget.final_density + (1 - budget.final_density) * (1 - min(1.0, progress)) ** 3
