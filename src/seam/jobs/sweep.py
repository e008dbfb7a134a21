"""Many problems on one base model: one run a problem, as Ray tasks, here or on a cluster."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from seam.artefacts.atomic import make_folder, write_bytes, write_text
from seam.artefacts.lock import held
from seam.artefacts.mirroring import SWEEP, mirroring
from seam.artefacts.run_settings import plain
from seam.errors import StorageError, in_line
from seam.jobs.direct import named_source
from seam.jobs.groundwork import common, same_start
from seam.jobs.sweep_check import SWEEP_FILE, check_folder, check_sweep
from seam.jobs.sweep_parts import Part
from seam.jobs.sweep_state import Row, SweepState
from seam.jobs.sweep_task import lay_groundwork, run_problem
from seam.jobs.workers import Workers, cluster, place_of, ray_of
from seam.models.base import BaseModel
from seam.models.load import BaseSpec

TABLE_FILE = "sweep.parquet"
WAIT_S, LOOK_S = 1.0, 10.0
SHARED_BY = 2
"""Runs that a groundwork is laid for."""
AHEAD = 2
"""Tasks handed over for each CPU: of all at once, every groundwork would be laid before a run."""


@mirroring("out", SWEEP)
def sweep(
    base: BaseSpec,
    parts: Sequence[Part],
    data: str | Path,
    *,
    out: str | Path,
    workers: Workers | None = None,
    device: str = "cpu",
    told: Callable[[Sequence[Row]], object] = lambda _rows: None,
) -> list[Row]:
    """Search every part in a run folder of its own below ``out``; returns one row a part.

    >>> import seam
    >>> parts = seam.parts_of({"7": seam.Problem.of(["7"])}, epochs=2)
    >>> sweep(BaseSpec(name="zoo:digits"), parts, "digits", out="runs/all")  # doctest: +SKIP

    The same call goes on with a sweep that was interrupted, and with one that new parts are added
    to: what has finished is not run again. A part that fails is tried again, then reported, and
    stops no other. ``sweep.parquet`` holds the rows.

    Args:
        base: how each worker loads the base model.
        parts: from `parts_of`.
        data: folder or hub name, which every worker can read.
        out: the sweep's folder, or its URL; runs are in ``out/runs``.
        workers: how many, and where; by default one a core of this machine.
        device: where each worker runs its model.
        told: called with all rows whenever something may have changed, about once a second.

    Returns:
        Rows with ``name``, ``state`` (``waiting``, ``running``, ``finished``, ``failed``),
        ``error``, ``folder``, ``epoch`` and, of finished ones, the report's main figures.

    Raises:
        MissingExtraError: Ray is not installed.
        SeamError: the input is bad; nothing is written then.
    """
    workers, folder = workers or Workers(), Path(out).resolve()
    ray = ray_of(workers.address)
    place, source = place_of(workers), str(named_source(data))
    state = SweepState(parts, folder)
    known = check_sweep(base, parts, data, folder)
    make_folder(folder)
    with held(folder, what=f"sweep '{out}'"):
        check_folder(folder)  # another process may have begun in the meantime
        _record(folder, known, parts, source)
        open_parts = [part for part in parts if not state.is_finished(part)]
        told(state.rows())
        try:
            if open_parts:
                with cluster(ray, place):
                    _run(ray, workers, base, open_parts, source, device, state, told)
        finally:
            _write_table(state.rows(), folder / TABLE_FILE)
    return state.rows()


def _run(
    ray: Any,
    workers: Workers,
    base: BaseSpec,
    parts: Sequence[Part],
    data: str,
    device: str,
    state: SweepState,
    told: Callable[[Sequence[Row]], object],
) -> None:
    """Have all parts searched; a task's result is None, or why its input is bad.

    Parts with the same samples are searched one after the other, on one groundwork, which Ray
    holds once a node and forgets with the last of them. A part that is tried again does without.
    """
    share = {"num_cpus": workers.threads, "num_gpus": workers.gpus}
    retried = {**share, "max_retries": workers.tries - 1}
    task, lay = (ray.remote(each).options(**retried) for each in (run_problem, lay_groundwork))

    def submit(part: Part, groundwork: Any = None) -> Any:
        where = state.home(part), device, workers.threads
        return task.remote(base, part.problem, data, part.settings, *where, groundwork)

    def submit_all(group: Sequence[Part]) -> dict[Any, tuple[Part, int]]:
        groundwork = None
        if len(group) >= SHARED_BY:
            first = group[0]
            starts = {same_start(part.settings) for part in group}
            started = len(starts) == 1 and None not in starts
            groundwork = lay.remote(
                base, first.problem, data, first.settings, device, workers.threads, started
            )
        return {submit(part, groundwork): (part, 1) for part in group}

    waiting, tasks = deque(_groups(parts)), dict[Any, tuple[Part, int]]()
    looked = time.monotonic()
    while tasks or waiting:
        while waiting and len(tasks) < AHEAD * max(1, ray.cluster_resources().get("CPU", 1)):
            tasks |= submit_all(waiting.popleft())
        done, _ = ray.wait(list(tasks), num_returns=1, timeout=WAIT_S)
        for each in done:
            part, count = tasks.pop(each)
            with suppress(StorageError):  # the next look will tell
                state.look(ended=part)
            try:
                state.errors[part.name] = ray.get(each) or ""
            except ray.exceptions.RayError as error:
                if count < workers.tries:
                    tasks[submit(part)] = part, count + 1
                else:
                    cause = getattr(error, "cause", None) or error
                    state.errors[part.name] = f"{type(cause).__name__}: {in_line(cause)}"
        if time.monotonic() - looked > LOOK_S:
            looked = time.monotonic()
            with suppress(StorageError):
                state.look()
        told(state.rows())


def _groups(parts: Sequence[Part]) -> list[list[Part]]:
    """Parts that can have a groundwork in common, each in the place of the first of them."""
    found = dict[str, list[Part]]()
    for part in parts:
        found.setdefault(common(part.problem, part.settings), []).append(part)
    return [*found.values()]


def _record(folder: Path, base: BaseModel, parts: Sequence[Part], data: str) -> None:
    """What the sweep is of, for people; its runs hold their settings themselves."""
    import yaml

    settings = {
        "model": base.recipe,
        "data": data,
        "runs": {part.name: part.problem.to_dict() for part in parts},
    }
    text = yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True)
    write_text(folder / SWEEP_FILE, text)


def _write_table(rows: Sequence[Row], file: Path) -> None:
    """All rows as one parquet file, a column a key of any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_bytes(file, sink.getvalue().to_pybytes())
