"""Layers that the user has parametrized are left alone, and so is the user's own module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import seam
from seam.core.preprocessing import Preprocessing
from seam.models.base import BaseModel

PLAIN = Preprocessing(size=8, mean=(0.3,), std=(0.4,))
PROBLEM = seam.Problem.subset(["3", "5"])
SMALLER: dict[str, dict[str, Any]] = {
    "weight": {"keep": 0.5},
    "channel": {"final_macs": 0.8, "round_to": 4},
}


def base_of(module: nn.Module) -> BaseModel:
    return BaseModel(module.eval(), tuple("0123456789"), PLAIN)


def searched(base: BaseModel, granularity: str, out: Any = None) -> seam.Result:
    settings = seam.plan(
        PROBLEM,
        granularity=granularity,  # type: ignore[arg-type]
        epochs=1,
        levels=1,
        shots=10,
        views=0,
        **SMALLER[granularity],
    )
    return seam.reengineer(base, PROBLEM, "digits", out=out, settings=settings)


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_what_is_parametrized_stays(
    norm: Callable[[nn.Module], nn.Module], granularity: str
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 16, 3), nn.ReLU(), norm(nn.Conv2d(16, 16, 3)), nn.ReLU()),
        *(nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64, 10)),
    ).eval()
    images = torch.randn(2, 1, 8, 8)
    before = net(images)
    result = searched(base_of(net), granularity)
    assert result.report["density"] < 1
    assert "2.weight" not in result.adapter.masks
    assert net(images).equal(before)


class Shared(nn.Module):
    """Two layers with one weight, and one layer that has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.two = nn.Conv2d(1, 16, 3), *(nn.Conv2d(16, 16, 1) for _ in "ab")
        self.two.weight = self.one.weight
        self.last = nn.Conv2d(16, 24, 3)
        self.alias, self.head = self.last, nn.Linear(24, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        found = self.two(self.one(self.stem(images).relu()).relu()).relu()
        logits: Tensor = self.head(self.alias(found).relu().mean((2, 3)))
        return logits


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_what_is_shared_is_searched_and_saved(granularity: str, tmp_path: Any) -> None:
    torch.manual_seed(0)
    base = base_of(Shared())
    result = searched(base, granularity, tmp_path / "run")
    images = torch.randn(2, 1, 8, 8)
    again = seam.load(tmp_path / "run", base=base).model
    assert isinstance(again, nn.Module)
    torch.testing.assert_close(again(images), result.model(images))
