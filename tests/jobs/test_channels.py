"""Direct reuse with channels: a smaller network, proved to be the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import seam
from seam.artefacts.model_folder import PROGRAM, TENSORS, load_model
from seam.artefacts.model_manifest import MANIFEST
from seam.core.preprocessing import Preprocessing
from seam.errors import ConfigError, ModelError
from seam.evaluation.accuracy import outputs_of, share_right
from seam.evaluation.cost import executed_macs
from seam.jobs.observe import Silent
from seam.jobs.result import Result
from seam.models.base import BaseModel

PROBLEMS = {
    "subset": seam.Problem.subset(["3", "5", "8"]),
    "one-vs-rest": seam.Problem.one_vs_rest("7"),
}


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return seam.load_base("zoo:digits")


def search(base: BaseModel, problem: seam.Problem, out: Path | None, **changes: Any) -> Result:
    changes = {"epochs": 4, "levels": 2, "final_macs": 0.25, "keep_macs": 0.5, **changes}
    plan = seam.plan(problem, granularity="channel", **changes)
    return seam.reengineer(base, problem, "digits", out=out, settings=plan)


@pytest.fixture(scope="module", params=list(PROBLEMS))
def done(
    request: pytest.FixtureRequest, base: BaseModel, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    return search(base, PROBLEMS[request.param], tmp_path_factory.mktemp("runs") / "run")


def test_the_report_counts_what_is_there(done: Result, base: BaseModel) -> None:
    report = done.report
    example = base.example()
    assert report["model"]["kind"] == "shrunk"
    assert report["model"]["difference"] <= 1e-5
    assert report["model"]["samples"] == 64
    assert report["removal"].startswith("shrunk")
    assert report["weights"]["kept"] == sum(each.numel() for each in done.model.parameters())
    assert report["macs"]["executed"] == executed_macs(done.model, example)
    assert report["macs"]["executed"] <= 0.5 * report["macs"]["base"]
    predicted = outputs_of(done.model, done.data.test).argmax(1)
    right = share_right(predicted, done.data.test.targets)
    assert report["accuracy"]["reengineered"] == right.to_dict()
    assert right.value > 0.8


def test_the_model_is_plain_and_smaller_on_disk(done: Result) -> None:
    assert done.folder is not None
    kinds = {type(layer).__module__.partition(".")[0] for layer in done.model.modules()}
    assert kinds <= {"torch", "seam"}
    assert not any("parametriz" in name for name, _ in done.model.named_modules())
    size = (done.folder / "model" / TENSORS).stat().st_size
    stored = sum(v.numel() * v.element_size() for v in done.model.state_dict().values())
    assert stored <= size <= stored + 4096


def test_loads_without_search_and_without_the_bases_weights(done: Result) -> None:
    assert done.folder is not None
    images = torch.cat([batch.images for batch in done.data.test.ordered(64)])
    with torch.no_grad():
        expected = done.model(images)
        for place in (done.folder, done.folder / "model"):
            predictor = seam.load(place)
            assert torch.allclose(predictor.model(images), expected, atol=1e-5)
            assert list(predictor.outputs) == list(done.report["problem"]["outputs"])


def test_the_program_runs_where_seam_is_not(done: Result, tmp_path: Path) -> None:
    assert done.folder is not None
    file = shutil.copy(done.folder / "model" / PROGRAM, tmp_path / "model.pt2")
    code = (
        "import sys, torch\n"
        "sys.modules['seam'] = None\n"
        f"program = torch.export.load({str(file)!r}).module()\n"
        "print([list(program(torch.zeros(n, 1, 8, 8)).shape) for n in (1, 5)])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    outputs = len(done.report["problem"]["outputs"])
    assert json.loads(ran.stdout) == [[1, outputs], [5, outputs]]


def test_the_masked_model_of_the_adapter_gives_the_same(done: Result, base: BaseModel) -> None:
    images = torch.cat([batch.images for batch in done.data.test.ordered(64)])
    masked = seam.apply_adapter(done.adapter, base)
    with torch.no_grad():
        expected = masked(images)
        found = done.model(images)
    assert float((expected - found).abs().max()) <= 1e-5 * float(expected.abs().max())
    for name, mask in done.adapter.masks.items():
        value = masked.backbone.get_parameter(name)
        assert bool((value[~mask] == 0).all())


def test_another_point_has_another_model(base: BaseModel, tmp_path: Path) -> None:
    run = tmp_path / "run"
    # One-vs-rest has a point before the first epoch, at which everything is still there; it stays
    # on the frontier where what is left at the end is little, and does not recover.
    small = {"final_macs": 0.02, "round_to": 1, "tune_lr": 1e-6, "head_lr": 1e-6}
    first = search(base, PROBLEMS["one-vs-rest"], run, keep_macs=None, epoch=0, **small)
    before = first.report["macs"]["executed"]
    again = seam.pick_again(run, seam.Pick(rule="keep_macs", value=0.02))
    assert again.report["macs"]["executed"] <= 0.02 * again.report["macs"]["base"]
    assert again.report["macs"]["executed"] < before
    predictor = seam.load(run)
    assert isinstance(predictor.model, nn.Module)
    assert executed_macs(predictor.model, base.example()) == again.report["macs"]["executed"]
    measured = seam.evaluate(run)
    assert measured["accuracy"] == again.report["accuracy"]
    assert measured["model"]["kind"] == "shrunk"


class Stopped(Silent):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == self.epoch and step == steps - 1:
            raise KeyboardInterrupt


def test_a_level_may_begin_in_an_epoch_of_the_head_alone(base: BaseModel) -> None:
    halves = {"growth": 1.0, "head": "replace", "head_epochs": 2, "shots": 30}
    result = search(base, PROBLEMS["subset"], None, **halves)
    assert result.report["macs"]["executed"] <= 0.5 * result.report["macs"]["base"]


@pytest.mark.parametrize("epoch", [1, 3])
def test_an_interrupted_run_ends_with_the_same_bytes(
    base: BaseModel, tmp_path: Path, epoch: int
) -> None:
    problem = PROBLEMS["one-vs-rest"]
    plan = seam.plan(problem, granularity="channel", epochs=4, levels=2, final_macs=0.25)
    whole = seam.reengineer(base, problem, "digits", out=tmp_path / "whole", settings=plan)
    with pytest.raises(KeyboardInterrupt):
        seam.reengineer(
            base, problem, "digits", out=tmp_path / "run", settings=plan, observer=Stopped(epoch)
        )
    seam.reengineer(base, problem, "digits", out=tmp_path / "run", settings=plan)
    assert whole.folder is not None
    for name in ("model/model.safetensors", "model/model.json", "adapter/adapter.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (whole.folder / name).read_bytes()


def test_an_own_module_is_passed_again(base: BaseModel, tmp_path: Path) -> None:
    own = BaseModel(base.module, base.labels, base.preprocessing)
    done = search(own, PROBLEMS["one-vs-rest"], tmp_path / "run")
    with pytest.raises(ModelError, match="made from an own module"):
        seam.load(tmp_path / "run")
    model = seam.load(tmp_path / "run", base=own).model
    images = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(model(images), done.model(images), atol=1e-5)


def test_a_model_without_channels_asks_for_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    own = BaseModel(module, tuple("0123456789"), Preprocessing(size=8, mean=(0.3,), std=(0.4,)))
    with pytest.raises(ConfigError, match=r"no channel .* choose --granularity weight"):
        search(own, PROBLEMS["one-vs-rest"], tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"final_macs": 0.001, "keep_macs": None}, "budget of .* cannot be met"),
        ({"keep_macs": 0.1}, "smallest point of the search keeps 0.25"),
        ({"final_density": 0.1}, "does not fit granularity 'channel'"),
        ({"preset_name": "paper"}, "preset 'paper' removes single weights"),
        ({"round_to": 0}, "round is 0"),
    ],
)
def test_bad_settings(
    base: BaseModel, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        search(base, PROBLEMS["one-vs-rest"], tmp_path / "run", **changes)
    assert not (tmp_path / "run" / "report.json").exists()


def test_nothing_but_the_head_may_be_tuned(base: BaseModel) -> None:
    done = search(base, PROBLEMS["one-vs-rest"], None, tune="none")
    assert done.report["model"]["kind"] == "shrunk"
    assert not done.adapter.delta


def damaged(folder: Path, **changes: Any) -> None:
    file = folder / MANIFEST
    document = json.loads(file.read_text())
    document.update(changes)
    file.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"version": 99},
        {"attributes": {"backbone.conv1": {"forward": 3}}},
        {"attributes": {"backbone.conv1": {"out_channels": "8"}}},
        {"attributes": {"nowhere": {"out_channels": 8}}},
        {"folded": ["backbone.nowhere"]},
        {"recipe": {"name": "zoo:none"}},
        {"recipe": {"surprise": 1}},
        {"recipe": {"name": "zoo:digits", "model_args": {"checkpoint_path": "x"}}},
        {"recipe": {"name": "model:."}},
        {"base": {}},
        {"tensors": {"bytes": 1, "sha256": "0" * 64}},
    ],
)
def test_a_damaged_model_is_refused(done: Result, tmp_path: Path, changes: dict[str, Any]) -> None:
    assert done.folder is not None
    folder = shutil.copytree(done.folder / "model", tmp_path / "model")
    damaged(folder, **changes)
    with pytest.raises(ModelError) as error:
        load_model(folder)
    assert "\n" not in str(error.value)


def test_a_truncated_model_is_refused(done: Result, tmp_path: Path) -> None:
    assert done.folder is not None
    folder = shutil.copytree(done.folder / "model", tmp_path / "model")
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"model\.safetensors' cannot be read"):
        load_model(folder)
    (folder / MANIFEST).write_text("{")
    with pytest.raises(ModelError, match=r"model\.json' is damaged"):
        load_model(folder)


def test_a_budget_in_time_is_met_by_the_whole_network(base: BaseModel, tmp_path: Path) -> None:
    plan = seam.plan(
        PROBLEMS["subset"],
        granularity="channel",
        epochs=4,
        levels=2,
        keep_latency=0.9,
        final_latency=0.3,
        runtime="onnxruntime",
        batch=16,
    )
    assert plan.search.channels.cost == "latency"
    run = tmp_path / "run"
    done = seam.reengineer(base, PROBLEMS["subset"], "digits", out=run, settings=plan)
    budget = done.report["model"]["budget"]
    assert (budget["asked"], budget["runtime"], budget["batch"]) == (0.9, "onnxruntime", 16)
    assert 0 < budget["measured"] <= 0.9
    assert budget["predicted"] <= 0.9
    table = (run / "latency_table.json").read_bytes()
    again = seam.pick_again(run, seam.Pick(rule="epoch", value=done.frontier[-1].epoch))
    assert (run / "latency_table.json").read_bytes() == table
    assert again.report["macs"]["executed"] <= done.report["macs"]["executed"]
    with pytest.raises(ConfigError, match=r"no point keeps at most 1\.00% .latency."):
        seam.pick_again(run, seam.Pick(rule="keep_latency", value=0.01))


def test_a_run_without_times_has_none_to_choose_by(base: BaseModel, tmp_path: Path) -> None:
    search(base, PROBLEMS["subset"], tmp_path / "run")
    with pytest.raises(ConfigError, match="its points have no latency"):
        seam.pick_again(tmp_path / "run", seam.Pick(rule="keep_latency", value=0.5))


def test_a_budget_in_an_unknown_runtime(base: BaseModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'openvino'"):
        search(
            base,
            PROBLEMS["subset"],
            tmp_path / "run",
            keep_macs=None,
            final_macs=None,
            keep_latency=0.5,
            runtime="openvin",
        )


def test_weights_are_searched_in_what_is_left(done: Result, tmp_path: Path) -> None:
    """Channels first, then weights: an adapter to the shrunk model, a fraction of its size."""
    assert done.folder is not None
    small = seam.load_base(f"model:{done.folder / 'model'}")
    assert list(small.labels) == list(done.report["problem"]["outputs"])
    kind = done.report["problem"]["kind"]
    problem = PROBLEMS[kind]
    plan = seam.plan(problem, epochs=2, levels=1, keep=0.5, final_density=0.5)
    again = seam.reengineer(small, problem, "digits", out=tmp_path / "run", settings=plan)
    assert again.report["density"] <= 0.501
    before = done.report["accuracy"]["reengineered"]["value"]
    # One against the rest draws its negatives from one label here, there from nine.
    close = 0.0 if kind == "subset" else 0.05
    assert again.report["accuracy"]["full"]["value"] == pytest.approx(before, abs=close + 1e-9)
    assert again.report["adapter_bytes"] < done.report["adapter_bytes"]
    assert seam.evaluate(tmp_path / "run")["accuracy"] == again.report["accuracy"]


def test_the_budget_counts_the_narrowed_head(base: BaseModel) -> None:
    problem = seam.Problem.subset(list("0123456789"))
    done = search(
        base, problem, None, epochs=1, levels=1, keep_macs=0.1, final_macs=0.1, round_to=1
    )
    assert done.report["macs"]["executed"] <= 0.1 * done.report["macs"]["base"]


def test_adapter_and_model_of_two_points_are_told_apart(done: Result, tmp_path: Path) -> None:
    assert done.folder is not None
    run = shutil.copytree(done.folder, tmp_path / "run")
    picked = done.report["picked"]["epoch"]
    other = next((point.epoch for point in done.frontier if point.epoch != picked), picked)
    seam.pick_again(run, seam.Pick(rule="epoch", value=other))
    shutil.rmtree(run / "model")
    shutil.copytree(done.folder / "model", run / "model")
    if other == picked:
        seam.load(run)
        pytest.skip("its frontier has one point, whose adapter and model go together")
    with pytest.raises(seam.SeamError, match="are of two points of a search"):
        seam.load(run)
