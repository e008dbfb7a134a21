"""Direct reuse: a trained model and a few of its labels in, a re-engineered model out."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from seam.artefacts.mirroring import WORK, mirroring
from seam.artefacts.run import RunFolder
from seam.core.problem import Problem
from seam.data.folder import left_out
from seam.data.prepare import DataSource
from seam.jobs.groundwork import Groundwork
from seam.jobs.observe import Observer, Silent
from seam.jobs.plan import Plan, plan
from seam.jobs.pushing import pushing
from seam.jobs.ranks import check_ranks
from seam.jobs.result import Result, finish, renamed
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.models.base import BaseModel
from seam.search.parallel import ALONE, Ranks


@mirroring("out", WORK, returned=renamed)
def reengineer(
    base: BaseModel,
    problem: Problem,
    data: DataSource,
    *,
    out: str | Path | None = None,
    settings: Plan | None = None,
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
    groundwork: Groundwork | None = None,
) -> Result:
    """Search the weights of ``base`` that ``problem`` needs, remove the rest, and measure.

    >>> import seam
    >>> base = seam.load_base("zoo:digits")
    >>> problem = seam.Problem.one_vs_rest("7")
    >>> result = seam.reengineer(base, problem, "digits", settings=seam.plan(problem, epochs=2))
    >>> result.report["accuracy"]["reengineered"]["n"]
    122

    The base module itself is not changed. With ``out``, the same call continues an interrupted
    search and ends with the same bytes; with another pick it chooses again without a search.
    Nothing is written before the input is known to be good.

    Args:
        base: the trained classifier.
        problem: the labels needed.
        data: what `seam.data.load.load_splits` takes.
        out: run folder, or the URL of one, as ``s3://bucket/runs/a``; without it nothing is written
            and an interrupted search is lost.
        settings: from `plan`; by default the ``default`` preset.
        observer: told how the job gets on.
        ranks: from `seam.launched`, where several processes search together. Each calls this alike;
            the main one writes, the others see the same run folder.
        groundwork: what a sweep's runs on one problem have in common; here by default made anew.

    Raises:
        SeamError: the input is bad; the message is one line and names the mend.
    """
    start = time.monotonic()
    settings = settings or plan(problem)
    observer = pushing(out, observer or Silent())
    wanted = recorded(base, problem, data, settings)
    folder = RunFolder(Path(out)) if out is not None else None

    def begun() -> Walk:
        if folder is not None:
            folder.check(wanted)
        observer.stage("reading data")
        task = Task(base, problem, data, settings, groundwork=groundwork)
        if task.data.stray:
            observer.stage(left_out(task.data.stray))
        return Walk(task, folder, observer, ranks)

    check_ranks(settings, ranks)
    walk = ranks.agreed(begun)
    mine = folder if ranks.is_main else None
    with mine.begun(wanted, walk.task.provenance()) if mine is not None else nullcontext():
        ranks.wait()
        walk.run(wanted)
        observer.stage("measuring on test data")
        result = finish(walk.task, walk, mine, start)
        observer.finished(result.report, mine.path if mine is not None else None)
        return result


def recorded(base: BaseModel, problem: Problem, data: DataSource, settings: Plan) -> dict[str, Any]:
    """What ``config.yaml`` holds: all that decides a run but which point is picked."""
    return {
        "base": {"source": base.source, "fingerprint": base.fingerprint},
        "problem": problem.to_dict(),
        "model": base.recipe,
        "data_source": named_source(data),
        **settings.to_dict(),
    }


def named_source(data: DataSource) -> str | None:
    """Data as a run folder records it: a folder by its absolute path; None for an own set."""
    if not isinstance(data, (str, Path)):
        return None
    folder = Path(data).expanduser()
    return str(folder.resolve()) if folder.is_dir() else str(data)
