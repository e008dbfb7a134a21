"""`seam evaluate --defects` and ``--trigger``: JSON, tables, pictures, and an exported model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

Call = Callable[..., "object"]
BRIEF = ["--defects", "--samples", "12", "--steps", "3", "--autoattack", "2", "--published"]
BRIEF += ["--adaptive-features"]
FIGURE = {"value", "low", "high", "n"}


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seam.defects.adversarial.SQUARE_QUERIES", 3)
    monkeypatch.setattr("seam.defects.adversarial.APGD_STEPS", 3)


@pytest.fixture
def trigger(tmp_path: Path) -> Path:
    file = tmp_path / "trigger.yaml"
    file.write_text("{patch: [[255, 0], [0, 255]], position: bottom-right, target_label: 5}")
    return file


def test_json_and_pictures(call: Call, finished: Path, trigger: Path) -> None:
    before = (finished / "report.json").read_bytes()
    arguments = ["evaluate", finished, *BRIEF, "--trigger", trigger, "--json", "--quiet"]
    outcome = call(*arguments)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert set(found["inheritance"]) == {"features", "features_published", "logits", "mistakes"}
    assert set(found["adaptive"]) == {"features", "logits", "autoattack"}
    for figure in (
        *found["inheritance"].values(),
        *found["adaptive"].values(),
        found["inheritance"]["logits"]["base"],
        found["backdoor"]["base"],
        found["backdoor"]["base"]["restricted"],
        found["backdoor"]["base"]["accuracy"]["full"],
        found["backdoor"]["reengineered"],
        found["backdoor"]["reengineered"]["accuracy"],
    ):
        assert set(figure) >= FIGURE
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert found["adaptive"]["autoattack"]["n"] == 2
    assert (
        found["inheritance"]["features"] | {"epsilon": 8.0, "steps": 3}
        == (found["inheritance"]["features"])
    )
    assert set(found["defects"]) == {
        *("samples", "seed", "feature_layer", "step", "toolbox", "seconds")
    }
    accuracy = found["accuracy"]
    assert found["backdoor"]["reengineered"]["accuracy"] == accuracy["reengineered"]
    assert found["backdoor"]["base"]["accuracy"] == {
        "full": accuracy["full"],
        "restricted": accuracy["restricted"],
    }
    assert (finished / "report.json").read_bytes() == before
    sheets = sorted(file.name for file in (finished / "defects").iterdir())
    assert sheets == ["features.png", "logits.png", "trigger.png"]
    for name in sheets:
        with Image.open(finished / "defects" / name) as image:
            assert image.width > 700

    again = json.loads(call(*arguments).out)
    for name in ("inheritance", "adaptive", "backdoor"):
        assert again[name] == found[name]


def test_the_table_says_what_is_what(call: Call, finished: Path, trigger: Path) -> None:
    outcome = call("evaluate", finished, *BRIEF, "--trigger", trigger)
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    for part in (
        "rightly classified samples that an attack flips",
        "the base's features, published strength │ 5.76/255",
        "the result, AutoAttack",
        "mistakes the result repeats",
        "How robust the result is, attacks on the result itself say.",
        "trigger for '5': samples of other labels that are given that one",
        "defects/trigger.png",
    ):
        assert part in text
    assert "attacking the base's logits, epsilon 8/255" in outcome.err


def test_a_trigger_alone_needs_no_attacks(
    call: Call, finished: Path, trigger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "art", None)
    outcome = call("evaluate", finished, "--trigger", trigger, "--json", "--quiet")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert not {"inheritance", "adaptive"} & set(found)
    assert found["backdoor"]["meaning"] == "target"
    assert found["backdoor"]["trigger"]["width"] == 2


def test_a_missing_toolbox_is_named(
    call: Call, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "art", None)
    outcome = call("evaluate", finished, "--defects", "--quiet")
    assert outcome.code == 2
    assert "pip install 'seam[defects]'" in outcome.err


def test_an_exported_model_is_refused(call: Call, finished: Path) -> None:
    assert call("export", finished, "--to", "torch", "--quiet").code == 0
    for place in (finished / "export" / "torch", finished / "export" / "torch" / "model.pt2"):
        outcome = call("evaluate", place, "--defects", "--quiet")
        assert outcome.code == 2
        assert "is an exported model, which has no gradients to attack it with" in outcome.err


def test_a_shrunk_result(call: Call, tmp_path: Path) -> None:
    import seam

    out = tmp_path / "out"
    search = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5", "--epochs", "2"]
    search += ["--granularity", "channel", "--keep-macs", "0.6", "--shots", "40"]
    assert call(*search, "--out", out, "--quiet").code == 0
    plan = seam.DefectsPlan(samples=8, steps=2, autoattack=0, adaptive_features=True)
    found = seam.measure_defects(out, plan)
    assert set(found["adaptive"]) == {"features", "logits"}
    assert found["inheritance"]["logits"]["n"] <= 8


def test_a_result_for_new_labels(tmp_path: Path) -> None:
    import seam

    parity = seam.Problem.new_labels(["even", "odd"])
    names = {str(digit): parity.outputs[digit % 2] for digit in range(10)}
    settings = seam.plan(parity, epochs=2, remove=0.5, rename=names, shots=40)
    base, out = seam.load_base("zoo:digits"), tmp_path / "out"
    result = seam.transfer(base, "digits", problem=parity, settings=settings, out=out)
    trigger = seam.Trigger(patch=[[255]], target_label="7")
    plan = seam.DefectsPlan(
        samples=40, steps=12, epsilon=32, autoattack=0, adaptive_features=True, trigger=trigger
    )
    found = seam.measure_defects(out, plan)
    assert set(found["adaptive"]) == {"features", "logits"}
    assert found["inheritance"]["logits"]["base"]["value"] > 0.3
    assert found["backdoor"]["meaning"] == "flip"
    assert found["backdoor"]["base"]["accuracy"]["full"] is None
    accuracy = result.report["accuracy"]
    assert found["backdoor"]["base"]["accuracy"]["restricted"] == accuracy["head_only"]
    assert found["backdoor"]["reengineered"]["accuracy"] == accuracy["reengineered"]
