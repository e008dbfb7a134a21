"""Every peer runs, meets its budget, and is rebuilt from its program; the table is gathered."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from peers import prune, run, shapes, table

import seam
from seam.errors import ConfigError
from seam.evaluation.cost import executed_macs
from seam.evaluation.latency import Budget, LatencyPlan
from seam.exporting.program import to_program
from seam.masking.head import attach_head
from seam.models.zoo.cifar_resnet import CifarResNet, PadShortcut

PROBLEM = seam.Problem.subset(["3", "8", "9"])
SHARE = 0.3
EXAMPLE = torch.zeros(1, 3, 32, 32)


def settings(**changes: Any) -> Any:
    few = {"shots": 30, "batch_size": 16, "epochs": 2, "levels": 2, "growth": 1.0}
    size = {"final_macs": SHARE, "keep_macs": SHARE}
    return seam.plan(PROBLEM, granularity="channel", **{**few, **size, **changes})


@pytest.mark.parametrize("method", run.METHODS)
def test_a_peer_has_our_steps_and_at_most_our_macs(method: str, tmp_path: Path) -> None:
    base = seam.load_base("zoo:digits")
    row, module = run.row_of_peer(base, PROBLEM, "digits", method, settings())
    assert row["steps"] == 2 * -(-row["n"]["train"] // 16)
    assert len(row["points"]) in (2, 3)  # the published search has a point before it
    assert 0 <= row["accuracy"]["reengineered"]["low"] <= row["accuracy"]["reengineered"]["high"]
    assert row["against_restricted"]["difference"]["n"] == row["n"]["test"]
    assert row["limits"]
    most = {"paper": 1.01, "l1": SHARE * 1.02, "scratch": SHARE * 1.02}.get(method, SHARE)
    assert 0.25 * most < row["macs"]["share"] <= most
    json.dumps(row)

    program = tmp_path / "peer.pt2"
    to_program(module, base.example(), program)
    brief = Budget(rounds=2, seconds=0.0, turn_ms=0.1)
    plan = LatencyPlan(runtimes=("torch",), batches=(1,), threads=1, budget=brief)
    if method in ("l1", "paper"):
        found = run.timed(base, row, program, "digits", plan)
        assert found["latency"]["torch"]["1"]["ratio"] > 0


def test_ours_has_the_same_split_and_steps() -> None:
    base = seam.load_base("zoo:digits")
    plan = settings(epochs=1, levels=1)
    ours = seam.reengineer(base, PROBLEM, "digits", settings=plan).report
    row, _ = run.row_of_peer(base, PROBLEM, "digits", "l1", plan)
    assert row["split_hash"] == ours["split_hash"]
    assert row["accuracy"]["restricted"] == ours["accuracy"]["restricted"]
    assert row["macs"]["base"] == ours["macs"]["base"]


def test_steps_like_takes_our_runs_settings(tmp_path: Path) -> None:
    wanted = settings(seed=3)
    values = {"search": wanted.search.to_dict(), "data": wanted.data.to_dict()}
    ours = {"settings": values, "problem": PROBLEM.to_dict(), "seed": 3}
    file = tmp_path / "ours.json"
    file.write_text(json.dumps(ours))
    base = seam.load_base("zoo:digits")
    found = run.settings_of("resnet20", PROBLEM, base, Namespace(steps_like=file, seed=3))
    assert found.to_dict() == wanted.to_dict()
    with pytest.raises(ConfigError, match="another problem or seed"):
        run.settings_of("resnet20", PROBLEM, base, Namespace(steps_like=file, seed=4))


@pytest.mark.parametrize("kind", ["replace", "slice"])
@pytest.mark.parametrize("method", ["tp-group-norm", "tp-group-taylor", "l1"])
def test_residual_streams_are_pruned(method: str, kind: Any) -> None:
    torch.manual_seed(0)
    members = [[0], [1], [2]]
    net = CifarResNet(depth=8).eval()
    model = attach_head(net, kind, members, example=EXAMPLE, seed=0)
    images = torch.randn(4, 3, 32, 32)
    before, base_macs = model(images), executed_macs(model, EXAMPLE)
    prune.prunable(model)
    torch.testing.assert_close(model(images), before)
    losses = [lambda: model(images).square().mean()]
    smaller = prune.to_share(
        model, method, 0.3, example=EXAMPLE, base_macs=base_macs, losses=losses
    ).eval()
    assert 0.1 < executed_macs(smaller, EXAMPLE) / base_macs <= 0.3 * 1.02
    assert smaller(images).shape == (4, 3)
    widths = {len(v) for n, v in smaller.state_dict().items() if n.endswith("running_mean")}
    assert all(width % 8 == 0 for width in widths)


def test_removing_silent_channels_changes_nothing() -> None:
    """Half of every layer, and of every stage's stream, is silent: that half goes."""
    torch.manual_seed(0)
    model = attach_head(
        CifarResNet(depth=8).eval(), "replace", [[0], [1], [2]], example=EXAMPLE, seed=0
    )
    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            ins = layer.weight.shape[1]
            layer.weight.data[:, : ins // 2 if ins > 3 else 0] = 0
        if isinstance(layer, torch.nn.Conv2d | torch.nn.BatchNorm2d):
            layer.weight.data[: len(layer.weight) // 2] = 0
    prune.prunable(model)
    smaller = prune.pruned(model, "tp-group-norm", 0.5, EXAMPLE)
    assert 0.25 <= executed_macs(smaller, EXAMPLE) / executed_macs(model, EXAMPLE) < 0.27
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(smaller(images), model(images))


def test_a_gather_prunes_as_zeros_would() -> None:
    pad = PadShortcut(4, 8, stride=2)
    gather = shapes.Gather.of(pad)
    images = torch.randn(2, 4, 6, 6)
    assert torch.equal(gather(images), pad(images))
    assert isinstance(gather.plain(), PadShortcut)
    assert torch.equal(gather.plain()(images), pad(images))
    gather.remove_inputs([1])
    silent = images.clone()
    silent[:, 1] = 0
    left = images[:, [0, 2, 3]]
    assert torch.equal(gather(left), pad(silent))
    gather.remove_outputs([0, 4])
    assert torch.equal(gather(left), pad(silent)[:, [1, 2, 3, 5, 6, 7]])
    assert gather.plain() is gather or torch.equal(gather.plain()(left), gather(left))


def test_a_narrow_net_has_plain_shortcuts() -> None:
    net = CifarResNet(depth=8)
    model = attach_head(net, "replace", [[0], [1], [2]], example=EXAMPLE, seed=0)
    base_macs = executed_macs(model, EXAMPLE)
    narrow = prune.narrow(model, 0.25, example=EXAMPLE, base_macs=base_macs, seed=0)
    assert 0.2 < executed_macs(narrow.eval(), EXAMPLE) / base_macs <= 0.25 * 1.02
    images = torch.randn(2, 3, 32, 32)
    found = narrow(images)
    shapes.without_gathers(shapes.with_gathers(narrow))
    assert any(isinstance(each, PadShortcut) for each in narrow.modules())
    torch.testing.assert_close(narrow(images), found)


def test_the_table_holds_ours_beside_the_peers(tmp_path: Path) -> None:
    share = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 300}
    row: dict[str, Any] = {
        "base": "zoo:digits",
        "problem": PROBLEM.to_dict(),
        "seed": 0,
        "accuracy": {"reengineered": share, "restricted": share},
        "against_restricted": {"difference": {**share, "value": 0.01}},
        "macs": {"base": 100, "executed": 25},
        "weights": {"base": 100, "kept": 20},
        "seconds": {"search": 12.3},
        "split_hash": "abc",
        "latency": {"openvino": {"1": {"ratio": 0.5}, "16": {"ratio": 0.25}}},
    }
    (tmp_path / "peers").mkdir()
    ours = {**row, "settings": {"search": {"epochs": 4}}}
    (tmp_path / "peers" / "ours_0.json").write_text(json.dumps(ours))
    for seed in (0, 1):
        peer = {**ours, "method": "l1", "epochs": 4, "seed": seed, "limits": ["a limit"]}
        (tmp_path / "peers" / f"l1_{seed}.json").write_text(json.dumps(peer))
    lines = table.table(table.gathered(tmp_path)).splitlines()
    heads, first, second = ([c.strip() for c in lines[i].split("|")[1:-1]] for i in (0, 2, 3))
    assert dict(zip(heads, first, strict=True))["method"] == "ours"
    found = dict(zip(heads, second, strict=True))
    assert (found["method"], found["seeds"], found["MACs"]) == (
        "l1",
        "0, 1",
        "25.00 (25.00 to 25.00)",
    )
    assert found["openvino, 1 / 16"] == "0.500 / 0.250"
    assert lines[-1] == "- l1: a limit."
    other = {**ours, "split_hash": "of another split"}
    (tmp_path / "peers" / "other_0.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match="different data splits"):
        table.gathered(tmp_path)
