"""What can be done with a run once its search is over: choose again, measure again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seam.artefacts.mirroring import NOTE, WORK, mirroring
from seam.artefacts.run import RunFolder
from seam.core.pick import Pick
from seam.data.prepare import DataSource
from seam.errors import ConfigError, RunFolderError
from seam.evaluation.accuracy import first_images
from seam.evaluation.latency import LatencyPlan
from seam.evaluation.runtimes import SUFFIXES
from seam.exporting.sidecar import FILE, ExportError, read_sidecar
from seam.jobs.latency import speed_and_size
from seam.jobs.observe import Observer, Silent
from seam.jobs.record import may_record, record_latency
from seam.jobs.reopen import Reopened, reopen, task_of
from seam.jobs.result import Result, finish, measure, renamed, save_predictions
from seam.jobs.walk import Walk
from seam.models.base import BaseModel


@mirroring("run", WORK, returned=renamed)
def pick_again(
    run: str | Path,
    rule: Pick,
    *,
    base: BaseModel | None = None,
    data: DataSource | None = None,
    device: str = "cpu",
    observer: Observer | None = None,
) -> Result:
    """Choose another point of a run's frontier, without a search.

    >>> pick_again("runs/seven", Pick(rule="keep", value=0.05)).report["density"]  # doctest: +SKIP

    The run's adapter and report become those of the new point. The run may be unfinished: the
    points it has reached so far are there to choose from.

    Args:
        run: the run folder, or its URL.
        rule: how the point is chosen.
        base: the base model, where the run folder does not say how to load it.
        data: the run's data, where its folder does not say what it was.
        device: where to run the base model that is loaded.
        observer: told how the job gets on.

    Raises:
        RunFolderError: the run has no points yet, or its data has changed.
        BaseMismatchError: the base model is not the one the run was made from.
        ConfigError: no point fits the rule.
    """
    start = time.monotonic()
    observer = observer or Silent()
    folder = RunFolder(Path(run))
    settings = folder.settings()
    if folder.load_state() is None:
        raise RunFolderError(
            f"run '{run}' has no points yet; run {folder.command} with its settings first"
        )
    task = task_of(settings, base, data, device, rule)
    observer.stage("measuring on test data")
    walk = Walk(task, folder, observer)
    with folder.begun(settings, task.provenance()):
        walk.resume()
        return finish(task, walk, folder, start)


@mirroring("run", NOTE)
def evaluate(
    run: str | Path,
    *,
    base: BaseModel | None = None,
    data: DataSource | None = None,
    device: str = "cpu",
    latency: bool | LatencyPlan = False,
    int8: bool = False,
) -> dict[str, Any]:
    """Measure a finished run again; returns its report with the figures measured now.

    >>> evaluate("runs/seven")["accuracy"]["reengineered"]["value"]  # doctest: +SKIP
    >>> evaluate("runs/seven", latency=True)["latency"]["torch"]["1"]["ratio"]  # doctest: +SKIP

    On other data the report says nothing of ``validation``, which was the run's own. Predictions
    and latency on the run's own data are kept in ``RUN/measured`` for `seam.report`, where the
    folder can be written.

    Args:
        run: the run folder, or its URL.
        base: the base model, where the run folder does not say how to load it.
        data: other data to measure on; by default the run's own. The baselines' threshold and head
            are fitted on its training part.
        device: where to run it. Latency is that of the CPU.
        latency: time base and result against each other, and measure their size and memory; a plan
            says where and how, by default wherever it can be done.
        int8: time the 8-bit models that were exported, instead of the one in float32.

    Raises:
        RunFolderError: the run has not finished.
        BaseMismatchError: the base model is not the one the run was made from.
        ConfigError: ``int8`` without ``latency``.
        MissingExtraError: a runtime that the plan names is not installed.
        ExportError: there is no 8-bit export, or it is damaged.
    """
    files = files_to_time(run, latency=latency, int8=int8)
    opened = reopen(run, base=base, data=data, device=device)
    return remeasure(opened, latency=latency, files=files)


def files_to_time(
    run: str | Path, *, latency: bool | LatencyPlan, int8: bool
) -> dict[str, Path] | None:
    """The 8-bit models of a run where those are to be timed; None where the float one is.

    Raises:
        ConfigError: ``int8`` without ``latency``.
        ExportError: there is no 8-bit export, or it is damaged.
    """
    if int8 and not latency:
        raise ConfigError("int8 says what to time; ask for latency too (--latency)")
    return quantized_files(RunFolder(Path(run))) if int8 else None


def remeasure(
    opened: Reopened,
    *,
    latency: bool | LatencyPlan = False,
    files: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """The report of a reopened run with what is measured now.

    Args:
        opened: the run.
        latency: as `evaluate`'s.
        files: of 8-bit models, which are timed instead of the float one.
    """
    task, model = opened.task, opened.model
    measured, predictions = measure(task, opened.adapter, model, task.costs())
    measured["model"] = {**opened.report["model"], **measured["model"]}
    report = {**opened.report, **measured}
    if not opened.own:
        del report["validation"]  # what chose was of the run's own data
    if latency:
        timing = LatencyPlan() if latency is True else latency
        report |= speed_and_size(
            task.base.module,
            None if files else model.module,
            first_images(task.data.test, max(timing.batches)),
            kind="quantized" if files else model.facts["kind"],
            plan=timing,
            files=files,
        )
    if may_record(opened.folder, own=opened.own):
        save_predictions(task, predictions, opened.folder)
        if latency:
            record_latency(opened.folder, report)
    return report


def quantized_files(folder: RunFolder) -> dict[str, Path]:
    """The 8-bit models that `seam.export` wrote, by the runtime that opens them.

    Raises:
        ExportError: there is none, or one is damaged.
    """
    places = sorted(folder.path.glob(f"export/*-int8/{FILE}"))
    if not places:
        raise ExportError(
            f"run '{folder.path}' has no 8-bit export; "
            f"run seam export {folder.path} --to onnx,openvino --int8 first"
        )
    models = [read_sidecar(place).file for place in places]
    return {
        runtime: each for each in models for runtime, end in SUFFIXES.items() if each.suffix == end
    }
