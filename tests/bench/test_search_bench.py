"""The comparison's table of problems, its figures, and one row of it on real digits."""

from __future__ import annotations

from pathlib import Path

import pytest
from search import run
from search.figures import DENSITIES, hypervolume, reached
from search.methods import METHODS
from search.problems import cases, subsets

import seam
from seam.jobs.task import Task


def point(density: float, accuracy: float, steps: int = 0) -> dict[str, float]:
    values = {"density": density, "validation_accuracy": accuracy}
    return {**values, "steps": steps, "cpu_seconds": steps / 10}


def test_the_problems_are_those_of_the_list_and_always_the_same() -> None:
    names = list(cases())
    whole = [name for name in names if name.count("/") == 1]
    assert sum(name.startswith("resnet20/") for name in whole) == 15
    assert sum(name.startswith("resnet20-signs/") for name in whole) == 3
    assert sum(name.startswith("mobilenetv2/") for name in whole) == 4
    assert sum(name.startswith("vgg16") for name in whole) == 3
    assert len(names) == 4 * len(whole)
    assert subsets(5) == subsets(5)
    assert cases()["resnet20/cat/50"].shots == 50


def test_hypervolume_of_steps_by_hand() -> None:
    points = [point(1.0, 1.0), point(0.1, 0.75), point(0.5, 0.7)]  # the last is beaten
    assert hypervolume(points, "density", 0.5) == pytest.approx(0.5 * 0.5)
    assert hypervolume([point(0.001, 1.0)], "density", 0.5) == 1.0
    assert hypervolume([point(0.1, 0.4)], "density", 0.5) == 0.0


def test_a_denser_point_never_lowers_the_hypervolume() -> None:
    points = [point(0.1, 0.9)]
    assert hypervolume([*points, point(0.6, 0.95)], "density", 0.5) > hypervolume(
        points, "density", 0.5
    )


def test_reached_is_the_first_small_point_that_is_no_worse() -> None:
    found = reached([point(0.45, 0.9, 10), point(0.2, 0.895, 20), point(0.1, 0.88, 30)], 0.9)
    steps = {row["density"]: row["steps"] for row in found}
    assert [steps[d] for d in DENSITIES] == [10, 20, 20, 20, None, None, None]
    assert found[1]["cpu_seconds"] == 2.0


def test_a_row_of_digits_chooses_on_validation_and_tests_what_it_chose(tmp_path: Path) -> None:
    base, problem = seam.load_base("zoo:digits"), seam.Problem.one_vs_rest("7")
    changes = {"epochs": 3, "levels": 3, "batch_size": 32, "augment": "crop"}
    method = METHODS["magnitude"]
    settings = method.plan(problem, ("zoo:digits", 10), **changes)
    whole = Task(base, problem, "digits", settings)
    row = run.row_of(run.task_for(whole, method, ("", 10), changes), "magnitude", "digits/7")
    assert [each["epoch"] for each in row["points"]] == [0, 1, 2, 3]
    assert row["points"][-1]["density"] == pytest.approx(0.1, abs=0.001)
    assert row["points"][0]["steps"] == 0
    assert 0 < row["hypervolume"]["density"] <= 1
    picked, *sized = row["test"]
    assert picked["size"] is None
    assert [each["size"] for each in sized] == [0.4, 0.2, 0.1]
    assert all(each["density"] <= each["size"] + 1e-3 for each in sized)
    assert row["test"][0]["accuracy"]["n"] == len(whole.data.test)


def test_nncf_walks_down_as_the_others_do_and_is_measured_alike() -> None:
    base, problem = seam.load_base("zoo:digits"), seam.Problem.of(["3", "5", "8"])
    changes = {"epochs": 8, "final_density": 0.3, "batch_size": 32, "augment": "crop"}
    method = METHODS["nncf"]
    settings = method.plan(problem, ("zoo:digits", 10), **changes)
    whole = Task(base, problem, "digits", settings)
    row = run.row_of(run.task_for(whole, method, ("", 10), changes), "nncf", "digits/3-5-8")
    first, last = row["points"][0], row["points"][-1]
    assert (first["density"], first["steps"]) == (1.0, 0)
    assert first["validation_accuracy"] == row["validation"]["restricted"]
    assert 0.1 < last["density"] < 0.6
    assert last["validation_accuracy"] > 0.7
    tested = {each["size"]: each["accuracy"]["value"] for each in row["test"]}
    assert tested[None] > 0.7
