"""Masks on whole channels: which units of all axes are kept within a budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from seam.errors import ConfigError
from seam.masking.axes import Axis, Slot
from seam.masking.parametrization import Attached
from seam.masking.sides import Place, side_sizes, tensors_along
from seam.masking.units import Gate, Units

HALVINGS = 12
Meter = Callable[[Mapping[Place, int]], float]
"""What a network costs whose sides have these many channels, as a share of the base's cost."""


@dataclass(frozen=True)
class Rules:
    """How many units a layer may keep, whatever their scores.

    It keeps a multiple of ``round_to`` channels, and no less than the share ``floor`` of what it
    would keep if all layers were narrowed alike to the same cost: scores of different layers do not
    compare well, and a layer of few channels is a bottleneck for all the others. ``sizes`` are the
    units that each axis had at first, where some have been removed since.
    """

    round_to: int = 1
    floor: float = 0.0
    sizes: Mapping[str, int] = field(default_factory=dict)


class ChannelSet(Attached):
    """The gates attached to one module, and the scores of its axes.

    >>> from seam.masking.channels import find_axes
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> channels = attach_channels(net, find_axes(net, torch.zeros(1, 4)), meter=lambda widths: 1.0)
    >>> {name: int(bits.sum()) for name, bits in channels.bits().items()}
    {'0': 8}
    """

    def __init__(
        self,
        module: nn.Module,
        axes: Sequence[Axis],
        units: Mapping[str, Units],
        places: Sequence[tuple[str, str]],
        meter: Meter,
        rules: Rules,
    ) -> None:
        super().__init__(module, places)
        self.axes = list(axes)
        self.units = dict(units)
        self.meter = meter
        self.rules = rules
        self._widths = _full_widths(module, axes)
        self.price = {axis.name: 1.0 for axis in axes}

    def scores(self) -> dict[str, nn.Parameter]:
        """The tensors that are searched, by the axis' name."""
        return {name: units.score for name, units in self.units.items()}

    def bits(self) -> dict[str, Tensor]:
        """Which units are kept (bool), by the axis' name."""
        return {name: units.bits for name, units in self.units.items()}

    def load_bits(self, bits: Mapping[str, Tensor]) -> None:
        """Set which units are kept (bool), by the axis' name."""
        for name, units in self.units.items():
            units.bits = bits[name].to(units.bits)

    def cost(self) -> float:
        """What the kept units cost."""
        return self._cost({name: int(bits.sum()) for name, bits in self.bits().items()})

    def set_prices(self, power: float) -> None:
        """Divide scores by the units' share of the cost, to the ``power``, where they compete.

        0 chooses by score alone, 1 by score for what is paid.
        """
        full = {axis.name: axis.size for axis in self.axes}
        whole = self._cost(full)
        prices = {
            axis.name: max(whole - self._cost({**full, axis.name: axis.size - 1}), 1e-12)
            for axis in self.axes
        }
        mean = sum(prices.values()) / len(prices)
        self.price = {name: (value / mean) ** power for name, value in prices.items()}

    def keep(self, share: float, *, exact: bool = True) -> None:  # noqa: ARG002 - always exact
        """Keep the units of the highest scores, so that the cost is at most ``share``.

        Each axis keeps what the rules allow (or all), and never none.

        Raises:
            ConfigError: even the smallest network costs more; the message says how much.
        """
        counts = self.counts_for(share)
        for axis in self.axes:
            self.units[axis.name].keep(counts[axis.name])

    def counts_for(self, share: float) -> dict[str, int]:
        """How many units of each axis the budget keeps."""
        whole = {axis.name: axis.size for axis in self.axes}
        if share >= 1 or self._cost(whole) <= share + 1e-9:  # as in the steps after a compaction
            return whole
        priorities = torch.cat(
            [self.units[axis.name].score.detach() / self.price[axis.name] for axis in self.axes]
        )
        owners = torch.cat(
            [torch.full((axis.size,), number) for number, axis in enumerate(self.axes)]
        )
        order = owners[priorities.argsort(descending=True, stable=True).cpu()]
        chosen = torch.nn.functional.one_hot(order, len(self.axes)).cumsum(0)
        low, high = 0, len(order)  # of the units in order, how many are taken
        none = [0] * len(self.axes)
        smallest = self._cost(self._rounded(none))
        if smallest > share + 1e-9:
            raise ConfigError(
                f"a budget of {share:.2%} cannot be met: the smallest network, with "
                f"{self.rules.round_to} channels a layer, costs {smallest:.2%}; give that, or a "
                "smaller --round"
            )
        least = self._least(share)
        while low < high:
            middle = (low + high + 1) // 2
            if self._cost(self._rounded(chosen[middle - 1].tolist(), least)) <= share + 1e-9:
                low = middle
            else:
                high = middle - 1
        counts = self._rounded(chosen[low - 1].tolist() if low else none, least)
        return self._filled(counts, share)

    def _least(self, share: float) -> dict[str, int]:
        """What each axis keeps whatever its scores, in whole multiples."""
        sizes = {axis.name: self.rules.sizes.get(axis.name, axis.size) for axis in self.axes}

        def alike(width: float) -> dict[str, int]:
            return {axis.name: min(axis.size, int(width * sizes[axis.name])) for axis in self.axes}

        low, high = 0.0, 1.0  # the share of its units that every layer keeps
        for _ in range(HALVINGS if self.rules.floor else 0):
            middle = (low + high) / 2
            low, high = (middle, high) if self._cost(alike(middle)) <= share else (low, middle)
        counts = alike(self.rules.floor * low)
        for axis in self.axes:
            counts[axis.name] -= counts[axis.name] % self._multiple(axis)
        return counts

    def _filled(self, counts: dict[str, int], share: float) -> dict[str, int]:
        """Counts with whole multiples added where they fit, the most important ones first.

        Rounding leaves a part of the budget unused, a large one where an axis runs through many
        layers.
        """
        ordered = {
            axis.name: self.units[axis.name].score.detach().sort(descending=True).values
            / self.price[axis.name]
            for axis in self.axes
        }
        open_axes = {axis.name: axis for axis in self.axes}
        while open_axes:
            gains = {}
            for name, axis in open_axes.items():
                upper = min(axis.size, counts[name] + self._multiple(axis))
                if upper > counts[name]:
                    gains[name] = (float(ordered[name][counts[name] : upper].mean()), upper)
            for name in sorted(gains, key=lambda each: -gains[each][0]):
                wider = {**counts, name: gains[name][1]}
                if self._cost(wider) <= share + 1e-9:
                    counts = wider
                    break
                del open_axes[name]  # it fits even less when others have grown
            else:
                return counts
            open_axes = {name: open_axes[name] for name in gains if name in open_axes}
        return counts

    def _multiple(self, axis: Axis) -> int:
        """Units of an axis that are kept or removed together."""
        return max(1, self.rules.round_to // axis.per_unit)

    def _rounded(
        self, counts: Sequence[int], least: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Counts as the nearest multiples that a layer may have."""
        found = {}
        for axis, count in zip(self.axes, counts, strict=True):
            multiple = self._multiple(axis)
            nearest = max(multiple, (count + multiple // 2) // multiple * multiple)
            found[axis.name] = min(axis.size, max(nearest, (least or {}).get(axis.name, 0)))
        return found

    def _cost(self, counts: Mapping[str, int]) -> float:
        widths = dict(self._widths)
        for axis in self.axes:
            for slot in axis.slots:
                widths[slot.place] -= (axis.size - counts[axis.name]) * slot.per_unit
        return self.meter(widths)


def attach_channels(
    module: nn.Module, axes: Sequence[Axis], *, meter: Meter, rules: Rules | None = None
) -> ChannelSet:
    """Gate every axis of ``module``; its outputs do not change by a bit, all units are kept.

    >>> from seam.masking.channels import find_axes
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> channels = attach_channels(net, find_axes(net, torch.zeros(1, 4)), meter=lambda widths: 1.0)
    >>> channels.detach()
    >>> type(net[0]).__name__
    'Linear'

    Args:
        module: changed in place, until `ChannelSet.detach`.
        axes: of this module.
        meter: what a network of given widths costs.
        rules: how many units a layer may keep, whatever their scores; by default any number.

    Raises:
        ConfigError: there is no axis.
    """
    if not axes:
        raise ConfigError(
            "no channel of the base model can be removed; choose --granularity weight"
        )
    device = next(module.parameters()).device
    units = {axis.name: Units(axis.size).to(device) for axis in axes}
    parts: dict[tuple[str, str, int], list[tuple[Units, Slot]]] = {}
    for axis in axes:
        for slot in axis.slots:
            if slot.gated:
                owner, side = slot.place
                layer = module.get_submodule(owner)
                for name, dim in tensors_along(layer, side):
                    if name in layer._parameters:
                        parts.setdefault((owner, name, dim), []).append((units[axis.name], slot))
    places = [(owner, name) for owner, name, _ in parts]
    channels = ChannelSet(module, axes, units, places, meter, rules or Rules())
    for (owner, name, dim), mine in parts.items():
        layer = module.get_submodule(owner)
        gate = Gate(getattr(layer, name).shape, dim, mine).to(device)
        parametrize.register_parametrization(layer, name, gate, unsafe=True)
    return channels


def _full_widths(module: nn.Module, axes: Sequence[Axis]) -> dict[Place, int]:
    owners = {slot.place[0] for axis in axes for slot in axis.slots}
    return {
        (owner, side): size
        for owner in owners
        for side, size in side_sizes(module.get_submodule(owner)).items()
    }
