"""Experiment trackers that are told how a search gets on: TensorBoard and MLflow.

Both write into the run folder; nothing leaves the machine but to a server that MLFLOW_TRACKING_URI
names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seam.artefacts.storage import is_url
from seam.errors import ConfigError, nearest
from seam.jobs.observe import Observer, Silent
from seam.jobs.track_mlflow import MLflow
from seam.jobs.track_tensorboard import TensorBoard

TRACKERS: Mapping[str, type[TensorBoard] | type[MLflow]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
}


class Several(Silent):
    """Observers that are told the same."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def stage(self, text: str) -> None:
        """Tell all."""
        for each in self.observers:
            each.stage(text)

    def begun(self, settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:
        """Tell all."""
        for each in self.observers:
            each.begun(settings, points)

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Tell all."""
        for each in self.observers:
            each.step(epoch, epochs, step, steps)

    def point(self, point: Any, epochs: int) -> None:
        """Tell all."""
        for each in self.observers:
            each.point(point, epochs)

    def finished(self, report: Mapping[str, Any], folder: Path | None) -> None:
        """Tell all."""
        for each in self.observers:
            each.finished(report, folder)

    def keep(self, files: Sequence[Path]) -> None:
        """Tell those that keep files."""
        for each in self.observers:
            if isinstance(each, TensorBoard | MLflow):
                each.keep(files)


def track(*names: str, out: str | Path) -> Several:
    """An observer that records a search in experiment trackers.

    >>> track("tensorboard", out="runs/seven")  # doctest: +SKIP

    Give it to `seam.reengineer` or `seam.transfer` as ``observer``, with the same ``out``. Recorded
    are the settings, each epoch's point (density, MACs, validation accuracy, loss), the figures on
    test data, and ``report.json``. A resumed search goes on in the same record.

    Args:
        names: ``tensorboard`` (event files in ``RUN/tensorboard``), ``mlflow`` (the store that
            MLFLOW_TRACKING_URI names; without it, a database in ``RUN/mlflow``).
        out: the run folder.

    Raises:
        ConfigError: a name is unknown, or ``out`` is a URL.
        MissingExtraError: the tracker is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(
                f"tracker '{name}' is unknown; give {' or '.join(TRACKERS)}"
                + nearest(name, list(TRACKERS))
            )
    if names and is_url(out):
        raise ConfigError(
            f"trackers write on this machine, not to '{out}'; give track another out="
        )
    return Several(*(TRACKERS[name](Path(out)) for name in dict.fromkeys(names)))
