"""One run of a sweep, and what several have in common, in a worker's process."""

from __future__ import annotations

import json
from functools import lru_cache

import torch

from seam.core.problem import Problem
from seam.data.images import is_streamed
from seam.errors import SeamError, in_line, ran_out_of_memory
from seam.jobs.direct import reengineer
from seam.jobs.groundwork import Groundwork
from seam.jobs.plan import Plan
from seam.jobs.task import Task
from seam.models.base import BaseModel
from seam.models.load import BaseSpec
from seam.search.loop import start


def run_problem(
    base: BaseSpec,
    problem: Problem,
    data: str,
    settings: Plan,
    out: str,
    device: str,
    threads: int,
    groundwork: Groundwork | None = None,
) -> str | None:
    """Search one problem into ``out``, or go on with it; returns why that cannot be, or None.

    What the user can mend is returned, so that it is not tried again; the rest is raised.
    """
    torch.set_num_threads(threads)
    try:
        loaded = _loaded(base, device)
        reengineer(loaded, problem, data, out=out, settings=settings, groundwork=groundwork)
    except SeamError as error:
        return str(error)
    except Exception as error:
        if ran_out_of_memory(error):
            text = f"out of memory ({in_line(error)}); give fewer --workers, or a smaller batch"
            raise MemoryError(text) from error
        raise
    return None


def lay_groundwork(
    base: BaseSpec,
    problem: Problem,
    data: str,
    settings: Plan,
    device: str,
    threads: int,
    started: bool,
) -> Groundwork | None:
    """What all runs have in common that have the `common` part of ``settings``.

    With ``started`` that is the state before the first step too, as for runs with the `same_start`.
    None where they have to do without: labels are new, so that the base's answers are features;
    samples are streamed, as they do not fit in memory; or something is wrong, which each run will
    meet again and tell.
    """
    if problem.kind == "new-labels":
        return None
    torch.set_num_threads(threads)
    try:
        loaded = _loaded(base, device)
        task = Task(loaded, problem, data, settings)
        parts = task.data.search.train, task.data.search.validation, task.data.test
        if any(map(is_streamed, parts)):
            return None
        tensors = None
        if started:
            state, _ = task.begin()
            shown, objective = task.shown().train, task.objective()
            start(state, shown, settings.search, objective, seed=settings.seed)
            tensors = state.tensors()
        answers = task.compared.train, task.compared.validation, task.test_answers
    except Exception:
        return None
    return Groundwork(task.data, task.baselines, *answers, tensors)


def _loaded(base: BaseSpec, device: str) -> BaseModel:
    """The base model, which a worker's process loads once for all of its problems.

    What ``auto`` is, the worker's machine says.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return _load(json.dumps(base.to_dict(), sort_keys=True), device)


@lru_cache(maxsize=1)
def _load(base: str, device: str) -> BaseModel:
    return BaseSpec(**json.loads(base)).load(device)
