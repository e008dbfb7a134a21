"""Every way to a student runs on the same data and steps, and is loaded again."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
import transfer as bench
from peers.students import METHODS, RECIPES, covered, largest, relevant
from torch import nn

import seam
from seam.jobs.task import Task

PARITY = seam.Problem.new_labels(["3", "5", "8"])


@pytest.fixture(scope="module")
def base() -> seam.BaseModel:
    return seam.load_base("zoo:digits")


@pytest.fixture(scope="module")
def task(base: seam.BaseModel) -> Task:
    return Task(base, PARITY, "digits", seam.plan(PARITY, epochs=1, shots=20, batch_size=16))


def test_rows_have_the_same_split_and_steps(base: seam.BaseModel, tmp_path: Path) -> None:
    args = Namespace(
        methods=(*METHODS, "seam"),
        removed=[0.5],
        epochs=2,
        seed=0,
        batch_size=16,
        shots=10,
        augment="crop",
        granularity="weight",
        recipe="adam",
        students=tmp_path,
    )
    seen: list[nn.Module] = []

    def inheritance(student: nn.Module, task: Task) -> dict[str, Any]:
        seen.append(student)
        return {"n": len(task.data.test)}

    rows = list(bench.rows_of(base, "digits", args, inheritance=inheritance))
    assert [row["method"] for row in rows] == [*METHODS, "seam"]
    assert len({row["split_hash"] for row in rows}) == 1
    assert {row["steps"] for row in rows} == {2 * -(-rows[0]["n"]["train"] // 16)}
    assert len(seen) == 5
    json.dumps(rows)
    images = torch.randn(4, *base.example().shape[1:])
    for row, model in zip(rows, seen, strict=True):
        assert row["accuracy"]["reengineered"]["n"] == row["inheritance"]["n"] == 597
        found = seam.load(tmp_path / row["student"] / "adapter", base=base)
        assert isinstance(found.model, nn.Module)
        with torch.no_grad():
            assert torch.allclose(found.model(images), model(images), atol=1e-5)
    density = {row["method"]: row["density"] for row in rows}
    assert density["magnitude"] == pytest.approx(0.5, abs=1e-3)
    assert density["seam"] == pytest.approx(0.5, abs=1e-3)
    assert density["finetune"] == density["remos"] == 1.0


def test_magnitude_removes_the_smallest(task: Task) -> None:
    model = task.headed()
    masks = largest(model, task, 0.3)
    parameters = {n: value.detach() for n, value in model.backbone.named_parameters()}
    kept = min(float(parameters[n][mask].abs().min()) for n, mask in masks.items())
    gone = max(
        float(parameters[n][~mask].abs().max()) for n, mask in masks.items() if not mask.all()
    )
    assert gone < kept


def test_remos_zeroes_large_weights_that_are_seldom_used(task: Task) -> None:
    model = task.headed()
    coverage = covered(model, (batch.images for batch in task.data.search.train.ordered(64)))
    assert all(
        0 <= float(each.min()) <= float(each.max()) <= 1 for c in coverage.values() for each in c
    )
    masks = relevant(model, task, 0.1)
    removed = sum(int((~mask).sum()) for mask in masks.values())
    assert removed == pytest.approx(0.1 * sum(m.numel() for m in masks.values()), rel=0.05)
    parameters = {n: value.detach() for n, value in model.backbone.named_parameters()}
    gone = torch.cat([parameters[n][~mask].abs() for n, mask in masks.items()])
    kept = torch.cat([parameters[n][mask].abs() for n, mask in masks.items()])
    assert gone.mean() > kept.mean()
    used = torch.cat(
        [
            coverage[n.removesuffix(".weight")][1].repeat_interleave(m[0].numel())[~m.flatten()]
            for n, m in masks.items()
        ]
    )
    every = torch.cat(
        [
            coverage[n.removesuffix(".weight")][1].repeat_interleave(m[0].numel())
            for n, m in masks.items()
        ]
    )
    assert used.mean() < every.mean()


def test_recipes_are_named(task: Task) -> None:
    for recipe in RECIPES.values():
        optimizer, _ = recipe.optimizers(task.headed(), 10)
        assert [group["lr"] for group in optimizer.param_groups] == [recipe.head_rate, recipe.rate]
