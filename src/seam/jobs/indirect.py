"""Indirect reuse: a trained model and data of new labels in, a re-engineered model out."""

from __future__ import annotations

from pathlib import Path

from seam.core.problem import Problem
from seam.data.load import labels_of
from seam.data.prepare import DataSource
from seam.errors import ConfigError
from seam.jobs.direct import reengineer
from seam.jobs.observe import Observer
from seam.jobs.plan import Plan
from seam.jobs.result import Result
from seam.models.base import BaseModel
from seam.search.parallel import ALONE, Ranks


def transfer(
    base: BaseModel,
    data: DataSource,
    *,
    problem: Problem | None = None,
    out: str | Path | None = None,
    settings: Plan | None = None,
    observer: Observer | None = None,
    ranks: Ranks = ALONE,
) -> Result:
    """Search the weights of ``base`` that labels it was not trained on need; remove the rest; tune.

    >>> import seam
    >>> parity = seam.Problem.new_labels(["even", "odd"])
    >>> names = {str(digit): parity.outputs[digit % 2] for digit in range(10)}
    >>> settings = seam.plan(parity, epochs=3, remove=0.5, rename=names)
    >>> base = seam.load_base("zoo:digits")
    >>> result = seam.transfer(base, "digits", problem=parity, settings=settings)
    >>> round(result.report["density"], 3), sorted(result.report["accuracy"])
    (0.5, ['head_only', 'reengineered'])

    The base's head gives way to a new one, which is trained on the frozen base first. Then masks
    are searched, and what is kept is tuned; what is removed stays removed. Run folder, resume,
    choice among points and result are those of `seam.reengineer`, which this calls.

    Args:
        base: the trained classifier.
        data: what `seam.data.load.load_splits` takes.
        problem: `Problem.new_labels`; by default of all labels that the data has.
        out: run folder, or the URL of one; without it nothing is written and an interrupted search
            is lost.
        settings: from `plan`; by default the ``default`` preset.
        observer: told how the job gets on.
        ranks: as `seam.reengineer` takes them.

    Raises:
        SeamError: the input is bad; the message is one line and names the mend.

    Source: SeaM (ICSE 2023, arXiv 2304.00245), indirect reuse.
    """
    problem = problem or Problem.new_labels(labels_of(data))
    if problem.kind != "new-labels":
        raise ConfigError(
            f"a problem of kind '{problem.kind}' is over the base's own labels; use "
            "seam.reengineer, or give Problem.new_labels"
        )
    return reengineer(
        base, problem, data, out=out, settings=settings, observer=observer, ranks=ranks
    )
