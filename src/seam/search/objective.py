"""The task loss of a search: true labels, the base's own restricted answers, or a mix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional as F

from seam.search.samples import Batch


@dataclass(frozen=True)
class Teacher:
    """The base's logits of the training samples, asked for once a view and kept.

    ``answers`` gives those of all samples, (n, K), in a view, or as they are (None).
    """

    answers: Callable[[int | None], Tensor]
    _known: dict[int | None, Tensor] = field(default_factory=dict)

    def __call__(self, batch: Batch) -> Tensor:
        """The answers for a batch, (batch, K), on its images' device."""
        if batch.view not in self._known:
            self._known[batch.view] = self.answers(batch.view).to(batch.images.device)
        known = self._known[batch.view]
        return known[batch.numbers.to(known.device)]


@dataclass(frozen=True)
class Objective:
    """``(1 - distill) * cross entropy + distill * T^2 * KL(teacher / T || outputs / T)``.

    T is the ``temperature`` (Hinton et al. 2015, arXiv:1503.02531); ``weights`` (K) is how much a
    sample of each output (its true one) counts, or None for all the same. What the teacher says may
    be `corrected`.
    """

    distill: float = 0.0
    teacher: Teacher | None = None
    weights: Tensor | None = None
    temperature: float = 1.0
    corrected: bool = False

    def __call__(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean loss of a batch; outputs (batch, K)."""
        hard = F.cross_entropy(outputs, batch.targets, self.weights)
        if self.teacher is None:
            return hard
        taught = self.teacher(batch)
        if self.corrected:
            taught = corrected(taught, batch.targets)
        soft = (taught / self.temperature).softmax(1)
        # Cross entropy differs from the divergence by a constant only. It is the sample that has a
        # weight: with one on each term, other outputs than the teacher's would be the best.
        distilled = F.cross_entropy(outputs / self.temperature, soft, reduction="none")
        if self.weights is not None:
            distilled = distilled * self.weights[batch.targets]
        return (1 - self.distill) * hard + self.distill * self.temperature**2 * distilled.mean()


def grade(accuracy: float) -> float:
    """How much a teacher counts that is so often right.

    Samples of which a share e has a wrong label are worth as much as (1 - 2 e) ** 2 times as many
    with right ones. Source: Angluin and Laird, Learning From Noisy Examples, Machine Learning 1988.

    >>> [round(grade(accuracy), 2) for accuracy in (0.4, 0.6, 0.9, 1.0)]
    [0.0, 0.04, 0.64, 1.0]
    """
    return max(0.0, 2 * accuracy - 1) ** 2


def corrected(answers: Tensor, targets: Tensor) -> Tensor:
    """A teacher's answers (batch, K) made right: the highest one is that of the true output.

    Where it was another's, the two change places; all else that the teacher says stays. Source: Wen
    et al., Preparing Lessons: Improve Knowledge Distillation with Better Supervision, 2021
    (arXiv:1911.07471), section 3.1.

    >>> import torch
    >>> corrected(torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 1.0]]), torch.tensor([2, 1])).tolist()
    [[2.0, 1.0, 3.0], [0.0, 5.0, 1.0]]
    """
    highest, first = answers.max(1, keepdim=True)
    true = targets.unsqueeze(1)
    return answers.scatter(1, first, answers.gather(1, true)).scatter(1, true, highest)
