"""The baselines that fit a problem, and the base's answers they are functions of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from seam.core.problem import Problem
from seam.evaluation.accuracy import outputs_of
from seam.jobs.baselines import Baselines, fit_label_baselines
from seam.jobs.new_labels import fit_new_label_baselines, on_features
from seam.models.base import BaseModel
from seam.search.frontier import Bars
from seam.search.samples import SearchData


class Answers(nn.Module):
    """The base's own outputs for a problem, with gradients: of the baseline that a result meets."""

    def __init__(self, reader: nn.Module, baselines: Baselines) -> None:
        super().__init__()
        self.reader, self._baselines = reader, baselines

    def forward(self, images: Tensor) -> Tensor:
        """(batch, K) for preprocessed images."""
        return self._baselines.outputs(self.reader(images))


@dataclass(frozen=True)
class Compared:
    """The baselines; and ``reader``, the base as far as its answers go.

    ``train`` and ``validation`` are its answers to those samples, (n, F).
    """

    baselines: Baselines
    reader: nn.Module
    samples: SearchData
    train: Tensor
    validation: Tensor

    @cached_property
    def bars(self) -> Bars:
        """The baselines' accuracies on validation data."""
        return self.baselines.bars(self.validation, self.samples.validation.targets)

    @cached_property
    def restricted(self) -> Tensor | None:
        """What the restricted base predicts of the validation samples, (n), where it can."""
        return self.baselines.predictions(self.validation).get("restricted")

    @cached_property
    def answers(self) -> Answers:
        """The base as the baseline that a result is held against, (batch, K)."""
        return Answers(self.reader, self.baselines)

    def taught(self, view: int | None) -> Tensor:
        """What a search may be taught of the training samples in a view, outputs (n, K)."""
        known = view is None
        answers = self.train if known else outputs_of(self.reader, self.samples.train, view=view)
        return self.baselines.outputs(answers)


def compare(base: BaseModel, problem: Problem, samples: SearchData, *, seed: int) -> Compared:
    """Ask the base once for its answers to all samples, and fit the baselines on them.

    For labels of the base's own these are its logits; for new ones the features behind them.

    Raises:
        LabelError: a label is unknown to the base.
        ModelError: the labels are new, and the base has no head that can be told apart.
    """
    baselines: Baselines
    reader, fresh = base.module, None
    if problem.kind == "new-labels":
        fresh = on_features(base, problem, seed=seed)
        reader = fresh.backbone
    train, validation = (outputs_of(reader, part) for part in (samples.train, samples.validation))
    learned = (train, samples.train.targets), (validation, samples.validation.targets)
    if fresh is not None:
        baselines = fit_new_label_baselines(problem, fresh.head, *learned, seed=seed)
    else:
        baselines = fit_label_baselines(problem, problem.members(base.labels), *learned, seed=seed)
    return Compared(baselines, reader, samples, train, validation)
