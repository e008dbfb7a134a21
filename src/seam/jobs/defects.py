"""What a finished run has inherited from its base."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seam.artefacts.mirroring import NOTE, mirroring
from seam.core.preprocessing import Preprocessing
from seam.data.images import ImageSamples
from seam.data.prepare import DataSource
from seam.defects.attacks import Attacks
from seam.defects.plan import DefectsPlan
from seam.defects.subjects import Examples, Subjects
from seam.defects.triggered import target_of, trigger_figures
from seam.errors import ModelError
from seam.exporting.sidecar import find_export
from seam.jobs.observe import Observer, Silent
from seam.jobs.record import may_record, record_defects
from seam.jobs.reopen import Reopened, reopen
from seam.jobs.task import Task
from seam.models.base import BaseModel


@dataclass(frozen=True)
class Defects:
    """What was measured: ``figures`` as a report has them, ``examples`` to draw pictures of."""

    figures: dict[str, Any]
    examples: list[Examples]


@mirroring("run", NOTE)
def measure_defects(
    run: str | Path,
    plan: DefectsPlan | None = None,
    *,
    base: BaseModel | None = None,
    data: DataSource | None = None,
    device: str = "cpu",
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Measure what the result of a finished run has inherited from its base.

    >>> found = measure_defects("runs/seven")  # doctest: +SKIP
    >>> found["inheritance"]["features"]["value"]  # doctest: +SKIP

    Figures and a few images are kept in ``RUN/measured`` for `seam.report`, where the data is the
    run's own and the folder can be written.

    Args:
        run: the run folder, or its URL.
        plan: what is measured, on how many samples; by default all but a backdoor.
        base: the base model, where the run folder does not say how to load it.
        data: other data to measure on; by default the run's own.
        device: where to run it.
        observer: told how it gets on.

    Returns:
        ``inheritance``, ``adaptive``, ``backdoor`` and ``defects``, as docs/definitions.md says.

    Raises:
        RunFolderError: the run has not finished.
        BaseMismatchError: the base model is not the one the run was made from.
        ModelError: ``run`` is an exported model, or the base has no separable classifier.
        ConfigError: the trigger does not fit the images.
        LabelError: the trigger's target is none of the base's labels.
        MissingExtraError: adversarial-robustness-toolbox is not installed.
    """
    refuse_export(run)
    opened = reopen(run, base=base, data=data, device=device)
    return kept_defects(opened, plan or DefectsPlan(), observer).figures


def kept_defects(opened: Reopened, plan: DefectsPlan, observer: Observer | None = None) -> Defects:
    """`defects_of` a reopened run, kept in its folder."""
    found = defects_of(subjects_of(opened.task, opened.model.module), plan, observer)
    if may_record(opened.folder, own=opened.own):
        record_defects(opened.folder, found.figures, found.examples)
    return found


def refuse_export(run: str | Path) -> None:
    """That ``run`` is no exported model.

    Raises:
        ModelError: it is one.
    """
    if find_export(Path(run)) is not None:
        raise ModelError(
            f"'{run}' is an exported model, which has no gradients to attack it with; "
            "give the run folder that it was exported from"
        )


def subjects_of(task: Task, result: nn.Module) -> Subjects:
    """Base and result of a task; for new labels the base answers with its trained head.

    Raises:
        ModelError: the base takes texts.
    """
    labels = torch.from_numpy(task.data.test_labels)
    test, preprocessing = task.data.test, task.base.preprocessing
    if not isinstance(test, ImageSamples) or not isinstance(preprocessing, Preprocessing):
        raise ModelError(
            "the attacks change pixels, and the run's base model takes texts; leave --defects out"
        )
    new = task.problem.kind == "new-labels"
    return Subjects(
        base=task.base.module,
        answers=task.compared.answers,
        result=result,
        base_labels=task.base.labels,
        outputs=task.problem.outputs,
        members=() if new else task.problem.members(task.base.labels),
        preprocessing=preprocessing,
        test=test,
        labels=torch.full_like(labels, -1) if new else labels,
        seed=task.settings.seed,
        head_layer=task.base.head_layer or None,
    )


def defects_of(subjects: Subjects, plan: DefectsPlan, observer: Observer | None = None) -> Defects:
    """Attack the base and see what becomes of the result; attack that; put the trigger on.

    Args:
        subjects: base, result and test samples.
        plan: what is measured.
        observer: told how it gets on.

    Raises:
        SeamError: as `measure_defects`.
    """
    start, told = time.monotonic(), observer or Silent()
    figures: dict[str, Any] = {"defects": {}}
    examples: list[Examples] = []
    if plan.trigger is not None:
        target_of(subjects, plan.trigger)  # a mistake in it is told before minutes of attacks
    if plan.attacks:

        def progress(done: int, total: int) -> None:
            told.step(0, 1, done, total)

        attacks = Attacks(subjects, plan, stage=told.stage, progress=progress)
        figures |= attacks.figures()
        examples += attacks.examples
    if plan.trigger is not None:
        told.stage("putting the trigger on")
        figures["backdoor"], triggered = trigger_figures(subjects, plan.trigger)
        examples.append(triggered)
    figures["defects"] |= {"seconds": round(time.monotonic() - start, 2)}
    return Defects(figures, examples)
