"""Channels that are joined one after another, and the axes that come of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from seam.masking.attention import Attention, attention_of, bias_heads
from seam.masking.axes import Axis, Slot
from seam.masking.sides import ChannelLayer, Place, Side, side_sizes


class Couplings:
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
                    self.whole[root[roots[roots < len(root)]]] = True
                continue
            numbers, indices = self._numbers(*place), np.asarray(item.idxs)
            if indices.max(initial=0) >= len(numbers) or roots.max(initial=0) >= len(root):
                self.whole[root] = self.whole[numbers] = True  # it has read a reshape wrongly
                continue
            numbers = numbers[indices]
            self._join(numbers, root[roots])
            if not target.outputs and place[1] == "out":
                self.whole[numbers] = True  # the network's outputs

    def bar(self, name: str) -> None:
        """Leave a layer's outputs whole."""
        self.whole[self._numbers(name, "out")] = True

    def bar_both(self, name: str) -> None:
        """Leave a layer whole, its outputs and its inputs."""
        for side in side_sizes(self.layers[name]):
            self.whole[self._numbers(name, side)] = True

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

    def join_heads(self, name: str, layer: nn.Module, kind: Attention) -> None:
        """The channels of each attention head: queries, keys, values and what they become."""
        heads = self._numbers(name, "out")
        prefix = f"{name}." if name else ""
        outs = np.concatenate([self._numbers(f"{prefix}{each}", "out") for each in kind.inputs])
        ins = self._numbers(f"{prefix}{kind.output}", "in").reshape(len(heads), -1)
        known = not isinstance(getattr(layer, "norm", None), nn.LayerNorm)
        known &= getattr(layer, "gate", None) is None
        for part in (*outs.reshape(3, len(heads), -1), ins):
            self._cut(part)
            self.whole[part] = not known
            self._join(part, np.broadcast_to(heads[:, None], part.shape))
        for inner, table in layer.named_children():
            if bias_heads(table) == len(heads):
                self._join(self._numbers(f"{prefix}{inner}", "out"), heads)

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
        if attention_of(target) or not sizes:
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
        heads = attention_of(layers[place[0]]) is not None
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
