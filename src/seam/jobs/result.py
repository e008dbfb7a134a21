"""From a searched task to a measured result: model, adapter, report."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seam.artefacts.adapter import Adapter, BaseReference, apply_adapter, save_adapter
from seam.artefacts.adapter_file import recorded_digest
from seam.artefacts.measured import Predictions
from seam.artefacts.mirroring import named
from seam.artefacts.model_folder import save_model
from seam.artefacts.run import RunFolder
from seam.data.prepare import ProblemData
from seam.errors import ConfigError
from seam.evaluation.cost import executed_macs
from seam.evaluation.memory import size_bytes
from seam.jobs.bases import details_of
from seam.jobs.latency_budget import measured_ratio
from seam.jobs.measure import Costs, test_figures
from seam.jobs.shrunk import Finished, finished
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.search.frontier import Point, pick

SHARED = ("accuracy", "density", "weights", "macs")
REMOVAL = {
    "masked": "masked: removed weights are zeros that a dense runtime still multiplies",
    "shrunk": "shrunk: removed channels are gone, and a dense runtime does less",
}
PROVENANCE = ("seed", "split_hash", "device", "threads", "versions")


@dataclass(frozen=True)
class Result:
    """A re-engineered model with its proof.

    >>> import seam
    >>> problem = seam.Problem.one_vs_rest("7")
    >>> settings = seam.plan(problem, epochs=2)
    >>> result = seam.reengineer(seam.load_base("zoo:digits"), problem, "digits", settings=settings)
    >>> result.report["accuracy"]["reengineered"]["n"] == len(result.data.test)
    True

    ``model`` is a plain `nn.Module` giving (batch, K) outputs for preprocessed images; ``report``
    what ``report.json`` holds; ``predictions`` each method's predicted outputs on the test samples;
    ``history`` every point visited; ``folder`` the run folder, a string where that is a URL.
    """

    model: nn.Module
    adapter: Adapter
    frontier: list[Point]
    report: dict[str, Any]
    data: ProblemData
    predictions: dict[str, Tensor]
    history: list[dict[str, Any]]
    folder: Path | str | None

    def _repr_html_(self) -> str:
        """What a notebook shows: the table and the frontier."""
        # By name, for presentation is a higher layer than jobs, which do not need it to work.
        return str(import_module("seam.reporting.notebook").shown(self))


def finish(task: Task, walk: Walk, folder: RunFolder | None, start: float) -> Result:
    """Build the chosen point's model, measure it on test data, write adapter and report."""
    chosen, adapter, model = _chosen(task, walk)
    measured, predictions = measure(task, adapter, model, walk.costs)
    metrics = {name: measured[name] for name in (*SHARED, *PROVENANCE)}
    adapter = replace(adapter, metrics=metrics)
    if folder is not None:
        folder.forget_report()  # it speaks of the adapter that is now replaced
    size = save_adapter(adapter, folder.adapter) if folder is not None else None
    if folder is not None and model.manifest is not None:
        example = task.base.example()
        manifest = replace(model.manifest, adapter=recorded_digest(folder.adapter) or "")
        measured["model"]["bytes"] = save_model(folder.model, model.module, manifest, example)
    report = {
        **measured,
        "picked": {**task.settings.pick.to_dict(), "epoch": chosen.epoch},
        "validation": {
            **task.compared.bars.accuracies,
            "reengineered": chosen.validation_accuracy,
        },
        "frontier": [point.to_dict() for point in walk.frontier],
        "adapter_bytes": size,
        "processes": walk.ranks.count,
        "seconds": {
            "search": round(walk.seconds, 2),
            "total": round(time.monotonic() - start, 2),
        },
    }
    if folder is not None:
        save_predictions(task, predictions, folder)
        folder.write_json("report.json", report)
    history = [point.to_dict() for point in walk.points]
    where = folder.path if folder is not None else None
    return Result(
        model.module, adapter, walk.frontier, report, task.data, predictions, history, where
    )


def _chosen(task: Task, walk: Walk) -> tuple[Point, Adapter, Finished]:
    """The point that the rule picks, built; one for a budget in time is timed whole, too.

    The table that such a search steers by knows single layers. So a candidate that takes longer
    than asked is passed over for the next that is predicted to be faster.
    """
    rule, points = task.settings.pick, walk.frontier
    while True:
        chosen = pick(points, rule, task.compared.bars)
        adapter = adapter_of(task, walk.snapshot(chosen))
        model = finished(task, adapter, apply_adapter(adapter, task.base))
        if rule.rule != "keep_latency":
            return chosen, adapter, model
        channels = task.settings.search.channels
        ratio = measured_ratio(task.base.module, model.module, task.data.test, channels)
        model.facts["budget"] = {
            "asked": rule.value,
            "predicted": chosen.latency,
            "measured": ratio,
            "runtime": channels.runtime,
            "batch": channels.batch,
        }
        if ratio <= rule.value:
            return chosen, adapter, model
        points = [each for each in points if (each.latency or 0) < (chosen.latency or 0)]
        if not points:
            raise ConfigError(
                f"the smallest point takes {ratio:.2%} of the base's time in {channels.runtime} "
                f"at batch {channels.batch}; choose it with --out RUN "
                f"--keep-latency {min(1.0, math.ceil(100 * ratio) / 100)}, or search again with "
                "a smaller --final-latency"
            )


def renamed(result: Result) -> Result:
    """The result, with its folder called what the user did."""
    return replace(result, folder=named(result.folder))


def measure(
    task: Task, adapter: Adapter, model: Finished, costs: Costs
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything that is measured on the finished model and the test data; and the predictions."""
    module, found = model.module, costs.of(adapter.masks)
    answers, test = task.test_answers, task.data.test
    figures, predictions = test_figures(answers, module, task.baselines, test)
    if model.facts["kind"] == "shrunk":  # what is there is what counts
        macs = executed_macs(module, task.base.example())
        found["macs"] |= {"theoretical": macs, "executed": macs}
        found["weights"]["kept"] = sum(each.numel() for each in module.parameters())
    values = {
        "problem": task.problem.to_dict(),
        "preset": task.settings.search.preset,
        **figures,
        "density": adapter.density,
        **found,
        "size_bytes": {"base": size_bytes(task.base.module), "result": size_bytes(module)},
        "removal": REMOVAL[model.facts["kind"]],
        "model": dict(model.facts),
        "skipped": list(task.data.skipped),
        "base": {"source": task.base.source, "fingerprint": task.base.fingerprint},
        **task.provenance(),
    }
    return values, predictions


def save_predictions(task: Task, predictions: Mapping[str, Tensor], folder: RunFolder) -> None:
    """Record what each method predicted of the run's own test samples.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    places = task.data.test_places
    where = {}
    if places is not None:
        where = {"numbers": torch.from_numpy(places.numbers)}
        where["digests"] = torch.from_numpy(places.digests)
    Predictions(
        outputs=task.problem.outputs,
        targets=task.data.test.targets.cpu(),
        methods=predictions,
        **where,
    ).save(folder)


def adapter_of(task: Task, snapshot: Mapping[str, Tensor]) -> Adapter:
    """A point of the frontier as an adapter; values that are the base's own are left to it."""
    own = {f"delta/{name}": value for name, value in task.base.module.state_dict().items()}
    return Adapter.from_snapshot(
        {n: v for n, v in snapshot.items() if n not in own or not v.equal(own[n].to(v.device))},
        head_kind=task.settings.search.head,
        problem=task.problem,
        preprocessing=task.base.preprocessing,
        base=BaseReference.of(task.base, task.problem, details_of(task.base.recipe)),
        config=task.settings.search.to_dict(),
    )
