"""Whether a sweep can begin, and what each of its runs would work on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seam.artefacts.atomic import is_temporary
from seam.artefacts.run import RunFolder
from seam.errors import RunFolderError, SeamError, in_line
from seam.jobs.direct import named_source, recorded
from seam.jobs.sweep_parts import Part
from seam.jobs.sweep_state import Row, place_in
from seam.jobs.task import Task
from seam.models.base import BaseModel
from seam.models.load import BaseSpec

SWEEP_FILE = "sweep.yaml"


def check_sweep(
    spec: BaseSpec, parts: Sequence[Part], data: str | Path, folder: Path | None
) -> BaseModel:
    """That the base knows all labels, and that ``folder`` is free or this sweep's.

    Returns:
        The base, on the CPU.

    Raises:
        SeamError: the input is bad; nothing is written.
    """
    base, source = spec.load("cpu"), str(named_source(data))
    for part in parts:
        part.problem.counted(base.labels)
        if folder is not None:
            run = RunFolder(place_in(folder, part))
            run.check(recorded(base, part.problem, source, part.settings))
    if folder is not None:
        RunFolder(folder).refuse_links()
        check_folder(folder)
    return base


def check_folder(folder: Path) -> None:
    """That a sweep can begin or go on here; writes nothing.

    Raises:
        RunFolderError: the folder holds something else.
    """
    begun = (folder / SWEEP_FILE).exists() or not folder.is_dir()
    if not begun and not all(map(is_temporary, folder.iterdir())):
        raise RunFolderError(
            f"folder '{folder}' is not empty and holds no sweep; give another --out"
        )


def foreseen(
    spec: BaseSpec, parts: Sequence[Part], data: str | Path, *, out: Path | None = None
) -> list[Row]:
    """One row a part, from its data and base but without a search; nothing is written.

    >>> import seam
    >>> parts = seam.parts_of({"7": seam.Problem.of(["7"])}, epochs=2)
    >>> [row["state"] for row in foreseen(BaseSpec(name="zoo:digits"), parts, "digits")]
    ['waiting']

    Returns:
        Rows with ``name``, ``outputs``, ``state`` (``waiting``, or ``failed`` with the ``error``
        that its run would end with) and, of those that wait, ``samples`` and ``steps``.

    Raises:
        SeamError: no run could begin.
    """
    base, rows = check_sweep(spec, parts, data, out), list[Row]()
    for part in parts:
        row: Row = {"name": part.name, "outputs": list(part.problem.outputs)}
        try:
            facts = Task(base, part.problem, data, part.settings).facts()
            row |= {"state": "waiting", "samples": facts["samples"], "steps": facts["steps"]}
        except SeamError as error:
            row |= {"state": "failed", "error": in_line(error)}
        rows.append(row)
    return rows
