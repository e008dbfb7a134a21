"""A problem small enough to search in seconds: four blobs, and a network that knows them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from seam.search.samples import Batch, SearchData


class Blobs:
    """Four Gaussian blobs as 1 x 4 x 4 images; target 1 is blob 2."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % 4
        centres = torch.randn(4, 16, generator=torch.Generator().manual_seed(9)) * 2
        noise = torch.randn(count, 16, generator=generator)
        self.images = (centres[labels] + noise).view(count, 1, 4, 4)
        self.targets = (labels == 2).long()

    def __len__(self) -> int:
        return len(self.targets)

    def shuffled(self, batch_size: int, *, seed: int) -> Iterator[Batch]:
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        for numbers in order.split(batch_size):
            yield Batch(self.images[numbers], self.targets[numbers], numbers)

    def ordered(self, batch_size: int) -> Iterator[Batch]:
        for numbers in torch.arange(len(self)).split(batch_size):
            yield Batch(self.images[numbers], self.targets[numbers], numbers)


@pytest.fixture(scope="module")
def data() -> SearchData:
    return SearchData(Blobs(256, 1), Blobs(128, 2))


@pytest.fixture(scope="module")
def base() -> nn.Module:
    """A small conv net that knows the four blobs."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)
    )
    blobs = Blobs(512, 3)
    labels = torch.arange(512) % 4
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(blobs.images), labels).backward()
        optimizer.step()
    return net.eval()
