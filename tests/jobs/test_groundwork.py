"""What runs of one problem have in common: made once, and each run is as it would be alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seam
from seam.data import images
from seam.jobs import sweep as sweeps
from seam.jobs import task as tasks
from seam.jobs.groundwork import common, same_start
from seam.jobs.sweep_task import lay_groundwork, run_problem

BASE = seam.BaseSpec(name="zoo:digits")
PROBLEMS = {
    "one against the rest": seam.Problem.one_vs_rest("7"),
    "groups": seam.Problem.groups({"even": ["0", "2"], "odd": ["1"]}),
}
KINDS: dict[str, dict[str, Any]] = {
    "weights": {},
    "biases": {"tune": "norm", "start": "saliency"},
    "paper": {"preset_name": "paper"},
    "channels": {"granularity": "channel"},
}


def adapter(folder: Path) -> bytes:
    return (folder / "adapter/adapter.safetensors").read_bytes()


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_on_it_is_as_it_would_be_alone(
    problem: seam.Problem, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And neither reads the data nor asks the base again."""
    settings = seam.plan(problem, epochs=2, **KINDS[kind])
    started = same_start(settings) is not None
    assert started == (kind != "channels")
    found = lay_groundwork(BASE, problem, "digits", settings, "cpu", 1, started)
    assert found is not None
    assert (found.state is not None) == started
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert run_problem(BASE, problem, "digits", settings, str(alone), "cpu", 1) is None
    for name in ("prepared", "compare"):
        monkeypatch.delattr(tasks, name)
    assert run_problem(BASE, problem, "digits", settings, str(shared), "cpu", 1, found) is None
    assert adapter(shared) == adapter(alone)
    for name in ("history.jsonl", "frontier.json", "measured/predictions.safetensors"):
        assert (shared / name).read_bytes() == (alone / name).read_bytes(), name


def test_a_run_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    """Its own state counts, not the one before the first step."""
    problem = PROBLEMS["groups"]
    settings = seam.plan(problem, epochs=3)
    found = lay_groundwork(BASE, problem, "digits", settings, "cpu", 1, True)
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        assert run_problem(BASE, problem, "digits", settings, str(folder), "cpu", 1, found) is None
    before = adapter(folders[1])
    for name in ("report.json", "adapter/adapter.json"):
        (folders[1] / name).unlink()
    assert run_problem(BASE, problem, "digits", settings, str(folders[1]), "cpu", 1, found) is None
    assert adapter(folders[1]) == before == adapter(folders[0])


@pytest.mark.parametrize(
    ("changes", "data", "start"),
    [
        ({"keep": 0.5, "epochs": 7, "final_density": 0.02, "score_lr": 0.2}, True, True),
        ({"batch_size": 16}, True, False),
        ({"start": "saliency"}, True, False),
        ({"distill": 0.5}, True, False),
        ({"exclude": ("conv1",)}, True, False),
        ({"seed": 1}, False, True),
        ({"shots": 5}, False, True),
    ],
)
def test_what_has_to_be_alike(changes: dict[str, Any], data: bool, start: bool) -> None:
    problem = PROBLEMS["groups"]
    plain, other = seam.plan(problem), seam.plan(problem, **changes)
    assert (common(problem, plain) == common(problem, other)) == data
    assert (same_start(plain) == same_start(other)) == start


def bad_labels(_monkeypatch: pytest.MonkeyPatch) -> seam.Problem:
    return seam.Problem.of(["no such label"])


def new_labels(_monkeypatch: pytest.MonkeyPatch) -> seam.Problem:
    return seam.Problem.new_labels([*"0123456789"])


def streamed(monkeypatch: pytest.MonkeyPatch) -> seam.Problem:
    monkeypatch.setattr(images, "CACHE_BYTES", 1000)
    return PROBLEMS["groups"]


@pytest.mark.parametrize("case", [bad_labels, new_labels, streamed])
def test_there_is_none(
    case: Callable[[pytest.MonkeyPatch], seam.Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run does without then, and says what is wrong."""
    problem = case(monkeypatch)
    settings = seam.plan(problem, epochs=1)
    assert lay_groundwork(BASE, problem, "digits", settings, "cpu", 1, True) is None


def test_a_sweep_makes_it_once_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For the values of a grid, whose runs are as alone; a problem that has one run gets none."""

    def laid(*arguments: Any) -> Any:
        (tmp_path / f"laid {arguments[1].outputs[-1]}").touch(exist_ok=False)
        return lay_groundwork(*arguments)

    def ran(*arguments: Any) -> Any:
        (tmp_path / f"{'on' if arguments[-1] else 'without'} {Path(arguments[4]).name}").touch()
        return run_problem(*arguments)

    monkeypatch.setattr(sweeps, "lay_groundwork", laid)
    monkeypatch.setattr(sweeps, "run_problem", ran)
    single, several = {"7": seam.Problem.of(["7"])}, {"3": seam.Problem.of(["3"])}
    grid = {"final_density": [0.1, 0.2]}
    parts = [*seam.parts_of(several, grid=grid, epochs=1), *seam.parts_of(single, epochs=1)]
    rows = seam.sweep(BASE, parts, "digits", out=tmp_path / "sweep")
    assert [row["state"] for row in rows] == ["finished"] * 3
    told = sorted(file.name for file in tmp_path.iterdir() if file.is_file())
    assert told == ["laid 3", "on 3-final_density=0.1", "on 3-final_density=0.2", "without 7"]
    for part in parts:
        alone = tmp_path / "alone" / part.name
        assert (
            run_problem(BASE, part.problem, "digits", part.settings, str(alone), "cpu", 1) is None
        )
        assert adapter(tmp_path / "sweep" / "runs" / part.name) == adapter(alone)


def test_a_sweep_does_without_what_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def killed(*_arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(sweeps, "lay_groundwork", killed)
    parts = seam.parts_of({"7": PROBLEMS["groups"]}, grid={"seed": [1], "epochs": [1, 2]})
    rows = seam.sweep(BASE, parts, "digits", out=tmp_path / "sweep")
    assert [row["state"] for row in rows] == ["finished"] * 2
