"""Which channels of a network have to go together: axes of units, each removed whole or not at all.

The coupling comes from torch-pruning's dependency graph (Fang et al., DepGraph, CVPR 2023). What it
does not say is added here: the channels of a convolution's group go together, and so do those of an
attention head.
"""

from __future__ import annotations

import copy
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from seam.errors import ConfigError, ModelError, in_line
from seam.masking.sides import ChannelLayer, Place, Side, is_attention, side_sizes


@dataclass(frozen=True, eq=False)
class Slot:
    """Where an axis runs along one side of a layer; ``heads`` says that its channels are heads.

    ``units[i]`` is the unit that channel ``indices[i]`` of the side belongs to. ``gated`` says that
    a mask has to silence the layer here: it is an output that no norm layer of the axis follows.
    """

    place: Place
    indices: Tensor
    units: Tensor
    gated: bool
    heads: bool = False

    @property
    def per_unit(self) -> int:
        """Channels of this side that one unit stands for."""
        return len(self.indices) // (int(self.units.max()) + 1)


@dataclass(frozen=True, eq=False)
class Axis:
    """``size`` units that can each be kept or removed, and where they are found.

    ``name`` is that of the first layer whose outputs they are.
    """

    name: str
    size: int
    slots: tuple[Slot, ...]

    @property
    def per_unit(self) -> int:
        """Channels of a layer that a unit stands for, where it stands for fewest."""
        return min(slot.per_unit for slot in self.slots if not slot.heads)


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
    couplings = _Couplings(module)
    for group in _groups(graph, names):
        couplings.add(graph, group, names)
    for name, layer in module.named_modules():
        if isinstance(layer, _ConvNd) and layer.groups > 1:
            couplings.join_groups(name, layer)
        elif isinstance(layer, ChannelLayer):
            couplings.join_pairs(name, layer)
        elif is_attention(layer):
            couplings.join_heads(name, layer)
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


def leave_out(axes: Sequence[Axis], exclude: Sequence[str]) -> list[Axis]:
    """The axes that touch no layer whose name, in the base, a pattern of ``exclude`` fits.

    Raises:
        ConfigError: a pattern fits no layer.
    """
    owners = {
        axis.name: {slot.place[0].removeprefix("backbone.") for slot in axis.slots} for axis in axes
    }
    everywhere = sorted(set().union(*owners.values()))
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in everywhere):
            some = ", ".join(everywhere[:8]) + (", ..." if len(everywhere) > 8 else "")
            raise ConfigError(f"exclude pattern '{pattern}' fits no layer; layers are {some}")
    return [
        axis
        for axis in axes
        if not any(fnmatchcase(name, each) for name in owners[axis.name] for each in exclude)
    ]


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


def _groups(graph: Any, names: Mapping[nn.Module, str]) -> Iterator[Any]:
    """Every coupled group of channels, once for each layer that could be its root."""
    covered: set[tuple[str, str]] = set()
    for layer in list(graph.module2node):
        if layer not in names or not isinstance(layer, (_ConvNd, nn.Linear, ChannelLayer)):
            continue
        if (names[layer], "out") in covered:
            continue
        pruner = graph.get_pruner_of_module(layer)
        count = pruner.get_out_channels(layer)
        group = graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(count)))
        for dependency, indices in group:
            target = dependency.target.module
            whole = target in names and len(indices) == side_sizes(target).get("out")
            if whole and graph.is_out_channel_pruning_fn(dependency.handler):
                covered.add((names[target], "out"))
        yield group


class _Couplings:
    """Channels as numbers, and which of them are joined (union-find)."""

    def __init__(self, module: nn.Module) -> None:
        self.start: dict[Place, tuple[int, int]] = {}
        self.layers = dict(module.named_modules())
        total = 0
        for name, layer in self.layers.items():
            for side, size in side_sizes(layer).items():
                self.start[name, side] = total, size
                total += size
        self.parent = np.arange(total)
        self.used = np.zeros(total, dtype=bool)
        self.whole = np.zeros(total, dtype=bool)

    def add(self, graph: Any, group: Any, names: Mapping[nn.Module, str]) -> None:
        """Join what the dependency graph says belongs together."""
        root = self._numbers(names[group[0].dep.target.module], "out")
        for item in group:
            target, roots = item.dep.target, np.asarray(item.root_idxs)
            place = self._place(graph, item.dep, names)
            if place is None:
                if not _passes_through(target.module):
                    self.whole[root[roots]] = True
                continue
            numbers = self._numbers(*place)[np.asarray(item.idxs)]
            self._join(numbers, root[roots])
            if not target.outputs and place[1] == "out":
                self.whole[numbers] = True  # the network's outputs

    def join_groups(self, name: str, layer: _ConvNd) -> None:
        """The channels of each group of a grouped convolution, on both sides."""
        outs, ins = self._numbers(name, "out"), self._numbers(name, "in")
        for own in (outs.reshape(layer.groups, -1), ins.reshape(layer.groups, -1)):
            self._join(own, np.broadcast_to(own[:, :1], own.shape))
        self._join(ins.reshape(layer.groups, -1)[:, 0], outs.reshape(layer.groups, -1)[:, 0])

    def join_pairs(self, name: str, layer: ChannelLayer) -> None:
        """What a layer of its own kind says is one channel."""
        ins, outs = zip(*layer.coupled(), strict=True)
        self._join(
            self._numbers(name, "in")[list(ins)],
            self._numbers(name, "out")[list(outs)],
        )

    def join_heads(self, name: str, layer: nn.Module) -> None:
        """The channels of each attention head: queries, keys, values and what they become."""
        heads = self._numbers(name, "out")
        prefix = f"{name}." if name else ""
        outs = self._numbers(f"{prefix}qkv", "out").reshape(3, len(heads), -1)
        ins = self._numbers(f"{prefix}proj", "in").reshape(len(heads), -1)
        known = not isinstance(getattr(layer, "norm", None), nn.LayerNorm)
        known &= getattr(layer, "gate", None) is None
        for part in (*outs, ins):
            self._cut(part)
            self.whole[part] = not known
            self._join(part, np.broadcast_to(heads[:, None], part.shape))

    def axes(self, normed: set[str]) -> list[Axis]:
        """The joined channels as axes, in the order of their first layer."""
        roots = self._roots()
        barred = set(roots[self.whole].tolist())
        units: dict[int, dict[Place, list[int]]] = defaultdict(lambda: defaultdict(list))
        for place, (start, size) in self.start.items():
            for index in np.flatnonzero(self.used[start : start + size]):
                root = int(roots[start + index])
                if root not in barred:
                    units[root][place].append(int(index))
        together: dict[tuple[Place, ...], list[dict[Place, list[int]]]] = defaultdict(list)
        for unit in units.values():
            if any(side == "out" for _, side in unit):
                together[tuple(unit)].append(unit)
        found = [
            _axis(places, members, normed, self.layers)
            for places, members in together.items()
            if _even(members) and len(members) > 1
        ]
        return _named_apart(found)

    def _place(self, graph: Any, dependency: Any, names: Mapping[nn.Module, str]) -> Place | None:
        target = dependency.target.module
        if not isinstance(target, nn.Module) or target not in names:
            return None
        side: Side = "out" if graph.is_out_channel_pruning_fn(dependency.handler) else "in"
        sizes = side_sizes(target)
        if is_attention(target) or not sizes:
            return None
        return names[target], side if side in sizes else "out"

    def _numbers(self, name: str, side: Side) -> np.ndarray[Any, np.dtype[np.int64]]:
        start, size = self.start[name, side]
        return np.arange(start, start + size)

    def _join(self, left: Any, right: Any) -> None:
        for one, other in zip(np.ravel(left).tolist(), np.ravel(right).tolist(), strict=True):
            self.used[one] = self.used[other] = True
            self.parent[self._find(one)] = self._find(other)

    def _cut(self, numbers: Any) -> None:
        """Forget what these channels were joined with: the graph read their reshapes wrongly."""
        self.parent[np.ravel(numbers)] = np.ravel(numbers)

    def _find(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = int(self.parent[number])
        return number

    def _roots(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array([self._find(number) for number in range(len(self.parent))], dtype=np.int64)


def _passes_through(target: object) -> bool:
    """Whether a node of the graph that is no layer of ours lets channels be removed."""
    from torch_pruning import ops

    if isinstance(target, (nn.Parameter, ops._OutputOp)):
        return False
    return not isinstance(target, nn.Module) or type(target).__module__ == ops.__name__


def _even(members: Iterable[Mapping[Place, list[int]]]) -> bool:
    """Whether every unit has as many channels as the others, at each place."""
    return len({tuple(map(len, unit.values())) for unit in members}) == 1


def _axis(
    places: Sequence[Place],
    members: Sequence[Mapping[Place, list[int]]],
    normed: set[str],
    layers: Mapping[str, nn.Module],
) -> Axis:
    slots = []
    for place in places:
        pairs = sorted((index, unit) for unit, each in enumerate(members) for index in each[place])
        indices, units = zip(*pairs, strict=True)
        heads = is_attention(layers[place[0]])
        gated = place[1] == "out" and not heads and place[0] not in normed
        slots.append(Slot(place, torch.tensor(indices), torch.tensor(units), gated, heads))
    first = next(name for name, side in places if side == "out")
    return Axis(first, len(members), tuple(slots))


def _named_apart(axes: list[Axis]) -> list[Axis]:
    """The axes with a number behind a name that an earlier one has."""
    seen: Counter[str] = Counter()
    named = []
    for axis in axes:
        seen[axis.name] += 1
        count = seen[axis.name]
        named.append(axis if count == 1 else replace(axis, name=f"{axis.name}#{count}"))
    return named
