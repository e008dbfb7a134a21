"""Axes of units, each removed whole or not at all, and where in a network they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor

from seam.errors import ConfigError, some
from seam.masking.sides import Place


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
            raise ConfigError(
                f"exclude pattern '{pattern}' fits no layer; layers are {some(everywhere)}"
            )
    return [
        axis
        for axis in axes
        if not any(fnmatchcase(name, each) for name in owners[axis.name] for each in exclude)
    ]
