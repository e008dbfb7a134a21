"""A search for channels goes on in what is left: a network that shrinks while it is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seam.masking.axes import Axis
from seam.masking.head import Headed
from seam.masking.parametrization import join
from seam.masking.sides import tensors_along
from seam.shrink.remove import Bits, element_masks, kept_channels, remove


@dataclass
class Compaction:
    """Which of a network's units are still there, and the full-size network they come from.

    ``alive`` holds a bool for each unit of each axis of ``full``, which has no gates on it.
    """

    full: Headed
    axes: Sequence[Axis]
    alive: dict[str, Tensor]

    @classmethod
    def whole(cls, full: Headed, axes: Sequence[Axis]) -> Compaction:
        """Everything is still there."""
        alive = {axis.name: torch.ones(axis.size, dtype=torch.bool) for axis in axes}
        return cls(full, axes, alive)

    def network(self) -> tuple[Headed, list[Axis]]:
        """What is left of the full network, with the values it has there, and its axes."""
        smaller = remove(self.full, self.axes, self.alive)
        assert isinstance(smaller, Headed)
        return smaller, self.narrowed()

    def narrowed(self) -> list[Axis]:
        """The axes in the numbering of what is left."""
        kept = kept_channels(self.full, self.axes, self.alive)
        number = {place: channels.cumsum(0) - 1 for place, channels in kept.items()}
        found = []
        for axis in self.axes:
            alive = self.alive[axis.name]
            order = alive.cumsum(0) - 1
            slots = []
            for slot in axis.slots:
                here = alive[slot.units]
                indices, units = slot.indices[here], slot.units[here]
                where = number[slot.place][indices]
                slots.append(replace(slot, indices=where, units=order[units]))
            found.append(replace(axis, size=int(alive.sum()), slots=tuple(slots)))
        return found

    def after(self, bits: Bits) -> dict[str, Tensor]:
        """`alive` when of what is left only ``bits`` are kept."""
        found = {}
        for name, alive in self.alive.items():
            found[name] = alive.clone()
            found[name][alive] = bits[name].cpu()
        return found

    def masks(self, bits: Bits) -> dict[str, Tensor]:
        """Masks (bool) over the full network, when of what is left only ``bits`` are kept."""
        return element_masks(self.full, self.axes, self.after(bits))

    def expanded(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of what is left in the full network's shapes; elsewhere are its own values."""
        kept = kept_channels(self.full, self.axes, self.alive)
        along: dict[str, list[tuple[int, Tensor]]] = {}
        for (owner, side), channels in kept.items():
            for name, dim in tensors_along(self.full.get_submodule(owner), side):
                along.setdefault(join(owner, name), []).append((dim, channels.nonzero()[:, 0]))
        state = self.full.state_dict()
        return {
            name: _placed(state[name], value, along.get(name, [])) for name, value in values.items()
        }


def _placed(full: Tensor, value: Tensor, along: Sequence[tuple[int, Tensor]]) -> Tensor:
    """A copy of ``full`` with ``value`` at the given indices of the given dimensions."""
    if value.shape == full.shape:
        return value.detach()
    (dim, indices), rest = along[0], along[1:]
    indices = indices.to(full.device)
    inner = full.detach().index_select(dim, indices)
    return full.detach().index_copy(dim, indices, _placed(inner, value, rest))
