"""Runs that are taken up again where a report or a threshold could have been lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import seam
from seam.core.config import Finetune
from seam.jobs import result as results
from seam.jobs.again import pick_again  # before it would bind what a test puts in its place
from seam.jobs.observe import Silent
from seam.models.base import BaseModel
from seam.search.frontier import Point

PROBLEM = seam.Problem.one_vs_rest("7")


class StopAfter(Silent):
    """Ctrl-C after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def point(self, point: Point, epochs: int) -> None:
        del epochs
        if point.epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return seam.load_base("zoo:digits")


@pytest.mark.parametrize("stopped", [2, 3])
def test_fine_tuning_behind_a_budget_goes_on_with_its_masks(
    stopped: int, base: BaseModel, tmp_path: Path
) -> None:
    plan = seam.plan(
        PROBLEM,
        epochs=2,
        levels=1,
        final_density=0.2,
        shots=30,
        finetune=Finetune(epochs=2),
    )
    whole = seam.reengineer(base, PROBLEM, "digits", settings=plan)
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        seam.reengineer(
            base, PROBLEM, "digits", out=out, settings=plan, observer=StopAfter(stopped)
        )
    again = seam.reengineer(base, PROBLEM, "digits", out=out, settings=plan)
    assert [row["loss"] for row in again.history] == [row["loss"] for row in whole.history]
    assert [row["density"] for row in again.history[1:]] == pytest.approx([0.2] * 4, abs=1e-3)


def test_a_kill_between_adapter_and_report_leaves_no_old_report(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    plan = seam.plan(PROBLEM, epochs=2, shots=30)
    first = seam.reengineer(base, PROBLEM, "digits", out=run, settings=plan)
    other = next(p for p in first.frontier if p.epoch != first.report["picked"]["epoch"])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(results, "save_predictions", killed)
        with pytest.raises(KeyboardInterrupt):
            pick_again(run, seam.Pick(rule="epoch", value=other.epoch))
    assert not (run / "report.json").exists()
    again = seam.reengineer(base, PROBLEM, "digits", out=run, settings=plan)
    assert again.report["picked"] == first.report["picked"]
