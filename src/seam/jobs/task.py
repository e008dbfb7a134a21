"""A base model, a problem and its data, ready to be searched and measured."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor, nn

from seam.artefacts.environment import environment
from seam.artefacts.run import RunFolder
from seam.core.problem import Problem
from seam.data.prepare import DataSource, ProblemData, prepare
from seam.errors import ConfigError
from seam.evaluation.accuracy import outputs_of
from seam.evaluation.cost import MacsMeter, WeightsMeter
from seam.jobs.baselines import class_weights
from seam.jobs.compared import compare
from seam.jobs.groundwork import Groundwork
from seam.jobs.latency_budget import latency_meter
from seam.jobs.measure import Costs
from seam.jobs.observe import Observer, Silent
from seam.jobs.plan import Plan
from seam.jobs.weakness import check_images, shown
from seam.masking.axes import Axis, leave_out
from seam.masking.channels import find_axes
from seam.masking.gates import ChannelSet, Meter
from seam.masking.head import Headed
from seam.models.base import BaseModel
from seam.search.loop import SearchState, begin, in_precision
from seam.search.objective import Objective, Teacher, grade
from seam.search.samples import SearchData
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

    def __init__(
        self,
        base: BaseModel,
        problem: Problem,
        data: DataSource,
        settings: Plan,
        *,
        groundwork: Groundwork | None = None,
    ) -> None:
        base.check()
        check_images(base, settings.search)
        base = base.in_evaluation()
        self.base, self.problem, self.settings = base, problem, settings
        self._axes: Checked | None = None
        if groundwork is not None:
            self.data, self.compared = groundwork.data, groundwork.compared(base)
        else:
            self.data = prepared(base, problem, data, settings)
            self.compared = compare(base, problem, self.data.search, seed=settings.seed)
        self.groundwork = groundwork
        self.baselines = self.compared.baselines

    @cached_property
    def test_answers(self) -> Tensor:
        """The base's answers to the test samples, (n, F)."""
        if self.groundwork is not None:
            return self.groundwork.test
        return outputs_of(self.compared.reader, self.data.test)

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
            "epochs": config.all_epochs,
            "steps": config.all_epochs * -(-len(self.data.search.train) // config.batch_size),
            "validation": dict(self.compared.bars.accuracies),
            **self.provenance(),
        }

    def _channel_facts(self, state: SearchState) -> dict[str, Any]:
        if not isinstance(state.masks, ChannelSet):
            return {}
        units = {axis.name.removeprefix("backbone."): axis.size for axis in state.masks.axes}
        return {"channels": units, "left_whole": self.left_whole()}

    def shown(self) -> SearchData:
        """What the search is shown of the samples."""
        config, seed = self.settings.search, self.settings.seed
        return shown(self.base, self.problem, self.compared, config, seed=seed)

    def objective(self) -> Objective:
        """The loss of the search; with distillation, what the baselines teach in it."""
        config = self.settings.search
        distill = config.distill
        if config.graded:
            distill *= grade(self.compared.bars.accuracies[self.baselines.reference])
        device = self.base.example().device
        weights = class_weights(self.problem, self.data.search.train.targets)
        if weights is not None:
            weights = weights.to(device)
        if not distill:
            return Objective(weights=weights)
        teacher = Teacher(self._taught)
        return Objective(distill, teacher, weights, config.temperature, config.corrected)

    def _taught(self, view: int | None) -> Tensor:
        with in_precision(self.settings.search, self.base.example().device):
            return self.compared.taught(view).float()

    def begin(
        self, folder: RunFolder | None = None, observer: Observer | None = None
    ) -> tuple[SearchState, Costs]:
        """A search on a copy of the base module, and the means to count its cost.

        A budget in time takes its table of latencies from ``folder``, or measures it; ``observer``
        is told.
        """
        config, model = self.settings.search, self.headed()
        costs = Costs(self.base.module, model, self.base.example())
        if config.granularity == "weight":
            return begin(model, config, exclude=self.settings.exclude), costs
        meter: Meter
        axes = self.axes(model)
        if config.channels.cost == "macs":
            meter = MacsMeter.of(model, self.base.example(), base=costs.base_macs)
        elif config.channels.cost == "weights":
            meter = WeightsMeter.of(model, axes)
        else:
            meter = latency_meter(
                self.base.module,
                model,
                self.base.example(),
                channels=config.channels,
                folder=folder,
                observer=observer or Silent(),
            )
        return begin(model, config, axes=axes, meter=meter), costs

    def costs(self) -> Costs:
        """The means to count what a masked model costs."""
        return Costs(self.base.module, self.headed(), self.base.example())

    def headed(self) -> Headed:
        """A copy of the base module with the problem's head, as the search starts."""
        kind, seed = self.settings.search.head, self.settings.seed
        return self.baselines.headed(self.base, kind, seed=seed)

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
