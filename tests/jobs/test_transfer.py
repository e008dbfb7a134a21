"""Indirect reuse: new labels, from data the base was not trained for, at both granularities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import seam
from seam.core.preprocessing import Preprocessing
from seam.data.digits import load_digits
from seam.data.load import labels_of
from seam.errors import ConfigError, DataError, LabelError, ModelError
from seam.evaluation.accuracy import outputs_of, share_right
from seam.jobs.observe import Silent
from seam.jobs.plan import kept
from seam.jobs.result import Result
from seam.models.base import BaseModel

PARITY = seam.Problem.new_labels(["even", "odd"])
RENAMED = {str(digit): PARITY.outputs[digit % 2] for digit in range(10)}
SETTINGS: dict[str, dict[str, Any]] = {
    "weight": {"epochs": 3, "levels": 1, "remove": 0.5},
    "channel": {"granularity": "channel", "epochs": 3, "levels": 1, "remove": 0.5},
    "paper": {
        "preset_name": "paper",
        "epochs": 40,
        "finetune_epochs": 2,
        "remove": 0.3,
        "score_lr": 0.2,
    },
}


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return seam.load_base("zoo:digits")


def parity(base: BaseModel, out: Path | None, kind: str, **more: Any) -> Result:
    changes = {"rename": RENAMED, "batch_size": 32, "shots": 100, **SETTINGS[kind]}
    settings = seam.plan(PARITY, **changes)
    return seam.transfer(base, "digits", problem=PARITY, out=out, settings=settings, **more)


@pytest.fixture(scope="module", params=list(SETTINGS))
def done(
    request: pytest.FixtureRequest, base: BaseModel, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    return parity(base, tmp_path_factory.mktemp("runs") / "run", request.param)


def asked(done: Result) -> float:
    return float(done.report["picked"]["value"])


def test_the_report_has_one_honest_baseline(done: Result) -> None:
    report = done.report
    assert list(report["accuracy"]) == ["head_only", "reengineered"]
    assert report["reference"] == "head_only"
    assert not {"against_restricted", "full", "restricted"} & set(report)
    assert set(report["validation"]) == {"head_only", "reengineered"}
    assert set(report["per_label"][0]) == {"label", "n", "head_only", "reengineered"}
    gain = report["against_head_only"]["difference"]
    right = {name: figure["value"] for name, figure in report["accuracy"].items()}
    assert gain["value"] == pytest.approx(right["reengineered"] - right["head_only"])
    assert report["accuracy"]["reengineered"]["n"] == 597
    assert right["reengineered"] > 0.7


def test_the_wanted_share_is_removed_and_stays_removed(done: Result, base: BaseModel) -> None:
    share = asked(done)
    assert share - 0.13 < done.report["density"] <= share + 5e-5
    applied = seam.apply_adapter(done.adapter, base)
    parameters = dict(applied.backbone.named_parameters())
    removed = 0
    for name, mask in done.adapter.masks.items():
        assert bool((parameters[name][~mask] == 0).all())
        removed += int((~mask).sum())
    assert removed == round((1 - done.report["density"]) * done.adapter.maskable)


def test_the_walk_starts_with_the_head_alone(done: Result) -> None:
    first = done.history[0]
    assert (first["epoch"], first["density"]) == (0, 1.0)
    assert first["validation_accuracy"] == done.report["validation"]["head_only"]


def test_it_is_used_like_any_other_run(done: Result, tmp_path: Path) -> None:
    assert done.folder is not None
    file = tmp_path / "digit.png"
    rows = load_digits()["test"]
    rows[0]["image"].save(file)
    predictor = seam.load(done.folder)
    assert predictor([file])[0]["label"] in PARITY.outputs
    assert predictor([Image.open(file)])[0].keys() >= {"probability"}
    again = seam.evaluate(done.folder)
    assert again["accuracy"] == done.report["accuracy"]
    assert again["against_head_only"] == done.report["against_head_only"]
    outputs = outputs_of(done.model, done.data.test)
    right = share_right(outputs.argmax(1), done.data.test.targets).to_dict()
    assert right == done.report["accuracy"]["reengineered"]
    card = (done.folder / "adapter" / "README.md").read_text()
    assert "Labels the base was not trained on: even, odd" in card
    assert "restricted" not in card


def test_the_exported_program_has_the_zeros_too(done: Result) -> None:
    assert done.folder is not None
    [row] = seam.export(done.folder, to=["torch"])["exports"]
    assert row["comparison"]["agrees"]
    program = torch.export.load(Path(row["folder"]) / "model.pt2")
    values = {name.removeprefix("backbone."): value for name, value in program.state_dict.items()}
    if done.report["model"]["kind"] == "shrunk":  # what is removed is not there at all
        assert sum(each.numel() for each in done.model.parameters()) < 0.6 * done.adapter.maskable
        for name, mask in done.adapter.masks.items():
            if name.endswith("conv2.weight"):
                assert values[name].numel() == int(mask.sum())
        return
    for name, mask in done.adapter.masks.items():
        assert bool((values[name][~mask] == 0).all())
        assert bool((values[name][mask] != 0).any())


def test_another_point_is_chosen_without_a_search(done: Result) -> None:
    assert done.folder is not None
    first = done.frontier[0]
    chosen = seam.pick_again(done.folder, seam.Pick(rule="epoch", value=first.epoch))
    assert chosen.report["density"] == pytest.approx(first.density)
    figures = chosen.report["accuracy"]
    assert (figures["reengineered"] == figures["head_only"]) == (first.epoch == 0)
    back = seam.pick_again(done.folder, kept(1 - asked(done)))
    assert back.report["accuracy"] == done.report["accuracy"]


class Stopped(Silent):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        if epoch == self.epoch and step == 3:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "epoch"), [("weight", 2), ("channel", 1), ("paper", 1), ("paper", -1)]
)
def test_an_interrupted_run_ends_with_the_same_bytes(
    base: BaseModel, tmp_path: Path, kind: str, epoch: int
) -> None:
    whole = parity(base, tmp_path / "whole", kind)
    epochs = [row["epoch"] for row in whole.history]
    with pytest.raises(KeyboardInterrupt):
        parity(base, tmp_path / "run", kind, observer=Stopped(epoch % epochs[-1]))
    parity(base, tmp_path / "run", kind)
    names = ["history.jsonl", "frontier.json", "adapter/adapter.safetensors"]
    names += ["model/model.safetensors"] if kind == "channel" else []
    for name in names:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_published_phases(base: BaseModel) -> None:
    """Search until enough is removed, with frozen weights; then tune what is kept."""
    found = parity(base, None, "paper")
    densities = [row["density"] for row in found.history]
    searched = next(i for i, density in enumerate(densities) if density <= 0.7)
    assert len(densities) - 1 == searched + 2
    assert densities[searched:] == [densities[searched]] * 3
    assert densities[: searched + 1] == sorted(densities[: searched + 1], reverse=True)


def test_without_a_wish_the_choice_is_within_the_tolerance_of_the_best(base: BaseModel) -> None:
    found = parity(base, None, "weight")
    task_best = max(point.validation_accuracy for point in found.frontier)
    settings = seam.plan(PARITY, rename=RENAMED, epochs=2, levels=2, batch_size=32, shots=100)
    assert settings.pick == seam.Pick(rule="tolerance", value=0.005)
    free = seam.transfer(base, "digits", problem=PARITY, settings=settings)
    best = max(point.validation_accuracy for point in free.frontier)
    assert free.report["validation"]["reengineered"] >= best - 0.005
    good = [p.density for p in free.frontier if p.validation_accuracy >= best - 0.005 - 1e-9]
    assert free.report["density"] == pytest.approx(min(good), abs=1e-6)
    assert task_best >= found.report["validation"]["reengineered"]


def test_labels_come_from_the_data_or_are_some_of_them(base: BaseModel) -> None:
    assert labels_of("digits") == tuple("0123456789")
    assert labels_of("digits", rename=RENAMED) == ("even", "odd")
    some = seam.Problem.new_labels(["3", "5"])
    settings = seam.plan(some, epochs=1, levels=1, batch_size=32, remove=0.2)
    found = seam.transfer(base, "digits", problem=some, settings=settings)
    labels = load_digits()["test"]["label"]
    assert found.report["samples"]["test"] == sum(label in (3, 5) for label in labels)
    every = seam.transfer(base, "digits", settings=settings)
    assert every.report["problem"]["outputs"] == list("0123456789")


def test_one_class_is_no_problem_to_transfer_to() -> None:
    digits = load_digits()
    threes = {"train": digits["train"].filter(lambda label: label == 3, input_columns="label")}
    with pytest.raises(DataError, match=r"has 1 class \(3\); give data that has at least two"):
        labels_of(threes)
    with pytest.raises(LabelError, match="the problem has 1 class"):
        seam.Problem.new_labels(["3"])


class Copied(nn.Module):
    """A classifier whose logits are a copy, so that no layer gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU())
        self.last = nn.Linear(32, 10)

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.last(self.body(images)) * 1.0
        return found


def own(head_layer: str = "") -> BaseModel:
    torch.manual_seed(0)
    pixels = Preprocessing(size=8, mean=(0.3,), std=(0.4,))
    return BaseModel(Copied().eval(), tuple("0123456789"), pixels, head_layer=head_layer)


def test_a_head_that_cannot_be_told_apart_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no linear layer .*'body.1', 'last'\); .*--head-layer"):
        parity(own(), tmp_path / "run", "weight")
    assert not (tmp_path / "run").exists()
    found = parity(own("last"), tmp_path / "run", "weight")
    assert found.adapter.base.head_layer == "last"
    assert "last.weight" not in found.adapter.masks
    document = json.loads((tmp_path / "run" / "adapter" / "adapter.json").read_text())
    assert document["base"]["head_layer"] == "last"
    predictor = seam.load(tmp_path / "run" / "adapter", base=own())  # the adapter knows
    images = torch.randn(3, 1, 8, 8)
    assert isinstance(predictor.model, nn.Module)
    with torch.no_grad():
        assert torch.equal(predictor.model(images), found.model(images))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("lost", r"no layer 'lost'; did you mean 'last'\?; name the layer to replace"),
        ("body.0", r"does not run without layer 'body\.0' .*; name the layer to replace"),
    ],
)
def test_a_layer_that_is_no_head(layer: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        parity(own(layer), None, "weight")


def test_channels_that_are_left_are_transferred_again(base: BaseModel, tmp_path: Path) -> None:
    parity(base, tmp_path / "first", "channel")
    small = seam.load_base(f"model:{tmp_path / 'first' / 'model'}")
    problem = seam.Problem.new_labels(["3", "5"])
    settings = seam.plan(problem, epochs=2, levels=1, batch_size=32, remove=0.5)
    found = seam.transfer(small, "digits", problem=problem, settings=settings)
    assert found.report["density"] == pytest.approx(0.5, abs=1e-3)
    assert found.report["accuracy"]["reengineered"]["value"] > 0.6


def test_labels_of_the_base_are_not_new(base: BaseModel) -> None:
    with pytest.raises(ConfigError, match=r"kind 'subset' .* use seam\.reengineer"):
        seam.transfer(base, "digits", problem=seam.Problem.subset(["3", "5"]))
    settings = seam.plan(PARITY, head="slice", rename=RENAMED)
    with pytest.raises(ConfigError, match="head 'slice' does not fit new labels"):
        seam.transfer(base, "digits", problem=PARITY, settings=settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"remove": 1.0}, r"remove is 1.0; give a share in \(0, 1\)"),
        ({"remove": "half"}, "remove is half"),
        ({"remove": 0.5, "tolerance": 0.1}, "'tolerance' and 'remove' both choose the point"),
        ({"remove": 0.5, "keep": 0.5}, "'keep' and 'remove' both choose the point"),
        ({"finetune_epochs": 3}, "which has no fine-tuning behind its search; leave it out"),
        ({"preset_name": "paper", "granularity": "channel"}, "removes single weights"),
        ({"preset_name": "paper", "finetune_epochs": 0}, "fine-tuning epochs is 0; give a whole"),
    ],
)
def test_bad_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        seam.plan(PARITY, **changes)
