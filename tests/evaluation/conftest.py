"""Small models to time, and a time budget that fits tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import nn

from seam.evaluation.runtimes import Subject
from seam.evaluation.timing import Budget

BRIEF = Budget(rounds=7, seconds=0.0, longest=5.0, turn_ms=2.0, warm_up=2)


@pytest.fixture
def brief() -> Budget:
    return BRIEF


@pytest.fixture
def tries() -> range:
    """A machine with other work may get a comparison of times wrong, but not each time."""
    return range(5)


def net(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 4),
    ).eval()


@pytest.fixture
def wide(tmp_path: Path) -> Subject:
    return Subject("base", net(128), tmp_path)


@pytest.fixture
def narrow(tmp_path: Path) -> Subject:
    return Subject("result", net(16), tmp_path)
