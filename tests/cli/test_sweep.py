"""Many problems on one base, as Ray tasks on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import seam
from seam.artefacts.lock import held
from seam.jobs.sweep_parts import parts_of

Call = Callable[..., Any]
SWEEP = ["sweep", "zoo:digits", "--data", "digits", "--epochs", "1", "--keep", "0.2"]
PROBLEMS = """\
seven: 7
few: ["3", 5]
kinds: {even: ["0", "2"], odd: ["1"]}
"""


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    file = tmp_path / "problems.yaml"
    file.write_text(PROBLEMS)
    return file


def test_parts_are_problems_times_grid() -> None:
    problems = {"a/b": seam.Problem.of(["7"]), "A b": seam.Problem.of(["3"])}
    parts = parts_of(problems, grid={"keep": [0.1, 0.2], "seed": [0, 1]}, epochs=3)
    assert [part.name for part in parts][:2] == ["a_b-keep=0.1-seed=0", "a_b-keep=0.1-seed=1"]
    names = [part.name.casefold() for part in parts]
    assert len(set(names)) == len(names) == 8
    assert [part.settings.pick.value for part in parts[:4]] == [0.1, 0.1, 0.2, 0.2]
    assert {part.settings.search.epochs for part in parts} == {3}


def test_sweep_goes_on_and_equals_single_runs(call: Call, problems: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    both = [*SWEEP, "--problems", problems, "--out", out, "--json"]
    done = call(*both, "--workers", "2")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert [row["state"] for row in document["runs"]] == ["finished"] * 3
    assert [row["name"] for row in document["runs"]] == ["seven", "few", "kinds"]
    assert (out / "compare.html").exists()
    table = pq.read_table(out / "sweep.parquet").to_pylist()
    assert [row["density"] for row in table] == [row["density"] for row in document["runs"]]
    files = sorted((out / "runs").rglob("adapter/*.safetensors"))
    assert len(files) == 3
    before = [file.read_bytes() for file in files]

    single = tmp_path / "single"
    search = ["reengineer", *SWEEP[1:], "--labels", "7", "--out", single, "--quiet"]
    assert call(*search).code == 0
    ours = next((out / "runs/seven/adapter").glob("*.safetensors"))
    assert next((single / "adapter").glob("*.safetensors")).read_bytes() == ours.read_bytes()

    (out / "runs/few/report.json").unlink()  # as a kill before the end would leave it
    files[-1].write_bytes(files[-1].read_bytes()[:-1])  # as a copy that was broken off
    again = call(*both, "--workers", "1")
    assert again.code == 0, again.err
    assert "few: finished" in again.err
    assert [file.read_bytes() for file in files] == before


def test_a_problem_that_fails_stops_no_other(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "problems.yaml"
    file.write_text("seven: 7")
    out = tmp_path / "sweep"
    grid = ["--grid", "head_lr=1e38,0.01"]
    found = call(*SWEEP, "--problems", file, "--out", out, "--json", "--workers", "2", *grid)
    assert found.code == 2
    failed, finished = json.loads(found.out)["runs"]
    assert (failed["state"], finished["state"]) == ("failed", "finished")
    assert failed["error"].startswith("RuntimeError: value cannot be converted")
    assert "1 of 2 problems failed" in found.err.strip().splitlines()[-1]
    assert "Traceback" not in found.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --each-label or --problems FILE"),
        (["--each-label", "--grid", "keep"], "--grid 'keep' is not of the form OPTION=VALUE,VALUE"),
        (["--each-label", "--grid", "epohs=1,2"], "did you mean 'epochs'"),
        (["--each-label", "--grid", "epochs=0"], "epochs is 0"),
        (["--each-label", "--workers", "0"], "workers is 0"),
        (["--each-label", "--workers", "2", "--address", "auto"], "leave --workers out"),
        (["--each-label", "--gpus-per-problem", "64"], "more than the"),
        (["--each-label", "--rename", "1=11"], "11"),
    ],
)
def test_bad_input_starts_nothing(
    arguments: list[str], message: str, call: Call, tmp_path: Path
) -> None:
    found = call(*SWEEP, "--out", tmp_path / "sweep", *arguments)
    assert found.code == 2
    assert message in found.err
    assert len(found.err.strip().splitlines()) == 1


def test_bad_problems_file(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "problems.yaml"
    file.write_text("seven: {a: 7}")
    found = call(*SWEEP, "--problems", file, "--out", tmp_path / "sweep")
    assert found.code == 2
    assert "problem 'seven' is no label, list of labels or groups" in found.err


def test_another_folder_is_left_alone(call: Call, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    found = call(*SWEEP, "--each-label", "--out", tmp_path)
    assert found.code == 2
    assert "is not empty and holds no sweep" in found.err
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_second_process_is_refused(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    with held(folder, what="the first"):
        found = call(*SWEEP, "--each-label", "--out", folder)
    assert found.code == 2
    assert "is in use by another process" in found.err
    assert list(folder.iterdir()) == []


def test_dry_run_writes_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = call(*SWEEP, "--each-label", "--out", "sweep", "--dry-run", "--json")
    assert list(tmp_path.iterdir()) == []
    rows = json.loads(found.out)["runs"]
    assert [row["name"] for row in rows] == list("0123456789")
    assert {row["state"] for row in rows} == {"waiting"}
    assert all(row["samples"]["train"] and row["steps"] for row in rows)


def test_dry_run_finds_what_would_fail(call: Call, tmp_path: Path) -> None:
    problems = tmp_path / "problems.yaml"
    problems.write_text("good: ['3', '5']\nbad: ['3', 'x']\n")
    found = call(*SWEEP, "--problems", problems, "--dry-run")
    assert found.code == 2
    assert "label 'x' is not among the base model's 10 labels" in found.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    found = call(*SWEEP, "--each-label", "--out", tmp_path / "mine", "--dry-run")
    assert found.code == 2
    assert "is not empty and holds no sweep" in found.err
    problems.write_text("good: ['3', '5']\nbad: ['3', '0']\n")
    found = call(*SWEEP, "--problems", problems, "--rename", "0=zero", "--dry-run", "--json")
    good, bad = json.loads(found.out)["runs"]
    assert (found.code, good["state"], bad["state"]) == (2, "waiting", "failed")
    assert f"1 of 2 problems failed, the first, 'bad': {bad['error']}" in found.err
