"""Every way to a student runs on the same data and steps, and is loaded again."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
import transfer as bench
import transfer_tables
from peers.inherited import Inherited
from peers.shapes import reset
from peers.students import (
    METHODS,
    RECIPES,
    covered,
    draw_anew,
    drawn_to,
    largest,
    relevant,
    stages,
)
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
        base="digits",
        methods=(*METHODS, *bench.OURS),
        removed=[0.5],
        epochs=2,
        seed=0,
        batch_size=16,
        shots=10,
        augment="crop",
        granularity="weight",
        recipe="adam",
        precision="float32",
        rate=0.002,
        students=tmp_path,
    )
    seen: list[nn.Module] = []
    attacks = Inherited(40)

    def inheritance(student: nn.Module, task: Task) -> dict[str, Any]:
        seen.append(student)
        return attacks(student, task)

    rows = list(bench.rows_of(base, "digits", args, inheritance=inheritance))
    done = [(row["method"], row["removed"]) for row in rows]
    assert not list(bench.rows_of(base, "digits", args, inheritance=inheritance, done=done))
    assert [row["method"] for row in rows] == [*METHODS, *bench.OURS]
    assert len({row["split_hash"] for row in rows}) == 1
    assert {row["steps"] for row in rows} == {2 * -(-rows[0]["n"]["train"] // 16)}
    assert len(seen) == len(rows)
    json.dumps(rows)
    images = torch.randn(4, *base.example().shape[1:])
    for row, model in zip(rows, seen, strict=True):
        assert row["accuracy"]["reengineered"]["n"] == 597
        assert row["inheritance"]["attacked"] == 40
        found = seam.load(tmp_path / row["student"] / "adapter", base=base)
        assert isinstance(found.model, nn.Module)
        with torch.no_grad():
            assert torch.allclose(found.model(images), model(images), atol=1e-5)
    assert rows[0]["settings"]["rate"] == rows[-1]["settings"]["search"]["rates"]["tune"] == 0.002
    density = {row["method"]: row["density"] for row in rows}
    assert density["magnitude"] == pytest.approx(0.5, abs=1e-3)
    assert all(density[name] == pytest.approx(0.5, abs=1e-3) for name in bench.OURS)
    assert density["finetune"] == density["remos"] == density["reinitialise"] == 1.0
    assert density["scratch"] == density["renofeation"] == 1.0
    assert len({row["inheritance"]["features"]["base"]["value"] for row in rows}) == 1
    table = transfer_tables.students([{"rows": [{"target": "digits", **row} for row in rows]}])
    assert all(name in table for name in transfer_tables.NAMES.values())


def test_less_is_against_fine_tuning_on_the_same_seed() -> None:
    """And with the same number of steps; means are of the longest runs of today's default."""
    today = seam.plan(PARITY, remove=0.5).to_dict()
    older = seam.plan(PARITY, remove=0.5, norm="train").to_dict()

    def row(method: str, seed: int, accuracy: float, rate: float, **more: Any) -> dict[str, Any]:
        share = {"low": 0.0, "high": 1.0, "n": 10}
        return {
            "base": "zoo:digits",
            "target": "digits",
            "steps": 100,
            "settings": today if method == "seam" else {"rate": 0.003},
            **more,
            "method": method,
            "seed": seed,
            "removed": 0.5 if method == "seam" else 0.0,
            "accuracy": {"reengineered": {"value": accuracy, **share}},
            "inheritance": {key: {"value": rate, **share} for key in transfer_tables.ATTACKS},
        }

    def old_safer() -> dict[str, Any]:
        """Shown attacks, and no teacher."""
        settings = seam.plan(PARITY, remove=0.5, safer="attacks").to_dict()
        del settings["search"]["graded"]
        rest = {"weights": {"kept": 1, "base": 2}, "seconds": {"cpu": 1}, "n": {"test": 10}}
        found = row("seam", 0, 0.9, 0.4, settings=settings, batch_size=64, **rest)
        found["inheritance"] |= {"adaptive": found["inheritance"]["logits"], "attacked": 10}
        return found

    rows = [row("finetune", 0, 0.9, 0.4), row("seam", 0, 0.88, 0.1), row("seam", 1, 0.1, 0.9)]
    assert "| seam | 50 | -2.0 | 75.0 | 75.0 |" in transfer_tables.reductions([{"rows": rows}])
    rows += [row("finetune", 0, 0.9, 0.4, steps=900), row("seam", 0, 0.91, 0.2, steps=900)]
    rows += [row("finetune", 0, 0.9, 0.4, target="b"), row("seam", 0, 0.89, 0.1, target="b")]
    table = transfer_tables.reductions([{"rows": rows}])
    assert "| 100 | seam | 50 | -2.0 | 75.0 | 75.0 |" in table
    assert "| 900 | seam | 50 | 1.0 | 50.0 | 50.0 |" in table
    assert "| mean of 2 |  |  | seam | 50 | 0.0 | 62.5 | 62.5 |" in table
    rows += [row("finetune", 0, 0.9, 0.4, steps=999)]
    rows += [row("seam", 0, 0.9, 0.4, steps=999, settings=older)]
    table = transfer_tables.reductions([{"rows": rows}])
    assert "| 999 | seam * | 50 | 0.0 | 0.0 | 0.0 |" in table
    assert "| mean of 2 |  |  | seam | 50 | 0.0 | 62.5 | 62.5 |" in table
    assert "| seam * |" in transfer_tables.students([{"rows": [old_safer()]}])
    row_of_today = old_safer()
    row_of_today["settings"]["search"]["graded"] = True
    assert "| seam |" in transfer_tables.students([{"rows": [row_of_today]}])
    row_of_today["settings"]["search"]["safer"]["warmup"] += 1
    assert "| seam * |" in transfer_tables.students([{"rows": [row_of_today]}])


def test_smallest_weights_are_drawn_anew_and_others_stay(task: Task) -> None:
    model = task.headed()
    masks = largest(model, task, 0.5)
    before = {name: value.clone() for name, value in model.backbone.named_parameters()}
    draw_anew(model.backbone, masks, seed=0)
    for name, value in model.backbone.named_parameters():
        mask = masks.get(name, torch.ones_like(value, dtype=torch.bool))
        assert value[mask].equal(before[name][mask])
    drawn = torch.cat([(dict(model.backbone.named_parameters())[n])[~m] for n, m in masks.items()])
    gone = torch.cat([before[n][~m] for n, m in masks.items()])
    assert drawn.std() > gone.std()


def test_magnitude_removes_the_smallest(task: Task) -> None:
    model = task.headed()
    masks = largest(model, task, 0.3)
    parameters = {n: value.detach() for n, value in model.backbone.named_parameters()}
    kept = min(float(parameters[n][mask].abs().min()) for n, mask in masks.items())
    gone = max(
        float(parameters[n][~mask].abs().max()) for n, mask in masks.items() if not mask.all()
    )
    assert gone < kept


def test_stages_end_where_pictures_become_smaller(task: Task) -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    )
    assert stages(module, torch.zeros(1, 1, 8, 8)) == ["1", "2"]


def test_renofeation_draws_features_to_those_of_the_base(task: Task) -> None:
    teacher, model = task.headed().eval(), task.headed().requires_grad_(False)
    batch = next(iter(task.data.search.train.shuffled(16, seed=0)))
    with drawn_to(teacher, model, task) as apart:
        model.eval()(batch.images)
        assert float(apart(batch)) == 0, "the base itself, and nothing dropped"
        model.train()(batch.images)
        dropped = float(apart(batch))
        reset(model, seed=0)
        model.train()(batch.images)
        assert float(apart(batch)) > dropped > 0
    assert not any(layer._forward_hooks for layer in [*model.modules(), *teacher.modules()])


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
