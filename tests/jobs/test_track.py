"""A search recorded in TensorBoard and MLflow, and taken up again after a stop."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.telemetry.utils import is_telemetry_disabled
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import seam
from seam.cli.main import main
from seam.errors import ConfigError, MissingExtraError
from seam.jobs.observe import Silent
from seam.jobs.track import TRACKERS, Several, track

PROBLEM = seam.Problem.of(["3", "5"])
EPOCHS = 3


class Stopped(Silent):
    """As Ctrl-C after an epoch."""

    def point(self, point: Any, epochs: int) -> None:
        if point.epoch == 2:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def search(out: Path, *names: str, stopped: bool = False) -> seam.Result:
    settings = seam.plan(PROBLEM, epochs=EPOCHS, shots=20, validation=0.2)
    observer = track(*names, out=out)
    return seam.reengineer(
        seam.load_base("zoo:digits"),
        PROBLEM,
        "digits",
        out=out,
        settings=settings,
        observer=Several(observer, Stopped()) if stopped else observer,
    )


def scalars(out: Path) -> dict[str, dict[int, float]]:
    """Each figure of the event files, by epoch, as TensorBoard shows it."""
    found = EventAccumulator(str(out / "tensorboard"))
    found.Reload()
    return {
        name: {each.step: each.value for each in found.Scalars(name)}
        for name in found.Tags()["scalars"]
    }


def run_of(out: Path) -> Any:
    """The one MLflow run of a run folder's own store, with its client."""
    client = MlflowClient(tracking_uri=f"sqlite:///{out}/mlflow/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("seam").experiment_id])
    return client, run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, seam.Result]:
    """A search that was stopped after two epochs, and went on."""
    out = tmp_path_factory.mktemp("track") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        with pytest.raises(KeyboardInterrupt):
            search(out, "tensorboard", "mlflow", stopped=True)
        return out, search(out, "tensorboard", "mlflow")


def expected(result: seam.Result, key: str) -> dict[int, float]:
    return {row["epoch"]: pytest.approx(row[key], abs=1e-6) for row in result.history}


def test_tensorboard_has_every_epoch_once(recorded: tuple[Path, seam.Result]) -> None:
    out, result = recorded
    found = scalars(out)
    for name, key in (("density", "density"), ("validation/accuracy", "validation_accuracy")):
        assert found[name] == expected(result, key)
    epoch = result.report["picked"]["epoch"]
    accuracy = result.report["accuracy"]["reengineered"]["value"]
    assert found["test/reengineered"] == {epoch: pytest.approx(accuracy, abs=1e-6)}


def test_mlflow_goes_on_in_the_same_run(recorded: tuple[Path, seam.Result]) -> None:
    out, result = recorded
    client, run = run_of(out)
    for name, key in (("density", "density"), ("loss", "loss"), ("macs", "macs")):
        rows = client.get_metric_history(run.info.run_id, name)
        assert [each.step for each in rows] == [row["epoch"] for row in result.history]
        assert {each.step: each.value for each in rows} == expected(result, key)
    assert run.info.status == "FINISHED"
    assert run.data.params["search.epochs"] == str(EPOCHS)
    assert run.data.params["data_source"] == "digits"
    assert run.data.metrics["test/reengineered"] == pytest.approx(
        result.report["accuracy"]["reengineered"]["value"]
    )
    stored = out / "mlflow/artifacts" / run.info.run_id / "artifacts/report.json"
    assert json.loads(stored.read_text()) == result.report


def test_nothing_is_written_elsewhere(
    recorded: tuple[Path, seam.Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = recorded
    assert {each.name for each in (out / "mlflow").iterdir()} == {
        *("mlflow.db", "run.json", "artifacts")
    }
    assert not Path("mlruns").exists()
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    track("mlflow", out=out)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert is_telemetry_disabled()


def test_a_failing_store_does_not_end_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = MlflowClient.log_batch

    def fails_at_first(client: Any, run: str, metrics: Any = (), **rest: Any) -> None:
        if {each.step for each in metrics} == {1} and not caplog.records:
            raise ConnectionError("the server is away")
        real(client, run, metrics, **rest)

    monkeypatch.setattr(MlflowClient, "log_batch", fails_at_first)
    caplog.set_level("WARNING", logger="seam")
    result = search(tmp_path / "run", "mlflow")
    assert "cannot record the run" in caplog.messages[0]
    client, run = run_of(tmp_path / "run")
    rows = client.get_metric_history(run.info.run_id, "density")
    assert [each.step for each in rows] == [row["epoch"] for row in result.history]


def test_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    command = ["seam", "reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5", "--quiet"]
    more = ["--epochs", "1", "--shots", "20", "--validation", "0.2", "--out", str(out)]
    monkeypatch.setattr(
        sys, "argv", [*command, *more, "--track", "tensorboard", "--track", "mlflow"]
    )
    with pytest.raises(SystemExit, match="0"):
        main()
    assert set(scalars(out)) >= {"density", "test/restricted"}
    _, run = run_of(out)
    stored = out / "mlflow/artifacts" / run.info.run_id / "artifacts"
    assert {each.name for each in stored.iterdir()} == {
        *("report.json", "frontier.png", "gained.png", "lost.png")
    }


def test_what_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: tuple[Path, seam.Result]
) -> None:
    with pytest.raises(ConfigError, match=r"tracker 'tensorbord' is unknown; .*'tensorboard'"):
        track("tensorbord", out=tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/old")
    with pytest.raises(ConfigError, match=r"mlflow cannot record the run in 'file:.*TRACKING_URI"):
        search(tmp_path / "run", "mlflow")


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")]
)
def test_a_missing_extra(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"run: pip install 'seam\[track\]'"):
        TRACKERS[name](tmp_path)
