"""The gates of channels: one score a unit, for all that the unit's channels run along.

A gated channel is exactly zero behind its norm layer, because the norm's scale and shift are gated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seam.masking.axes import Slot
from seam.masking.parametrization import multiplied
from seam.masking.ste import step


class Units(nn.Module):
    """The scores of one axis, and the units that are kept: those with the highest scores.

    >>> units = Units(3)
    >>> units.score.data = torch.tensor([0.5, -0.5, 0.5])
    >>> units.keep(1)
    >>> units.bits.tolist()
    [True, False, False]

    It is their number that is set, not a threshold: scores that are equal, as those of dead
    channels are, would all be above it or none.
    """

    bits: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.ones(size))
        self.register_buffer("bits", torch.ones(size, dtype=torch.bool), persistent=False)

    def forward(self) -> Tensor:
        """The bits as ones and zeros (size), with the straight-through gradient."""
        chosen = self.bits.to(self.score.dtype) - 0.5
        return step(self.score - self.score.detach() + chosen, 0.0)

    @torch.no_grad()
    def keep(self, count: int) -> None:
        """Keep the ``count`` units of the highest scores; of equal ones the first."""
        best = self.score.argsort(descending=True, stable=True)[:count]
        self.bits = torch.zeros_like(self.bits).index_fill_(0, best, True)


class Gate(nn.Module):
    """Ones and zeros along one dimension of a parameter, from the units that own its channels.

    >>> gate = Gate(
    ...     (2, 3), 0, [(Units(2), Slot(("0", "out"), torch.arange(2), torch.arange(2), True))]
    ... )
    >>> gate(torch.ones(2, 3)).sum().item()
    6.0
    """

    def __init__(self, shape: Sequence[int], dim: int, parts: Sequence[tuple[Units, Slot]]) -> None:
        super().__init__()
        self.shape = [-1 if i == dim else 1 for i in range(len(shape))]
        self.size = shape[dim]
        self.parts = nn.ModuleList(units for units, _ in parts)
        for number, (_, slot) in enumerate(parts):
            self.register_buffer(f"indices{number}", slot.indices, persistent=False)
            self.register_buffer(f"units{number}", slot.units, persistent=False)

    def forward(self, parameter: Tensor) -> Tensor:
        """The gated parameter; same shape and type."""
        return multiplied(parameter, lambda: self._vector(parameter).reshape(self.shape))

    def _vector(self, parameter: Tensor) -> Tensor:
        vector = parameter.new_ones(self.size)
        for number, units in enumerate(self.parts):
            bits = units().to(parameter.dtype)[getattr(self, f"units{number}")]
            vector = vector.index_copy(0, getattr(self, f"indices{number}"), bits)
        return vector
