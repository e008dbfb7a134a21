"""What a result is held against: the base model used whole, restricted, and with a trained head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seam.core.config import Head
from seam.core.problem import Problem
from seam.evaluation.accuracy import share_right
from seam.masking.head import AppendHead, Headed, SliceHead, attach_head, restrict
from seam.models.base import BaseModel
from seam.search.frontier import Bars

_Trained = TypeVar("_Trained", bound=nn.Module)

HEAD_EPOCHS = 20
HEAD_BATCH = 64
HEAD_RATE = 0.1


class Baselines(Protocol):
    """Ways to use the untouched base for a problem; all are functions of what it answers, (n, F).

    What an answer is (logits, features) is the kind's own business: `Task` has the base give it.
    """

    @property
    def problem(self) -> Problem:
        """What the outputs mean."""

    @property
    def reference(self) -> str:
        """The one that a result is held against."""

    def predictions(self, answers: Tensor) -> dict[str, Tensor]:
        """Predicted outputs (n) of each from the base's answers (n, F); -1 is none."""

    def outputs(self, answers: Tensor) -> Tensor:
        """What a search may be taught: outputs (n, K) of the one it is held against."""

    def bars(self, answers: Tensor, targets: Tensor) -> Bars:
        """Their accuracies on given (validation) answers."""

    def headed(self, base: BaseModel, kind: Head, *, seed: int) -> Headed:
        """A copy of the base module with the head of ``kind`` that a search starts from."""

    def starts_well(self, head: nn.Module) -> bool:
        """Whether a model with that head is a point of the walk before the first step."""

    def shift(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What to add to a result's outputs (n, K) so that it decides as they do, (K)."""


@dataclass(frozen=True)
class LabelBaselines:
    """Three ways to use the base for labels of its own; all are functions of its logits.

    *full*: argmax over all N labels (a label outside the problem is wrong). *restricted*: argmax
    over the problem's labels; for one label against the rest the base's log odds of the label over
    ``threshold``, set where validation is best. *head-only*: the paper's head (ReLU, Linear) on the
    logits, trained on the training samples, nothing removed, at its best epoch on validation.
    """

    problem: Problem
    members: Sequence[Sequence[int]]
    threshold: float
    head: AppendHead
    reference: str = "restricted"

    def outputs(self, logits: Tensor) -> Tensor:
        """Restricted logits (n, K), the threshold taken in; argmax is the restricted prediction."""
        outputs = restrict(logits, self.members)
        if self.problem.kind == "one-vs-rest":
            outputs = outputs + torch.tensor([self.threshold, 0.0], device=logits.device)
        return outputs

    @torch.no_grad()
    def predictions(self, logits: Tensor) -> dict[str, Tensor]:
        """Predicted outputs (n) of each baseline from the base's logits (n, N); -1 is none."""
        return {
            "full": self._outputs_of_labels(logits.argmax(1)),
            "restricted": self._restricted(logits),
            "head_only": self.head(logits).argmax(1),
        }

    def bars(self, logits: Tensor, targets: Tensor) -> Bars:
        """Full and restricted accuracy on given (validation) logits."""
        found = self.predictions(logits)
        right = {name: share_right(found[name], targets).value for name in ("full", "restricted")}
        return Bars(right, samples=len(targets))

    def headed(self, base: BaseModel, kind: Head, *, seed: int) -> Headed:
        """The base with a new head; a ``slice`` one has the threshold in it."""
        model = attach_head(
            copy.deepcopy(base.module),
            kind,
            self.members,
            example=base.example(),
            seed=seed,
            layer=base.head_layer,
        )
        if isinstance(model.head, SliceHead) and self.problem.kind == "one-vs-rest":
            with torch.no_grad():
                model.head.bias[0] = self.threshold
        return model

    def starts_well(self, head: nn.Module) -> bool:
        """A ``slice`` head gives the base's own answers; others have yet to be trained."""
        return isinstance(head, SliceHead)

    def shift(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """For one label against the rest a threshold of its own, as *restricted* has one.

        It is set where these (validation) outputs are best; zero where nothing is gained.
        """
        found = torch.zeros(len(self.members))
        if self.problem.kind == "one-vs-rest":
            found[0] = best_threshold(outputs[:, 1] - outputs[:, 0], targets)
            before, after = (
                share_right(each.argmax(1), targets).value for each in (outputs, outputs + found)
            )
            if after <= before:
                found.zero_()
        return found

    def _restricted(self, logits: Tensor) -> Tensor:
        if self.problem.kind == "one-vs-rest":
            return self.outputs(logits).argmax(1)
        chosen = torch.tensor([label for group in self.members for label in group])
        return self._outputs_of_labels(chosen[logits[:, chosen].argmax(1)])

    def _outputs_of_labels(self, labels: Tensor) -> Tensor:
        """The output each base label belongs to, -1 for none."""
        table = torch.full(
            (max(int(labels.max()), *(max(group) for group in self.members)) + 1,), -1
        )
        for output, group in enumerate(self.members):
            table[list(group)] = output
        return table[labels]


def fit_label_baselines(
    problem: Problem,
    members: Sequence[Sequence[int]],
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    *,
    seed: int,
) -> LabelBaselines:
    """Fit threshold and head; ``train`` and ``validation`` are (base logits, targets)."""
    threshold = 0.0
    if problem.kind == "one-vs-rest":
        outputs = restrict(validation[0], members)
        threshold = best_threshold(outputs[:, 1] - outputs[:, 0], validation[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = AppendHead(train[0].shape[1], len(members))
    optimizer = torch.optim.Adam(head.parameters(), lr=HEAD_RATE)
    weights = class_weights(problem, train[1])
    loss = partial(F.cross_entropy, weight=weights)
    fit_head(head, optimizer, train, validation, epochs=HEAD_EPOCHS, seed=seed, loss=loss)
    return LabelBaselines(problem, members, threshold, head)


def class_weights(problem: Problem, targets: Tensor) -> Tensor | None:
    """How much a sample of each output counts, so that label and rest count the same; else None.

    >>> class_weights(Problem.one_vs_rest("cat"), torch.tensor([0, 0, 0, 1])).tolist()
    [0.6666666865348816, 2.0]
    """
    counts = targets.bincount(minlength=len(problem.outputs))
    if problem.kind != "one-vs-rest" or len(counts.unique()) == 1:
        return None
    return len(targets) / (len(counts) * counts.clamp_min(1))


def best_threshold(odds: Tensor, targets: Tensor) -> float:
    """The threshold on ``odds`` (n) that gets most of the 0/1 ``targets`` (n) right.

    >>> best_threshold(torch.tensor([-2.0, -1.0, 1.0, 3.0]), torch.tensor([0, 0, 1, 1]))
    0.0

    Midway between two samples that differ; among equally good ones the middle one.
    """
    ordered, places = odds.sort()
    positive = targets.cpu()[places.cpu()].long()
    zero = positive.new_zeros(1)
    below = torch.cat([zero, (1 - positive).cumsum(0)])  # negatives rightly below the cut
    above = positive.sum() - torch.cat([zero, positive.cumsum(0)])
    edges = torch.cat([ordered[:1] - 1, ordered, ordered[-1:] + 1])
    right = (below + above).masked_fill((edges[:-1] == edges[1:]).cpu(), -1)  # no cut in a tie
    best = (right == right.max()).nonzero().flatten()
    cut = int(best[len(best) // 2])
    return float((edges[cut] + edges[cut + 1]) / 2)


def fit_head(
    head: _Trained,
    optimizer: torch.optim.Optimizer,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    *,
    epochs: int,
    seed: int,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> _Trained:
    """Train ``head`` in place on (answers, targets); it ends as it was at its best epoch."""
    generator = torch.Generator().manual_seed(seed)
    best, state = -1.0, {name: value.clone() for name, value in head.state_dict().items()}
    for _ in range(epochs):
        for numbers in torch.randperm(len(train[0]), generator=generator).split(HEAD_BATCH):
            optimizer.zero_grad()
            loss(head(train[0][numbers]), train[1][numbers]).backward()
            optimizer.step()
        with torch.no_grad():
            right = share_right(head(validation[0]).argmax(1), validation[1]).value
        if right > best:
            best, state = right, {name: value.clone() for name, value in head.state_dict().items()}
    head.load_state_dict(state)
    return head.requires_grad_(False)
