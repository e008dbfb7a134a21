"""Which channels of a network have to go together: axes of units, each removed whole or not at all.

The coupling comes from torch-pruning's dependency graph (Fang et al., DepGraph, CVPR 2023). What it
does not say is added here: the channels of a convolution's group go together, and so do those of an
attention head.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from seam.errors import ModelError, in_line
from seam.masking.attention import attention_of
from seam.masking.axes import Axis
from seam.masking.couplings import Couplings
from seam.masking.sides import ChannelLayer, side_sizes


def find_axes(module: nn.Module, example: Tensor) -> list[Axis]:
    """The axes of ``module``; its inputs and outputs, and what is not understood, have none.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    >>> [
    ...     (axis.name, axis.size, len(axis.slots))
    ...     for axis in find_axes(net, torch.zeros(1, 3, 8, 8))
    ... ]
    [('0', 8, 3)]

    Left whole are channels that meet a layer or group norm (its statistics would change), a
    parameter that stands alone, or `nn.MultiheadAttention`.

    Args:
        module: any module; it is not changed.
        example: a batch of one input.

    Raises:
        ModelError: the dependency graph cannot be traced.
    """
    module = copy.deepcopy(module).requires_grad_(True)
    names = {layer: name for name, layer in module.named_modules()}
    graph = _graph(module, example)
    couplings = Couplings(module)
    for name, group in _groups(graph, names):
        if group is None:
            couplings.bar(name)
        else:
            couplings.add(graph, group, names)
    for name, layer in module.named_modules():
        if parametrize.is_parametrized(layer):  # its class is the user's own module's, too
            couplings.bar_both(name)
        elif isinstance(layer, _ConvNd) and layer.groups > 1:
            couplings.join_groups(name, layer)
        elif isinstance(layer, ChannelLayer):
            couplings.join_pairs(name, layer)
        elif kind := attention_of(layer):
            couplings.join_heads(name, layer, kind)
    normed = {
        names[node.module]
        for node in graph.module2node.values()
        if node.module in names and _only_normed(node)
    }
    return couplings.axes(normed)


def _only_normed(node: Any, depth: int = 2) -> bool:
    """Whether whatever reads a layer's output is a norm layer, right behind it or one step on."""
    return bool(node.outputs) and all(
        isinstance(each.module, _BatchNorm)
        or (depth > 1 and not isinstance(each.module, nn.Module) and _only_normed(each, depth - 1))
        for each in node.outputs
    )


def _graph(module: nn.Module, example: Tensor) -> Any:
    import torch_pruning

    with warnings.catch_warnings(), torch.enable_grad():
        warnings.simplefilter("ignore")
        graph = torch_pruning.DependencyGraph()
        try:
            graph.build_dependency(
                module,
                (example,),
                customized_pruners={kind: _pruner() for kind in _own_kinds(module)},
                verbose=False,
            )
        except Exception as error:  # tracing runs the model, which raises what it likes
            raise ModelError(
                f"the dependency graph of the base model cannot be traced ({in_line(error, 160)}); "
                "choose --granularity weight"
            ) from error
    return graph


def _own_kinds(module: nn.Module) -> set[type[nn.Module]]:
    return {type(layer) for layer in module.modules() if isinstance(layer, ChannelLayer)}


def _pruner() -> Any:
    """How the dependency graph sees a `ChannelLayer`: its two sides are not coupled."""
    from torch_pruning.pruner.function import BasePruningFunc

    class Pruner(BasePruningFunc):  # type: ignore[misc]
        def prune_out_channels(self, layer: nn.Module, _idxs: Sequence[int]) -> nn.Module:
            return layer

        def prune_in_channels(self, layer: nn.Module, _idxs: Sequence[int]) -> nn.Module:
            return layer

        def get_out_channels(self, layer: ChannelLayer) -> int:
            return layer.widths()[1]

        def get_in_channels(self, layer: ChannelLayer) -> int:
            return layer.widths()[0]

    return Pruner()


def _groups(graph: Any, names: Mapping[nn.Module, str]) -> Iterator[tuple[str, Any]]:
    """Every coupled group of channels, once for each layer that could be its root, by its name.

    A group is None where the graph cannot follow the layer's outputs through the network.
    """
    covered: set[tuple[str, str]] = set()
    for layer in list(graph.module2node):
        if layer not in names or not isinstance(layer, (_ConvNd, nn.Linear, ChannelLayer)):
            continue
        if (names[layer], "out") in covered:
            continue
        pruner = graph.get_pruner_of_module(layer)
        count = pruner.get_out_channels(layer)
        group = _group(graph, layer, pruner.prune_out_channels, count)
        for dependency, indices in group or ():
            target = dependency.target.module
            whole = target in names and len(indices) == side_sizes(target).get("out")
            if whole and graph.is_out_channel_pruning_fn(dependency.handler):
                covered.add((names[target], "out"))
        yield names[layer], group


def _group(graph: Any, layer: nn.Module, prune: Any, count: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return graph.get_pruning_group(layer, prune, list(range(count)))
        except Exception:  # whatever its guesses at reshapes lead to
            return None
