"""How each peer makes a network smaller: torch-pruning's pruners, and widths scaled all alike."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch_pruning as tp
from peers.shapes import ROUND_TO, Gather, reset, scaled, with_gathers
from torch import Tensor, nn
from torch_pruning.pruner.function import BasePruningFunc

from seam.errors import ConfigError
from seam.evaluation.cost import executed_macs
from seam.masking.head import Headed, find_classifier

PROBES = 12
UNIFORM_SLACK = 1.02
"""Where every layer gets the same share the steps are coarse: these peers may be 2 % over."""
IMPORTANCES: dict[str, Callable[[], Any]] = {
    "tp-group-norm": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    "tp-group-taylor": tp.importance.GroupTaylorImportance,
    "l1": lambda: tp.importance.GroupMagnitudeImportance(p=1),
}


class GatherPruner(BasePruningFunc):
    """How torch-pruning removes channels of a `Gather`; its two sides are not coupled."""

    TARGET_MODULES = Gather

    def prune_out_channels(self, layer: Gather, idxs: Sequence[int]) -> Gather:
        layer.remove_outputs(idxs)
        return layer

    def prune_in_channels(self, layer: Gather, idxs: Sequence[int]) -> Gather:
        layer.remove_inputs(idxs)
        return layer

    def get_out_channels(self, layer: Gather) -> int:
        return len(layer.source)

    def get_in_channels(self, layer: Gather) -> int:
        return layer.inputs


class Pruner(tp.pruner.BasePruner):
    """torch-pruning's own, which never rounds a layer to no channels.

    Left alone it rounds what is kept *down*; a layer of fewer than 8 to 0, which it then refuses,
    so that the least important layers would stay whole.
    """

    def _round_to(self, n_pruned: int, current_channels: int, round_to: int) -> int:
        kept = max(round_to, (current_channels - n_pruned) // round_to * round_to)
        return max(0, current_channels - kept)


def prunable(model: Headed) -> Headed:
    """A model that torch-pruning can prune: its shortcuts replaced, all of it with gradients."""
    with_gathers(model)
    return model.requires_grad_(True)


def to_share(
    model: Headed,
    method: str,
    share: float,
    *,
    example: Tensor,
    base_macs: int,
    losses: Iterable[Callable[[], Tensor]] = (),
) -> Headed:
    """A pruned copy with at most ``share`` of the base's MACs, found by bisection of the ratio.

    ``losses`` run ``model``; their gradients add up, for the importance that needs them.

    Raises:
        ConfigError: not even the smallest is small enough.
    """
    model.eval().zero_grad()
    if method == "tp-group-taylor":
        for loss in losses:
            loss().backward()
    slack = UNIFORM_SLACK if method == "l1" else 1.0

    def trial(ratio: float) -> Headed:
        return pruned(model, method, ratio, example)

    return _largest(trial, share * slack * base_macs, example)


def pruned(model: Headed, method: str, ratio: float, example: Tensor) -> Headed:
    """A copy without ``ratio`` of its channels: over all layers, for `l1` of each layer."""
    smaller = copy.deepcopy(model)
    for mine, theirs in zip(smaller.parameters(), model.parameters(), strict=True):
        mine.grad = theirs.grad.clone() if theirs.grad is not None else None
    traced: nn.Module = smaller  # a head of logits, not of features, is none of its business
    last = smaller.head
    if not isinstance(last, nn.Linear):
        traced = smaller.backbone
        last = traced.get_submodule(find_classifier(traced, example))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner = Pruner(
            traced,
            example,
            importance=IMPORTANCES[method](),
            global_pruning=method != "l1",
            pruning_ratio=ratio,
            round_to=ROUND_TO,
            ignored_layers=[last],
            customized_pruners={Gather: GatherPruner()},
        )
        for group in pruner.step(interactive=True):
            if len(group[0].idxs):
                group.prune()
    smaller.zero_grad()
    return smaller


def narrow(model: Headed, share: float, *, example: Tensor, base_macs: int, seed: int) -> Headed:
    """The same architecture, every width scaled alike, with at most ``share`` of the MACs, new."""

    def trial(ratio: float) -> Headed:
        return scaled(model, 1 - ratio, example)

    found = _largest(trial, share * UNIFORM_SLACK * base_macs, example)
    reset(found, seed=seed)
    return found.requires_grad_(True)


def _largest(trial: Callable[[float], Headed], most: float, example: Tensor) -> Headed:
    """Of the networks tried, the one with the most MACs of at most ``most``."""
    best: tuple[int, Headed] | None = None
    low, high = 0.0, 1.0
    for _ in range(PROBES):
        ratio = (low + high) / 2
        found = trial(ratio)
        macs = executed_macs(found.eval(), example)
        if macs > most:
            low = ratio
            continue
        high = ratio
        if best is None or macs > best[0]:
            best = macs, found
    if best is None:
        raise ConfigError(f"the method cannot prune to {most:.0f} MACs; give a larger --final-macs")
    return best[1]
