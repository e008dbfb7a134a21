"""A base model, a problem and its data, ready to be searched and measured."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from seam.artefacts.run import RunFolder, environment
from seam.core.problem import Problem
from seam.data.prepare import DataSource, ProblemData, prepare
from seam.errors import ConfigError
from seam.evaluation.accuracy import outputs_of
from seam.evaluation.cost import MacsMeter
from seam.jobs.baselines import Baselines, class_weights, fit_baselines
from seam.jobs.latency_budget import latency_meter
from seam.jobs.measure import Costs
from seam.jobs.observe import Observer, Silent
from seam.jobs.plan import Plan
from seam.masking.axes import Axis, leave_out
from seam.masking.channels import find_axes
from seam.masking.gates import ChannelSet, Meter
from seam.masking.head import Headed, SliceHead, attach_head
from seam.models.base import BaseModel
from seam.search.frontier import Bars
from seam.search.loop import SearchState, begin
from seam.search.objective import Objective, Teacher
from seam.shrink.check import Checked, checked


def prepared(base: BaseModel, problem: Problem, data: DataSource, settings: Plan) -> ProblemData:
    """The data of a task, split and labelled for it, on the base's device."""
    return prepare(
        data,
        problem,
        base_labels=base.labels,
        preprocessing=base.preprocessing,
        config=settings.data,
        seed=settings.seed,
        device=base.example().device,
    )


class Task:
    """A base model, a problem and its data, with the baselines: what search and evaluation need."""

    def __init__(self, base: BaseModel, problem: Problem, data: DataSource, settings: Plan) -> None:
        base.check()
        base = base.in_evaluation()
        self.base, self.problem, self.settings = base, problem, settings
        self._axes: Checked | None = None
        self.members = problem.members(base.labels)
        self.data = prepared(base, problem, data, settings)
        samples = self.data.search
        self._train = outputs_of(base.module, samples.train)
        self._validation = outputs_of(base.module, samples.validation)
        self.baselines: Baselines = fit_baselines(
            problem,
            self.members,
            train=(self._train, samples.train.targets),
            validation=(self._validation, samples.validation.targets),
            seed=settings.seed,
        )

    @cached_property
    def bars(self) -> Bars:
        """The baselines' accuracies on validation data."""
        return self.baselines.bars(self._validation, self.data.search.validation.targets)

    def provenance(self) -> dict[str, Any]:
        """What every figure of this task depends on, beside its settings."""
        used = environment()
        return {
            "seed": self.settings.seed,
            "split_hash": self.data.split_hash,
            "samples": self.data.sizes(),
            "device": str(self.base.example().device),
            "threads": used["threads"],
            "versions": {name: used["versions"].get(name) for name in ("seam", "torch")},
        }

    def facts(self) -> dict[str, Any]:
        """What a search would work on, as plain values."""
        state, _ = self.begin()
        config = self.settings.search
        return {
            "problem": self.problem.to_dict(),
            "preset": config.preset,
            "weights": {
                "base": sum(p.numel() for p in self.base.module.parameters()),
                "maskable": sum(mask.numel() for mask in state.kept().values()),
            },
            **self._channel_facts(state),
            "epochs": config.epochs,
            "steps": config.epochs * -(-len(self.data.search.train) // config.batch_size),
            "validation": {"full": self.bars.full, "restricted": self.bars.restricted},
            **self.provenance(),
        }

    def _channel_facts(self, state: SearchState) -> dict[str, Any]:
        if not isinstance(state.masks, ChannelSet):
            return {}
        units = {axis.name.removeprefix("backbone."): axis.size for axis in state.masks.axes}
        return {"channels": units, "left_whole": self.left_whole()}

    def objective(self) -> Objective:
        """The loss of the search; with distillation, the base's restricted answers in it."""
        distill = self.settings.search.distill
        device = self.base.example().device
        weights = class_weights(self.problem, self.data.search.train.targets)
        if weights is not None:
            weights = weights.to(device)
        if not distill:
            return Objective(weights=weights)
        return Objective(distill, Teacher(self._answers), weights, self.settings.search.temperature)

    def _answers(self, view: int | None) -> Tensor:
        """The base's restricted logits of the training samples, (n, K)."""
        known = view is None
        logits = (
            self._train
            if known
            else outputs_of(self.base.module, self.data.search.train, view=view)
        )
        return self.baselines.restricted_outputs(logits)

    def begin(
        self, folder: RunFolder | None = None, observer: Observer | None = None
    ) -> tuple[SearchState, Costs]:
        """A search on a copy of the base module, and the means to count its cost.

        A budget in time takes its table of latencies from ``folder``, or measures it; ``observer``
        is told.
        """
        config, model = self.settings.search, self._headed()
        costs = Costs(self.base.module, model, self.base.example())
        if config.granularity == "weight":
            return begin(model, config, exclude=self.settings.exclude), costs
        meter: Meter
        if config.channels.cost == "macs":
            meter = MacsMeter.of(model, self.base.example(), base=costs.base_macs)
        else:
            meter = latency_meter(
                self.base.module,
                model,
                self.base.example(),
                channels=config.channels,
                folder=folder,
                observer=observer or Silent(),
            )
        return begin(model, config, axes=self.axes(model), meter=meter), costs

    def costs(self) -> Costs:
        """The means to count what a masked model costs."""
        return Costs(self.base.module, self._headed(), self.base.example())

    def _headed(self) -> Headed:
        """A copy of the base module with the problem's head."""
        config = self.settings.search
        model = attach_head(
            copy.deepcopy(self.base.module),
            config.head,
            self.members,
            example=self.base.example(),
            seed=self.settings.seed,
        )
        if isinstance(model.head, SliceHead) and self.problem.kind == "one-vs-rest":
            with torch.no_grad():
                model.head.bias[0] = self.baselines.threshold
        return model

    def axes(self, model: nn.Module) -> list[Axis]:
        """The axes of a headed base along which removal was seen to change nothing by itself.

        Raises:
            ConfigError: there is none.
        """
        if self._axes is None:
            axes = leave_out(find_axes(model, self.base.example()), self.settings.exclude)
            self._axes = checked(model, axes, self.base.example())
        if not self._axes.axes:
            reasons = "".join(f" ({n}: {reason})" for n, reason in [*self.left_whole().items()][:1])
            raise ConfigError(
                f"no channel of the base model can be removed{reasons}; choose --granularity weight"
            )
        return self._axes.axes

    def left_whole(self) -> dict[str, str]:
        """Layers whose channels could not be removed without a change, and what happened."""
        refused = self._axes.refused if self._axes is not None else {}
        return {name.removeprefix("backbone."): reason for name, reason in refused.items()}
