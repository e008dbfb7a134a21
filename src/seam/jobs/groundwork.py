"""What runs that differ only in how they search one problem have in common, made once for all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from seam.core.problem import Problem
from seam.data.prepare import ProblemData
from seam.jobs.baselines import Baselines
from seam.jobs.compared import Compared
from seam.jobs.plan import Plan
from seam.models.base import BaseModel

STEERING = ("preset", "epochs", "pressure", "rates", "finetune")
"""Settings of a search that say how far and how fast it goes, not where it starts."""


@dataclass(frozen=True)
class Groundwork:
    """A problem's samples, the base's answers to them, and the state of a search before its steps.

    ``train``, ``validation`` and ``test`` are the base's answers, (n, F). ``state`` is what
    `SearchState.tensors` gives; None where each search has to look for itself.
    """

    data: ProblemData
    baselines: Baselines
    train: Tensor
    validation: Tensor
    test: Tensor
    state: Mapping[str, Tensor] | None

    def compared(self, base: BaseModel) -> Compared:
        """The baselines, on a base that is equal to the one that answered."""
        parts = self.data.search, self.train, self.validation
        return Compared(self.baselines, base.module, *parts)


def common(problem: Problem, settings: Plan) -> str:
    """What two runs on the same base and data must have alike to share a groundwork.

    >>> from seam.jobs.plan import plan
    >>> problem = Problem.of(["7"])
    >>> common(problem, plan(problem, keep=0.1)) == common(problem, plan(problem, keep=0.2))
    True
    """
    values = {"problem": problem.to_dict(), "data": settings.data.to_dict(), "seed": settings.seed}
    return json.dumps(values, sort_keys=True)


def same_start(settings: Plan) -> str | None:
    """What two such runs must have alike to start from the same state; None: they cannot.

    Channels start anew at each level, by what a runtime takes on the machine.

    >>> from seam.jobs.plan import plan
    >>> problem = Problem.of(["7"])
    >>> same_start(plan(problem, epochs=2)) == same_start(plan(problem, batch_size=8))
    False
    """
    if settings.search.granularity != "weight":
        return None
    search = {n: v for n, v in settings.search.to_dict().items() if n not in STEERING}
    return json.dumps({"search": search, "exclude": settings.exclude}, sort_keys=True)
