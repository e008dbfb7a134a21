"""The baseline for labels that the base was not trained on: a head on its frozen features."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seam.core.config import Head
from seam.core.problem import Problem
from seam.errors import ConfigError
from seam.evaluation.accuracy import share_right
from seam.jobs.baselines import fit_head
from seam.masking.head import Headed, attach_head
from seam.models.base import BaseModel
from seam.search.frontier import Bars

EPOCHS = 50
RATE = 0.1
MOMENTUM = 0.9


@dataclass(frozen=True)
class NewLabelBaselines:
    """One way to use the base for labels it was not trained on: ``head``, on what it sees.

    *head-only*: a linear head trained on the base's penultimate features, nothing else changed or
    removed. The base used whole, or restricted, does not exist: it has no answer. A search starts
    from this head, so the head alone is the first point of its walk.
    """

    problem: Problem
    head: nn.Linear
    reference: str = "head_only"

    def predictions(self, features: Tensor) -> dict[str, Tensor]:
        """Predicted outputs (n) from the base's features (n, F)."""
        return {"head_only": self.outputs(features).argmax(1)}

    def outputs(self, features: Tensor) -> Tensor:
        """The head's outputs (n, K), where the features are."""
        weight, bias = (value.to(features.device) for value in (self.head.weight, self.head.bias))
        return F.linear(features, weight, bias)

    def bars(self, features: Tensor, targets: Tensor) -> Bars:
        """Points are held against the most accurate one: a head alone is a low bar."""
        right = share_right(self.predictions(features)["head_only"], targets).value
        return Bars({"head_only": right}, len(targets), tolerance=None, paper="head_only")

    def headed(self, base: BaseModel, kind: Head, *, seed: int) -> Headed:
        """The base with the trained head in the place of its own.

        Raises:
            ConfigError: a head of ``kind`` answers with the base's own labels.
        """
        if kind != "replace":
            raise ConfigError(f"head '{kind}' does not fit new labels; give head 'replace'")
        model = on_features(base, self.problem, seed=seed)
        model.head.load_state_dict(self.head.state_dict())
        return model

    def starts_well(self, _head: nn.Module) -> bool:
        """It does: the head is trained."""
        return True

    def shift(self, outputs: Tensor, _targets: Tensor) -> Tensor:
        """Nothing: the most probable label is the answer."""
        return torch.zeros(outputs.shape[1])


def on_features(base: BaseModel, problem: Problem, *, seed: int) -> Headed:
    """A copy of the base module with a fresh linear head for new labels on its features.

    Raises:
        ModelError: the base has no head that can be told apart.
    """
    return attach_head(
        copy.deepcopy(base.module),
        "replace",
        problem.references(base.labels),
        example=base.example(),
        seed=seed,
        layer=base.head_layer,
    )


def fit_new_label_baselines(
    problem: Problem,
    head: nn.Module,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    *,
    seed: int,
) -> NewLabelBaselines:
    """Train a copy of a fresh ``head``; ``train`` and ``validation`` are (features, targets)."""
    assert isinstance(head, nn.Linear)
    mine = copy.deepcopy(head).cpu()
    optimizer = torch.optim.SGD(mine.parameters(), lr=RATE, momentum=MOMENTUM)
    fit_head(mine, optimizer, train, validation, epochs=EPOCHS, seed=seed)
    return NewLabelBaselines(problem, mine)
