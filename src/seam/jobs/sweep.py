"""Many problems on one base model: one run a problem, as Ray tasks, here or on a cluster."""

from __future__ import annotations

import itertools
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from seam.artefacts.atomic import write_bytes, write_text
from seam.artefacts.lock import held
from seam.artefacts.run import RunFolder, plain
from seam.core.checks import at_least
from seam.core.problem import Problem
from seam.errors import ConfigError, MissingExtraError, RunFolderError, in_line
from seam.jobs.direct import recorded
from seam.jobs.plan import Plan, plan
from seam.jobs.sweep_task import run_problem
from seam.models.base import BaseModel
from seam.models.load import BaseSpec

SWEEP_FILE, TABLE_FILE, RUNS = "sweep.yaml", "sweep.parquet", "runs"
WAIT_S = 1.0
Row = dict[str, Any]


@dataclass(frozen=True)
class Workers:
    """Where a sweep's problems are searched.

    >>> Workers(count=2).threads
    1

    Args:
        count: problems at a time; by default as many as this machine has cores for.
        threads: of each. Rounding depends on it, so results do not depend on ``count``.
        gpus: of each; a share of one lets several problems have it.
        address: of a Ray cluster, as ``ray://HOST:10001`` or ``auto``; by default Ray is started
            here for the sweep, and ended with it. All nodes need the same paths.
        tries: how often a problem is tried whose search ended in an unforeseen way.

    Raises:
        ConfigError: a value is out of range.
    """

    count: int | None = None
    threads: int = 1
    gpus: float = 0.0
    address: str | None = None
    tries: int = 2

    def __post_init__(self) -> None:
        if self.count is not None:
            at_least("workers", self.count, 1, whole=True)
        at_least("threads", self.threads, 1, whole=True)
        at_least("gpus per problem", self.gpus, 0)
        at_least("tries", self.tries, 1, whole=True)
        if self.address and self.count is not None:
            raise ConfigError("a cluster has its own number of workers; leave --workers out")


@dataclass(frozen=True)
class Part:
    """One run of a sweep: a problem with its settings, under a name of its own.

    ``varied`` are the settings in which it differs from the other runs of its problem.
    """

    name: str
    problem: Problem
    settings: Plan
    varied: Mapping[str, Any] = field(default_factory=dict)


def parts_of(
    problems: Mapping[str, Problem],
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    **settings: Any,
) -> list[Part]:
    """One part a problem and combination of the ``grid``'s values; ``settings`` as `plan` takes.

    >>> found = parts_of({"is it a 7?": Problem.of(["7"])}, grid={"keep": [0.1, 0.2]}, epochs=3)
    >>> [part.name for part in found]
    ['is_it_a_7-keep=0.1', 'is_it_a_7-keep=0.2']

    Raises:
        ConfigError: there is no problem, or a setting is unknown or out of range.
    """
    if not problems:
        raise ConfigError("there is no problem to search; name at least one")
    grid = grid or {}
    parts: list[Part] = []
    for title, problem in problems.items():
        for values in itertools.product(*grid.values()):
            varied = dict(zip(grid, values, strict=True))
            words = [title, *(f"{name}={value}" for name, value in varied.items())]
            name = _free("-".join(map(_as_folder, words)), [part.name for part in parts])
            parts.append(Part(name, problem, plan(problem, **{**settings, **varied}), varied))
    return parts


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

    >>> parts = parts_of({"7": Problem.of(["7"]), "3": Problem.of(["3"])}, epochs=2)
    >>> sweep(BaseSpec(name="zoo:digits"), parts, "digits", out="runs/all")  # doctest: +SKIP

    The same call goes on with a sweep that was interrupted, and with one that new parts are added
    to: what has finished is not run again. A part that fails is tried again, then reported, and
    stops no other. ``sweep.parquet`` holds the rows.

    Args:
        base: how each worker loads the base model.
        parts: from `parts_of`.
        data: folder or hub name, which every worker can read.
        out: the sweep's folder; runs are in ``out/runs``.
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
    ray, workers, folder = _ray(), workers or Workers(), Path(out).resolve()
    place, known = _place(workers), base.load("cpu")
    data = str(Path(data).resolve()) if Path(data).is_dir() else str(data)
    tracker = _Tracker(parts, folder)
    for part in parts:
        part.problem.counted(known.labels)
        RunFolder(tracker.place(part)).check(recorded(known, part.problem, data, part.settings))
    _begin(folder, known, parts, data)
    with held(folder / SWEEP_FILE, what=f"sweep '{out}'"):
        open_parts = [part for part in parts if not tracker.is_finished(part)]
        told(tracker.rows())
        try:
            if open_parts:
                with _cluster(ray, place):
                    _run(ray, workers, base, open_parts, data, device, tracker, told)
        finally:
            _write_table(tracker.rows(), folder / TABLE_FILE)
    return tracker.rows()


class _Tracker:
    """What is known of each part: from its folder, and from how its tasks ended."""

    def __init__(self, parts: Sequence[Part], folder: Path) -> None:
        self.parts, self.folder = parts, folder
        self.start = time.time()
        self.errors: dict[str, str] = {}

    def place(self, part: Part) -> Path:
        """The run folder of a part."""
        return self.folder / RUNS / part.name

    def is_finished(self, part: Part) -> bool:
        """Whether its report is there, of the point that is wanted now."""
        return self._report(part) is not None

    def rows(self) -> list[Row]:
        """One row a part, in their order."""
        return [self._row(part) for part in self.parts]

    def _report(self, part: Part) -> dict[str, Any] | None:
        file = self.place(part) / "report.json"
        try:
            report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        wanted = part.settings.pick.to_dict()
        same = {name: report.get("picked", {}).get(name) for name in wanted} == wanted
        return report if same else None

    def _row(self, part: Part) -> Row:
        row: Row = {
            "name": part.name,
            "outputs": list(part.problem.outputs),
            "state": "waiting",
            "error": self.errors.get(part.name, ""),
            "folder": str(self.place(part)),
            "epoch": self._epoch(part),
            "epochs": part.settings.search.all_epochs,
            **part.varied,
        }
        report = self._report(part)
        if report is not None:
            row |= {"state": "finished", "error": "", **figures(report)}
        elif row["error"]:
            row["state"] = "failed"
        elif self._touched(part):
            row["state"] = "running"
        return row

    def _epoch(self, part: Part) -> int:
        with suppress(OSError, ValueError, KeyError, IndexError):
            lines = (self.place(part) / "history.jsonl").read_text(encoding="utf-8").splitlines()
            return int(json.loads(lines[-1])["epoch"])
        return 0

    def _touched(self, part: Part) -> bool:
        """Whether somebody works in its folder since the sweep began."""
        for name in ("environment.json", "history.jsonl"):
            with suppress(OSError):
                if (self.place(part) / name).stat().st_mtime >= self.start:
                    return True
        return False


def figures(report: Mapping[str, Any]) -> Row:
    """The main figures of a report, flat."""
    reference = report.get("reference", "restricted")
    gain = report[f"against_{reference}"]["difference"]
    found: Row = {
        "preset": report["preset"],
        "seed": report["seed"],
        "density": report["density"],
        "weights_kept": report["weights"]["kept"] / report["weights"]["base"],
        "macs": report["macs"]["theoretical"] / report["macs"]["base"],
        "reference": reference,
        "samples": gain["n"],
        "seconds": report["seconds"]["total"],
        "adapter_bytes": report.get("adapter_bytes"),
    }
    for name, figure in {
        "reference_accuracy": report["accuracy"][reference],
        "accuracy": report["accuracy"]["reengineered"],
        "against_reference": gain,
    }.items():
        found |= {
            name: figure["value"],
            f"{name}_low": figure["low"],
            f"{name}_high": figure["high"],
        }
    return found


def _run(
    ray: Any,
    workers: Workers,
    base: BaseSpec,
    parts: Sequence[Part],
    data: str,
    device: str,
    tracker: _Tracker,
    told: Callable[[Sequence[Row]], object],
) -> None:
    """Have all parts searched; a task's result is None, or why its input is bad."""
    task = ray.remote(run_problem).options(
        num_cpus=workers.threads, num_gpus=workers.gpus, max_retries=workers.tries - 1
    )

    def submit(part: Part) -> Any:
        place = str(tracker.place(part))
        return task.remote(base, part.problem, data, part.settings, place, device, workers.threads)

    tasks = {submit(part): (part, 1) for part in parts}
    while tasks:
        done, _ = ray.wait(list(tasks), num_returns=1, timeout=WAIT_S)
        for each in done:
            part, count = tasks.pop(each)
            try:
                tracker.errors[part.name] = ray.get(each) or ""
            except ray.exceptions.RayError as error:
                if count < workers.tries:
                    tasks[submit(part)] = part, count + 1
                else:
                    cause = getattr(error, "cause", None) or error
                    tracker.errors[part.name] = f"{type(cause).__name__}: {in_line(cause)}"
        told(tracker.rows())


def _begin(folder: Path, base: BaseModel, parts: Sequence[Part], data: str) -> None:
    """Mark the folder as that of this sweep.

    Raises:
        RunFolderError: it holds something else, or cannot be written.
    """
    file = folder / SWEEP_FILE
    if not file.exists() and folder.is_dir() and any(folder.iterdir()):
        raise RunFolderError(
            f"folder '{folder}' is not empty and holds no sweep; give another --out"
        )
    import yaml

    settings = {
        "model": base.recipe,
        "data": data,
        "runs": {part.name: part.problem.to_dict() for part in parts},
    }
    write_text(file, yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True))


def _write_table(rows: Sequence[Row], file: Path) -> None:
    """All rows as one parquet file, a column a key of any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    write_bytes(file, sink.getvalue().to_pybytes())


def _ray() -> Any:
    """Ray, which is asked to report nothing of its use, and to give workers the usual priority.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingExtraError(
            "ray is needed for a sweep and is not installed; pip install 'seam[sweep]'"
        ) from error


def _place(workers: Workers) -> dict[str, Any]:
    """What Ray is started with.

    Raises:
        ConfigError: this machine has fewer GPUs than a problem is to have.
    """
    if workers.address:
        return {"address": workers.address}
    count = workers.count or max(1, (os.cpu_count() or 1) // workers.threads)
    gpus = torch.cuda.device_count()
    if workers.gpus > gpus:
        raise ConfigError(
            f"{workers.gpus:g} GPUs a problem are more than the {gpus} of this machine; "
            "give fewer (--gpus-per-problem)"
        )
    return {"address": "local", "num_cpus": count * workers.threads, "num_gpus": gpus}


@contextmanager
def _cluster(ray: Any, place: Mapping[str, Any]) -> Iterator[None]:
    """A Ray of this sweep's own, or the cluster that was named.

    Raises:
        ConfigError: there is none at that address.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(**place, include_dashboard=False, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"Ray cannot be reached or started ({in_line(error)}); check --address"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _as_folder(text: str) -> str:
    """A name that any file system takes.

    >>> _as_folder("Speed limit (20km/h)")
    'Speed_limit_20km_h'
    """
    return re.sub(r"[^\w.=-]+", "_", text).strip("_.")[:80] or "problem"


def _free(name: str, taken: Sequence[str]) -> str:
    """The name, or with a number behind it, unlike all others also where case does not count."""
    lowered = {each.casefold() for each in taken}
    for number in itertools.count(1):
        found = name if number == 1 else f"{name}-{number}"
        if found.casefold() not in lowered:
            return found
    raise AssertionError
