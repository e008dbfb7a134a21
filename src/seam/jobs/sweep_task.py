"""One problem of a sweep, in a worker's process."""

from __future__ import annotations

import json
from functools import lru_cache

import torch

from seam.core.problem import Problem
from seam.errors import SeamError, in_line, ran_out_of_memory
from seam.jobs.direct import reengineer
from seam.jobs.plan import Plan
from seam.models.base import BaseModel
from seam.models.load import BaseSpec


def run_problem(
    base: BaseSpec,
    problem: Problem,
    data: str,
    settings: Plan,
    out: str,
    device: str,
    threads: int,
) -> str | None:
    """Search one problem into ``out``, or go on with it; returns why that cannot be, or None.

    What the user can mend is returned, so that it is not tried again; the rest is raised.
    """
    torch.set_num_threads(threads)
    try:
        loaded = _loaded(json.dumps(base.to_dict(), sort_keys=True), device)
        reengineer(loaded, problem, data, out=out, settings=settings)
    except SeamError as error:
        return str(error)
    except Exception as error:
        if ran_out_of_memory(error):
            text = f"out of memory ({in_line(error)}); give fewer --workers, or a smaller batch"
            raise MemoryError(text) from error
        raise
    return None


@lru_cache(maxsize=1)
def _loaded(base: str, device: str) -> BaseModel:
    """The base model, which a worker's process loads once for all of its problems."""
    return BaseSpec(**json.loads(base)).load(device)
