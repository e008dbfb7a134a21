"""A run folder taken up again: the base, the data and the task that its settings describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seam.artefacts.adapter import Adapter, apply_adapter, load_adapter
from seam.artefacts.run import RunFolder
from seam.core.pick import Pick
from seam.core.problem import Problem
from seam.data.prepare import DataSource, ProblemData
from seam.errors import BaseMismatchError, RunFolderError
from seam.jobs.plan import Plan
from seam.jobs.shrunk import Finished, finished
from seam.jobs.task import Task, prepared
from seam.models.base import BaseModel
from seam.models.load import BaseSpec


@dataclass(frozen=True)
class Reopened:
    """A finished run with its base, its data and its model."""

    folder: RunFolder
    report: dict[str, Any]
    task: Task
    adapter: Adapter
    model: Finished

    @property
    def own(self) -> bool:
        """Whether the data is what the run was made on."""
        return bool(self.task.data.split_hash == self.report["split_hash"])


def reopen(
    run: str | Path,
    *,
    base: BaseModel | None = None,
    data: DataSource | None = None,
    device: str = "cpu",
) -> Reopened:
    """Open a finished run; arguments and errors as those of `seam.evaluate`."""
    folder = RunFolder(Path(run))
    settings, report = folder.settings(), folder.report()
    adapter = load_adapter(folder.adapter)
    task = task_of(settings, base, data, device)
    if data is None and task.data.split_hash != report["split_hash"]:
        raise RunFolderError(
            f"the data of run '{run}' has changed since; restore it, or name other data with --data"
        )
    model = finished(task, adapter, apply_adapter(adapter, task.base))
    return Reopened(folder, report, task, adapter, model)


def base_of(settings: Mapping[str, Any], device: str = "cpu") -> BaseModel:
    """The base model that a run folder's settings name.

    Raises:
        RunFolderError: they name none (the base was an own module).
    """
    if settings.get("model") is None:
        raise RunFolderError(
            "the run was made from an own module, which its folder cannot load; "
            "pass it from Python as base="
        )
    try:
        spec = BaseSpec(**settings["model"])
    except TypeError as error:
        raise _damaged(error) from error
    return spec.load(device)


def data_of(
    settings: Mapping[str, Any],
    base: BaseModel,
    data: DataSource | None,
    *,
    split_hash: str | None = None,
) -> ProblemData:
    """The data that a run folder's settings describe, on the base's device; without its baselines.

    Args:
        settings: as ``config.yaml`` holds them.
        base: the base model of the run.
        data: other data than the run's own.
        split_hash: what the run's own data must have.

    Raises:
        BaseMismatchError: the base model is not the one the run was made from.
        RunFolderError: the data has changed, or is not named.
    """
    problem, plan, source = _described(settings, base, data, None)
    found = prepared(base, problem, source, plan)
    if data is None and split_hash not in (None, found.split_hash):
        raise RunFolderError(
            "the run's data has changed since; restore it, or name other data with --data"
        )
    return found


def task_of(
    settings: Mapping[str, Any],
    base: BaseModel | None,
    data: DataSource | None,
    device: str,
    rule: Pick | None = None,
) -> Task:
    """The task that a run folder's settings describe."""
    base = base or base_of(settings, device)
    problem, plan, source = _described(settings, base, data, rule)
    return Task(base, problem, source, plan)


def _described(
    settings: Mapping[str, Any], base: BaseModel, data: DataSource | None, rule: Pick | None
) -> tuple[Problem, Plan, DataSource]:
    """Problem, plan and data of a run folder's settings, once ``base`` is known to be its base."""
    try:
        made_from = settings["base"]["fingerprint"]
        problem, plan = Problem.from_dict(settings["problem"]), Plan.from_dict(settings, rule)
        source = data if data is not None else settings["data_source"]
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(error) from error
    if made_from != base.fingerprint:
        raise BaseMismatchError(
            f"the run was made from a base model with fingerprint {str(made_from)[:12]}, this one "
            f"({base.source}) has {base.fingerprint[:12]}; give the weights it was made from"
        )
    if source is None:
        raise RunFolderError(
            "the run was made on own data, which its folder cannot load; name it with --data"
        )
    return problem, plan, source


def _damaged(error: Exception) -> RunFolderError:
    return RunFolderError(
        f"the run folder's config.yaml is damaged ({type(error).__name__}: {error}); "
        "restore it, or start again with another --out"
    )
