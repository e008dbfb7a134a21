"""A search as an MLflow run, in a store of the run folder or the one that the user names."""

from __future__ import annotations

import json
import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seam.artefacts.atomic import write_json
from seam.artefacts.mirroring import mirror_of
from seam.errors import ConfigError, MissingExtraError, in_line
from seam.jobs.observe import Silent
from seam.jobs.track_values import epoch_figures, flat, missing, test_figures

if TYPE_CHECKING:
    from seam.search.frontier import Point

FOLDER, DATABASE, RECORD = "mlflow", "mlflow.db", "run.json"
EXPERIMENT = "seam"
LONGEST = 500
UNNAMED = re.compile(r"[^\w\-. :/]")
"""What the name of a parameter may not have."""
"""Letters of a setting's value that are recorded."""


class MLflow(Silent):
    """Records a run; ``RUN/mlflow/run.json`` says which, so that a resumed search goes on in it.

    Raises:
        MissingExtraError: mlflow, or what its database needs, is not installed.
    """

    def __init__(self, out: Path) -> None:
        self._out, self._folder = out, out.absolute() / FOLDER
        named = os.environ.get("MLFLOW_TRACKING_URI")
        self._own = not named
        if self._own and mirror_of(out) is not None:
            raise ConfigError(
                "MLflow's own database works on disks only, not at the URL of --out; name a server "
                "in MLFLOW_TRACKING_URI, or give --track tensorboard"
            )
        self._uri = named or f"sqlite:///{self._folder / DATABASE}"
        self._left: list[Mapping[str, Any]] = []
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        try:
            if self._uri.startswith("sqlite:"):
                import alembic as _  # noqa: F401
                import sqlalchemy as _sql  # noqa: F401
            import mlflow as _flow  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(
                f"mlflow is not installed ({in_line(error, 60)}); run: pip install 'seam[track]'"
            ) from error

    def begun(self, settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:
        """The settings, once, and those points so far that the run does not have."""
        with self._explained():
            from mlflow import MlflowClient
            from mlflow.entities import Param

            self._folder.mkdir(parents=True, exist_ok=True)
            self._client = MlflowClient(tracking_uri=self._uri)
            known = self._known()
            self._run = known or self._new()
            if not known:
                rows = [
                    Param(UNNAMED.sub("_", name), value[:LONGEST])
                    for name, value in flat(settings).items()
                ]
                for start in range(0, len(rows), 100):
                    self._client.log_batch(self._run, params=rows[start : start + 100])
            history = self._client.get_metric_history(self._run, "density")
            self._left = missing(points, {row.step for row in history})
            self._record()

    def point(self, point: Point, epochs: int) -> None:  # noqa: ARG002
        """An epoch's figures, with those that a server would not take before."""
        self._left.append(point.to_dict())
        with self._tolerated():
            self._record()

    def finished(self, report: Mapping[str, Any], folder: Path | None) -> None:
        """The figures on test data, and the report."""
        with self._tolerated():
            self._record()
            for name, value in test_figures(report).items():
                self._client.log_metric(self._run, name, value)
            if folder is not None:
                self._client.log_artifact(self._run, str(folder / "report.json"))
            self._client.set_terminated(self._run)

    def keep(self, files: Sequence[Path]) -> None:
        """Pictures beside the report."""
        with self._tolerated():
            for file in files:
                self._client.log_artifact(self._run, str(file))

    def _record(self) -> None:
        """The epochs that are not there yet, each in one request."""
        from mlflow.entities import Metric

        while self._left:
            point, now = self._left[0], int(time.time() * 1000)
            rows = [Metric(name, x, now, int(point["epoch"])) for name, x in epoch_figures(point)]
            self._client.log_batch(self._run, metrics=rows)
            del self._left[0]

    def _known(self) -> str | None:
        """The run that an earlier process began in this store, going on now."""
        from mlflow.exceptions import MlflowException

        try:
            record = json.loads((self._folder / RECORD).read_text(encoding="utf-8"))
            if record["tracking_uri"] != self._uri:
                return None
            run = str(record["run_id"])
            self._client.update_run(run, status="RUNNING")
            return run
        except (OSError, ValueError, KeyError, TypeError, MlflowException):
            return None

    def _new(self) -> str:
        """A new run in the experiment of this store."""
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            experiment = found.experiment_id
        else:
            place = (self._folder / "artifacts").as_uri() if self._own else None
            experiment = self._client.create_experiment(EXPERIMENT, artifact_location=place)
        run = self._client.create_run(experiment, run_name=self._out.name).info.run_id
        write_json(self._folder / RECORD, {"tracking_uri": self._uri, "run_id": run})
        return str(run)

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        """Once a search runs, what fails here does not end it: a line says so, and it goes on."""
        try:
            with self._explained():
                yield
        except ConfigError as error:
            logging.getLogger(__name__).warning("%s", error)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Its errors as one line; what it and its database warn of is their own affair."""
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield
            except Exception as error:  # servers and databases fail in their own ways
                raise ConfigError(
                    f"mlflow cannot record the run in '{self._uri}' ({in_line(error, 200)}); check "
                    "MLFLOW_TRACKING_URI, or leave --track mlflow out"
                ) from error
