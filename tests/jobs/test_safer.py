"""Safer searches: runs continue to the same bytes, teachers see clean images, texts are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import hf_models
import pytest

import seam
from seam.core.config import Safer
from seam.errors import ConfigError
from seam.evaluation.accuracy import outputs_of
from seam.jobs.observe import Silent
from seam.jobs.task import Task
from seam.jobs.weakness import tried
from seam.models.base import BaseModel
from seam.search.frontier import Point

PROBLEM = seam.Problem.subset(["3", "5", "8"])


@pytest.fixture(scope="module")
def clean() -> BaseModel:
    return seam.load_base("zoo:digits")


class Stop(Silent):
    """Stops a search after its first epoch."""

    def point(self, point: Point, epochs: int) -> None:
        del epochs
        if point.epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("against", "adapts"),
    [("attacks", {}), ("attacks", {"tune": "all", "norm": "train"}), ("triggers", {})],
)
def test_a_run_goes_on_to_the_same_bytes(
    against: str, adapts: dict[str, str], clean: BaseModel, tmp_path: Path
) -> None:
    plan = seam.plan(PROBLEM, epochs=2, epoch=2, safer=against, shots=30, **adapts)
    assert plan.search.safer == Safer(against=against)  # type: ignore[arg-type]
    found = []
    for name in ("whole", "broken"):
        out = tmp_path / name
        if name == "broken":
            with pytest.raises(KeyboardInterrupt):
                seam.reengineer(clean, PROBLEM, "digits", out=out, settings=plan, observer=Stop())
        seam.reengineer(clean, PROBLEM, "digits", out=out, settings=plan)
        found.append((out / "adapter" / "adapter.safetensors").read_bytes())
    assert found[0] == found[1]
    other = replace(plan, search=replace(plan.search, safer=None))
    with pytest.raises(seam.SeamError, match="safer"):
        seam.reengineer(clean, PROBLEM, "digits", out=tmp_path / "whole", settings=other)
    without = seam.reengineer(clean, PROBLEM, "digits", out=tmp_path / "other", settings=other)
    assert (tmp_path / "other" / "adapter" / "adapter.safetensors").read_bytes() != found[0]
    assert "safer" in (tmp_path / "whole" / "config.yaml").read_text()
    assert without.report["density"] > 0


def test_points_before_attacks_were_whole_for_long_are_no_candidates(clean: BaseModel) -> None:
    plan = seam.plan(PROBLEM, epochs=4, remove=0.5, shots=30, safer=Safer(warmup=1000))
    result = seam.reengineer(clean, PROBLEM, "digits", settings=plan)
    assert [row["epoch"] for row in result.history] == [0, 1, 2, 3, 4]
    assert {point.epoch for point in result.frontier} <= {0, 3, 4}


@pytest.mark.parametrize(
    ("warmup", "ramp", "first"), [(0, 0, 5), (10, 0.1, 5.5), (40, 0.4, 7), (1000, 0.5, 7.5)]
)
def test_attacks_are_whole_for_half_of_the_search(warmup: int, ramp: float, first: float) -> None:
    search = seam.plan(PROBLEM, epochs=10, safer=Safer(warmup=warmup)).search
    assert search.ramp(samples=640) == ramp
    assert search.first_candidate(samples=640) == pytest.approx(first)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_nothing_grows_without_attacks_or_under_a_penalty(preset: str) -> None:
    safer = "triggers" if preset == "default" else "attacks"
    search = seam.plan(PROBLEM, preset_name=preset, safer=safer).search
    assert search.ramp(samples=640) == 0
    assert search.first_candidate(samples=640) == 0


def test_the_teacher_speaks_of_clean_images(clean: BaseModel) -> None:
    plan = seam.plan(PROBLEM, epochs=1, safer="attacks", shots=30)
    task = Task(clean, PROBLEM, "digits", plan)
    train = task.shown().train
    assert task.compared.train.equal(outputs_of(clean.module, task.data.search.train))
    batch = next(train.shuffled(16, seed=0))
    same = next(task.data.search.train.shuffled(16, seed=0))
    assert batch.numbers.equal(same.numbers)
    assert not batch.images.equal(same.images)
    assert batch.images[8:].equal(same.images[8:])


def test_texts_are_refused_before_the_search(tmp_path: Path) -> None:
    base = seam.load_base(f"hf:{hf_models.save_text_model(tmp_path / 'bert', steps=1)}")
    problem = seam.Problem.subset(["animal", "tool"])
    with pytest.raises(ConfigError, match=r"--safer changes pixels.*leave it out"):
        Task(base, problem, hf_models.text_data(), seam.plan(problem, safer="triggers"))


def test_labels_of_the_problem_are_tried_first(clean: BaseModel) -> None:
    assert list(tried(clean, PROBLEM)) == [8, 5, 3, 0, 1, 2, 4, 6, 7, 9]
    assert next(iter(tried(clean, seam.Problem.one_vs_rest("5")))) == 5
    many = replace(clean, labels=tuple(map(str, range(1000))))
    assert tried(many, seam.Problem.new_labels(["a", "b"])) == dict.fromkeys(range(20))


def test_each_label_that_is_tried_has_its_output(clean: BaseModel) -> None:
    found = tried(clean, PROBLEM)
    assert {label: found[label] for label in (3, 5, 8, 0)} == {3: 0, 5: 1, 8: 2, 0: None}
    assert tried(clean, seam.Problem.one_vs_rest("5")) == {5: 1} | dict.fromkeys(
        found.keys() - {5}, 0
    )
