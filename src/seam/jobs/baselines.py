"""What a result is held against: the base model used whole, restricted, and with a trained head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from seam.core.problem import Problem
from seam.evaluation.accuracy import share_right
from seam.masking.head import AppendHead, restrict
from seam.search.frontier import Bars

HEAD_EPOCHS = 20
HEAD_BATCH = 64
HEAD_RATE = 0.1


@dataclass(frozen=True)
class Baselines:
    """Three ways to use the untouched base for a problem; all are functions of its logits.

    *full*: argmax over all N labels (a label outside the problem is wrong). *restricted*: argmax
    over the problem's labels; for one label against the rest the base's log odds of the label over
    ``threshold``, set where validation is best. *head-only*: the paper's head (ReLU, Linear) on the
    logits, trained on the training samples, nothing removed, at its best epoch on validation.
    """

    problem: Problem
    members: Sequence[Sequence[int]]
    threshold: float
    head: AppendHead

    def restricted_outputs(self, logits: Tensor) -> Tensor:
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
        return Bars(
            share_right(found["full"], targets).value,
            share_right(found["restricted"], targets).value,
        )

    def _restricted(self, logits: Tensor) -> Tensor:
        if self.problem.kind == "one-vs-rest":
            return self.restricted_outputs(logits).argmax(1)
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


def fit_baselines(
    problem: Problem,
    members: Sequence[Sequence[int]],
    *,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    seed: int,
) -> Baselines:
    """Fit threshold and head; ``train`` and ``validation`` are (base logits, targets)."""
    threshold = 0.0
    if problem.kind == "one-vs-rest":
        outputs = restrict(validation[0], members)
        threshold = best_threshold(outputs[:, 1] - outputs[:, 0], validation[1])
    weights = class_weights(problem, train[1])
    head = _fit_head(len(members), train, validation, weights, seed)
    return Baselines(problem, members, threshold, head)


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


def _fit_head(
    outputs: int,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    weights: Tensor | None,
    seed: int,
) -> AppendHead:
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = AppendHead(train[0].shape[1], outputs)
    optimizer = torch.optim.Adam(head.parameters(), lr=HEAD_RATE)
    best, state = -1.0, {name: value.clone() for name, value in head.state_dict().items()}
    for _ in range(HEAD_EPOCHS):
        for numbers in torch.randperm(len(train[0]), generator=generator).split(HEAD_BATCH):
            optimizer.zero_grad()
            loss = F.cross_entropy(head(train[0][numbers]), train[1][numbers], weights)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right = share_right(head(validation[0]).argmax(1), validation[1]).value
        if right > best:
            best, state = right, {name: value.clone() for name, value in head.state_dict().items()}
    head.load_state_dict(state)
    return head.requires_grad_(False)
