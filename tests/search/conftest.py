"""A problem small enough to search in seconds: four blobs, and a network that knows them."""

from __future__ import annotations

import pytest
import torch
from in_memory import InMemory
from torch import nn

from seam.search.samples import SearchData


def blobs(count: int, seed: int) -> InMemory:
    """Four Gaussian blobs as 1 x 4 x 4 images; target 1 is blob 2."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    centres = torch.randn(4, 16, generator=torch.Generator().manual_seed(9)) * 2
    noise = torch.randn(count, 16, generator=generator)
    return InMemory((centres[labels] + noise).view(count, 1, 4, 4), (labels == 2).long())


@pytest.fixture(scope="module")
def data() -> SearchData:
    return SearchData(blobs(256, 1), blobs(128, 2))


@pytest.fixture(scope="module")
def base() -> nn.Module:
    """A small conv net that knows the four blobs."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4)
    )
    images = blobs(512, 3).images
    labels = torch.arange(512) % 4
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net.eval()
