"""Removing channels for good: the smaller module gives what the masked one gave."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from seam.errors import ModelError
from seam.masking.axes import Axis
from seam.masking.parametrization import join
from seam.masking.sides import Place, keep_channels, side_sizes, tensors_along

Bits = Mapping[str, Tensor]
"""Which units of each axis are kept (bool, one a unit), by the axis' name."""


def kept_channels(module: nn.Module, axes: Sequence[Axis], bits: Bits) -> dict[Place, Tensor]:
    """Which channels (bool) of each side that an axis runs along are kept.

    >>> from seam.masking.channels import find_axes
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> axes = find_axes(net, torch.zeros(1, 4))
    >>> kept = kept_channels(net, axes, {"0": torch.tensor([True, False, True])})
    >>> {place: channels.tolist() for place, channels in kept.items()}
    {('0', 'out'): [True, False, True], ('2', 'in'): [True, False, True]}
    """
    kept: dict[Place, Tensor] = {}
    for axis in axes:
        for slot in axis.slots:
            name, side = slot.place
            if slot.place not in kept:
                size = side_sizes(module.get_submodule(name))[side]
                kept[slot.place] = torch.ones(size, dtype=torch.bool)
            kept[slot.place][slot.indices] = bits[axis.name].cpu()[slot.units]
    return kept


def remove(module: nn.Module, axes: Sequence[Axis], bits: Bits) -> nn.Module:
    """A copy of ``module`` in which only the kept units are left.

    >>> from seam.masking.channels import find_axes
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> axes = find_axes(net, torch.zeros(1, 4))
    >>> remove(net, axes, {"0": torch.tensor([True, False, True])})[0].out_features
    2

    Raises:
        ModelError: an axis would be left empty.
    """
    for axis in axes:
        if not bool(bits[axis.name].any()):
            raise ModelError(f"no channel of layer '{axis.name}' would be left; keep at least one")
    kept = kept_channels(module, axes, bits)
    smaller = copy.deepcopy(module)
    for name in dict.fromkeys(name for name, _ in kept):
        layer = smaller.get_submodule(name)
        sides = {side: kept[name, side].nonzero()[:, 0] for side in side_sizes(layer)
                 if (name, side) in kept}  # fmt: skip
        keep_channels(layer, sides)
    return smaller


def element_masks(module: nn.Module, axes: Sequence[Axis], bits: Bits) -> dict[str, Tensor]:
    """Masks (bool, parameter's shape) of all parameters that removing the units would make smaller.

    >>> from seam.masking.channels import find_axes
    >>> net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> axes = find_axes(net, torch.zeros(1, 1))
    >>> element_masks(net, axes, {"0": torch.tensor([True, False])})["2.weight"].tolist()
    [[True, False]]
    """
    masks: dict[str, Tensor] = {}
    for (owner, side), channels in kept_channels(module, axes, bits).items():
        layer = module.get_submodule(owner)
        for name, dim in tensors_along(layer, side):
            value = getattr(layer, name)
            if not isinstance(value, nn.Parameter):
                continue
            full = join(owner, name)
            shape = [-1 if i == dim else 1 for i in range(value.ndim)]
            masks.setdefault(full, torch.ones(value.shape, dtype=torch.bool))
            masks[full] &= channels.reshape(shape)
    return masks


def bits_of(
    axes: Sequence[Axis], module: nn.Module, masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Which units (bool) have an element left: inverse of `element_masks`.

    A unit whose every gated element (its layers' rows, its norms' scales and shifts) is masked is
    not kept; neither is what a search for single weights has emptied so.
    """
    found = {}
    for axis in axes:
        alive = torch.zeros(axis.size, dtype=torch.bool)
        for slot in axis.slots:
            if not slot.gated:
                continue
            owner, side = slot.place
            layer = module.get_submodule(owner)
            for name, dim in tensors_along(layer, side):
                if not isinstance(getattr(layer, name), nn.Parameter):
                    continue
                mask = masks.get(join(owner, name))
                if mask is None:
                    alive[:] = True
                    continue
                others = [i for i in range(mask.ndim) if i != dim]
                channels = mask.any(others) if others else mask
                alive[slot.units[channels[slot.indices]]] = True
        found[axis.name] = alive
    return found
