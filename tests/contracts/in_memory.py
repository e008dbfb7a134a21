"""Samples of a search that are tensors already, and are not augmented."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from seam.search.samples import Batch


@dataclass(frozen=True)
class InMemory:
    """Images (n, C, H, W) and their targets (n), as `seam.search.samples.Samples`."""

    images: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def shuffled(self, batch_size: int, *, seed: int, view: int | None = None) -> Iterator[Batch]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        yield from self._batches(order, batch_size, view)

    def ordered(self, batch_size: int, *, view: int | None = None) -> Iterator[Batch]:
        yield from self._batches(torch.arange(len(self)), batch_size, view)

    def _batches(self, order: Tensor, batch_size: int, view: int | None) -> Iterator[Batch]:
        for numbers in order.split(batch_size):
            yield Batch(self.images[numbers], self.targets[numbers], numbers, view)
