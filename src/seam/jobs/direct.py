"""Direct reuse: a trained model and a few of its labels in, a re-engineered model out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seam.artefacts.adapter import Adapter, BaseReference, apply_adapter, load_adapter, save_adapter
from seam.artefacts.run import RunFolder
from seam.core.config import Pick
from seam.core.problem import Problem
from seam.data.prepare import DataSource, ProblemData
from seam.errors import RunFolderError
from seam.jobs.measure import Costs, test_figures
from seam.jobs.observe import Observer, Silent
from seam.jobs.plan import Plan, plan
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.models.base import BaseModel
from seam.models.load import BaseSpec
from seam.search.frontier import Point, pick


@dataclass(frozen=True)
class Result:
    """A re-engineered model with its proof.

    ``model`` is a plain `nn.Module` giving (batch, K) outputs for preprocessed images; ``report``
    what ``report.json`` holds; ``predictions`` each method's predicted outputs on the test samples;
    ``history`` every point visited.
    """

    model: nn.Module
    adapter: Adapter
    frontier: list[Point]
    report: dict[str, Any]
    data: ProblemData
    predictions: dict[str, Tensor]
    history: list[dict[str, Any]]
    folder: Path | None


def reengineer(
    base: BaseModel,
    problem: Problem,
    data: DataSource,
    *,
    out: str | Path | None = None,
    settings: Plan | None = None,
    provenance: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
) -> Result:
    """Search the weights of ``base`` that ``problem`` needs, remove the rest, and measure.

    >>> base = BaseSpec(name="zoo:digits").load()
    >>> result = reengineer(base, Problem.one_vs_rest("7"), "digits", out="runs/seven")
    >>> result.report["accuracy"]["reengineered"]["n"]

    The base module itself is not changed. With ``out``, the same call continues an interrupted
    search and ends with the same bytes; with another pick it chooses again without a search.

    Args:
        base: the trained classifier.
        problem: the labels needed.
        data: what `seam.data.load.load_splits` takes.
        out: run folder; without it nothing is written and an interrupted search is lost.
        settings: from `plan`; by default the ``default`` preset.
        provenance: further settings to record in ``config.yaml``; ``model`` tells how to load the
            base again (`BaseSpec.to_dict`).
        observer: told how the job gets on.

    Raises:
        SeamError: the input is bad; the message is one line and names the mend.
    """
    start = time.monotonic()
    settings = settings or plan(problem)
    observer = observer or Silent()
    observer.stage("reading data")
    folder = None
    if out is not None:
        recorded = {
            "base": {"source": base.source, "fingerprint": base.fingerprint},
            "problem": problem.to_dict(),
            "data_source": str(data) if isinstance(data, (str, Path)) else None,
            **(provenance or {}),
            **settings.to_dict(),
        }
        folder = RunFolder.open(out, recorded)
    task = Task(base, problem, data, settings)
    walk = Walk(task, folder, observer)
    walk.run()
    observer.stage("measuring on test data")
    return finish(task, walk, folder, start)


def finish(task: Task, walk: Walk, folder: RunFolder | None, start: float) -> Result:
    """Build the chosen point's model, measure it on test data, write adapter and report."""
    settings, bars = task.settings, task.bars
    chosen = pick(walk.frontier, settings.pick, bars)
    adapter = adapter_of(task, walk.snapshot(chosen))
    model = apply_adapter(adapter, task.base)
    measured, predictions = measure(task, adapter, model, walk.costs)
    report = {
        **measured,
        "picked": {**settings.pick.to_dict(), "epoch": chosen.epoch},
        "validation": {
            "full": bars.full,
            "restricted": bars.restricted,
            "reengineered": chosen.validation_accuracy,
        },
        "frontier": [point.to_dict() for point in walk.frontier],
    }
    kept = ("accuracy", "density", "weights", "macs", "split_hash", "seed")
    adapter = replace(adapter, metrics={name: report[name] for name in kept})
    if folder is not None:
        report["adapter_bytes"] = save_adapter(adapter, folder.adapter)
    report["seconds"] = {
        "search": round(walk.seconds, 2),
        "total": round(time.monotonic() - start, 2),
    }
    if folder is not None:
        folder.write_json("report.json", report)
    history = [point.to_dict() for point in walk.points]
    where = folder.path if folder is not None else None
    return Result(model, adapter, walk.frontier, report, task.data, predictions, history, where)


def pick_again(run: str | Path, rule: Pick, *, observer: Observer | None = None) -> Result:
    """Choose another point of a finished run's frontier, without a search.

    >>> pick_again("runs/seven", Pick(rule="keep", value=0.05)).report["density"]  # doctest: +SKIP

    The run's adapter and report become those of the new point.
    """
    start = time.monotonic()
    folder = RunFolder(Path(run))
    settings = folder.settings()
    if folder.load_state() is None:
        raise RunFolderError(f"run '{run}' has no points yet; run its search first")
    base, data = base_of(settings), data_of(settings)
    problem = Problem.from_dict(settings["problem"])
    task = Task(base, problem, data, Plan.from_dict(settings, rule))
    walk = Walk(task, folder, observer or Silent())
    walk.resume()
    return finish(task, walk, folder, start)


def measure(
    task: Task, adapter: Adapter, model: nn.Module, costs: Costs
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything that is measured on the finished model and the test data; and the predictions."""
    figures, predictions = test_figures(task.base.module, model, task.baselines, task.data.test)
    values = {
        "problem": task.problem.to_dict(),
        "preset": task.settings.search.preset,
        **figures,
        "density": adapter.density,
        **costs.of(adapter.masks),
        "removal": "masked: removed weights are zeros that a dense runtime still multiplies",
        "samples": task.data.sizes(),
        "skipped": list(task.data.skipped),
        "seed": task.settings.seed,
        "split_hash": task.data.split_hash,
        "base": {"source": task.base.source, "fingerprint": task.base.fingerprint},
        "device": str(task.base.example().device),
        "threads": torch.get_num_threads(),
    }
    return values, predictions


def adapter_of(task: Task, snapshot: Mapping[str, Tensor]) -> Adapter:
    """A point of the frontier as an adapter."""

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): value
            for name, value in snapshot.items()
            if name.startswith(prefix)
        }

    return Adapter(
        masks=part("mask/"),
        head=part("head/"),
        delta=part("delta/"),
        head_kind=task.settings.search.head,
        problem=task.problem,
        preprocessing=task.base.preprocessing,
        base=BaseReference.of(task.base, task.problem),
        config=task.settings.search.to_dict(),
    )


def evaluate(
    run: str | Path,
    *,
    base: BaseModel | None = None,
    data: DataSource | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure a finished run again; returns its report with the figures measured now.

    >>> evaluate("runs/seven")["accuracy"]["reengineered"]["value"]  # doctest: +SKIP

    Args:
        run: the run folder.
        base: the base model, where the run folder does not say how to load it.
        data: other data to measure on; by default the run's own.
        device: where to run it.

    Raises:
        RunFolderError: the run has not finished.
        BaseMismatchError: the base model is not the one the run was made from.
    """
    folder = RunFolder(Path(run))
    settings, report = folder.settings(), folder.read_json("report.json")
    adapter = load_adapter(folder.adapter)
    task = Task(
        base or base_of(settings, device),
        adapter.problem,
        data if data is not None else data_of(settings),
        Plan.from_dict(settings),
    )
    model = apply_adapter(adapter, task.base)
    measured, _ = measure(task, adapter, model, task.begin()[1])
    return {**report, **measured}


def base_of(settings: Mapping[str, Any], device: str = "cpu") -> BaseModel:
    """The base model that a run folder's settings name.

    Raises:
        RunFolderError: they name none (the base was an own module).
    """
    if "model" not in settings:
        raise RunFolderError(
            "the run was made from an own module, which its folder cannot load; "
            "pass it from Python as base="
        )
    return BaseSpec(**settings["model"]).load(device)


def data_of(settings: Mapping[str, Any]) -> str:
    """The data that a run folder's settings name.

    Raises:
        RunFolderError: they name none (the data was an own data set).
    """
    if settings.get("data_source") is None:
        raise RunFolderError(
            "the run was made on own data, which its folder cannot load; name it with --data"
        )
    return str(settings["data_source"])
